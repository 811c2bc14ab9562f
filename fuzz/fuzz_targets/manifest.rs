#![no_main]
//! Manifests and indexes, as a registry sends them: with a media type and without.

use libfuzzer_sys::fuzz_target;
use little_container::oci::{Descriptor, Document, MAX_LAYERS, Platform, media, parse};

fn check(descriptor: &Descriptor) {
    let text = descriptor.digest.to_string();
    let hex = text.strip_prefix("sha256:").unwrap_or_else(|| panic!("{text} is not of sha256"));
    assert!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text}");
}

fuzz_target!(|data: &[u8]| {
    let bare = parse(data, None);
    for announced in media::ACCEPTED {
        let Ok(document) = parse(data, Some(announced)) else { continue };
        // What is announced is what it is, and nobody else takes it for something else.
        let (media_type, is_index) = match &document {
            Document::Manifest(manifest) => (&manifest.media_type, false),
            Document::Index(index) => (&index.media_type, true),
        };
        assert_eq!((media_type.as_str(), media::is_index(announced)), (*announced, is_index));
        if let Ok(bare) = &bare {
            assert_eq!(matches!(bare, Document::Index(_)), is_index);
        }
    }
    let _ = parse(data, Some("text/html; charset=utf-8"));
    match bare {
        Ok(Document::Manifest(manifest)) => {
            manifest.blobs().for_each(check);
            assert!(manifest.layers.len() <= MAX_LAYERS);
            assert!(manifest.layers.iter().all(|layer| media::packing(&layer.media_type).is_some()));
        }
        Ok(Document::Index(index)) => {
            index.manifests.iter().for_each(check);
            for wanted in ["amd64", "arm64", "arm/v7", "windows/amd64"] {
                match index.choose(&wanted.parse::<Platform>().unwrap()) {
                    Ok(chosen) => check(chosen),
                    Err(sentence) => assert!(!sentence.is_empty()),
                }
            }
        }
        Err(sentence) => assert!(!sentence.is_empty()),
    }
});
