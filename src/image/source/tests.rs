use std::fs;
use std::io::Write;

use super::*;

fn tarball(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, &b"hello"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn read(data: Vec<u8>) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    match archive(io::Cursor::new(data))? {
        Source::Archive(mut tar) => tar.read_to_end(&mut plain)?,
        _ => bail!("no tar archive"),
    };
    Ok(plain)
}

fn refusal(data: &[u8]) -> String {
    format!("{:#}", archive(io::Cursor::new(data.to_vec())).map(drop).unwrap_err())
}

fn lzma(data: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_gives_the_same_stream() {
    let plain = tarball("etc/hostname");
    // Two members of gzip, as pigz and estargz write them.
    let (start, end) = plain.split_at(700);
    let members = [gzip(start), gzip(end)].concat();
    let zstd = |data: &[u8]| zstd::encode_all(data, 1).unwrap();
    let frames = [b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec(), zstd(start), zstd(end)].concat();
    let streams = [xz(start), xz(end)].concat();
    for packed in [plain.clone(), gzip(&plain), members, xz(&plain), streams, zstd(&plain), frames, lzma(&plain)] {
        assert_eq!(read([&packed[..], &[0; 512]].concat()).unwrap()[..plain.len()], plain);
        assert_eq!(read(packed).unwrap(), plain);
    }
}

#[test]
fn nothing_else_follows_a_compressed_archive() {
    let plain = tarball("etc/hostname");
    for packed in [gzip(&plain), xz(&plain), lzma(&plain)] {
        assert!(read([&packed[..], b"junk"].concat()).is_err());
        assert!(read([&packed[..], &zstd::encode_all(&plain[..], 1).unwrap()].concat()).is_err());
    }
}

#[test]
fn an_initramfs_is_recognised() {
    for plain in [&b"070701"[..], b"070702", b"070707"] {
        for packed in [plain.to_vec(), gzip(plain), xz(plain), lzma(plain), zstd::encode_all(plain, 1).unwrap()] {
            assert!(matches!(archive(io::Cursor::new(packed)), Ok(Source::Cpio(_))));
        }
    }
}

#[test]
fn only_what_encoders_write_is_lzma() {
    let header = |parameters: u8, dictionary: u32, size: u64| {
        let header = [&[parameters][..], &dictionary.to_le_bytes(), &size.to_le_bytes()].concat();
        sniff::packing(&header) == Some(sniff::Packing::Lzma)
    };
    assert!(header(0x5d, 1 << 23, u64::MAX) && header(0x5d, 3 << 20, 1000) && header(0x5d, u32::MAX, 0));
    assert!(!header(0x5d, 5 << 20, 1000) && !header(0x5d, 1 << 23, 1 << 60) && !header(225, 1 << 23, 1000));
    assert!(!header(0, 0, 0) && !header(8 + 9 * 4, 1 << 23, 0));
}

#[test]
fn a_truncated_stream_is_an_error() {
    let plain = tarball("etc/hostname");
    for packed in [gzip(&plain), zstd::encode_all(&plain[..], 1).unwrap()] {
        assert!(read(packed[..packed.len() - 9].to_vec()).is_err());
    }
}

#[test]
fn what_is_no_root_file_system_is_named() {
    assert!(refusal(b"").contains("empty"));
    assert!(refusal(b"<!DOCTYPE HTML><html>").contains("web page"));
    assert!(refusal(b"\x7fELF\x02\x01").contains("ELF"));
    assert!(refusal(b"PK\x03\x04").contains("zip"));
    assert!(refusal(b"\xc7\x71").contains("a cpio archive in the old binary format"));
    assert!(refusal(b"hsqs").contains("squashfs"));
    assert!(refusal(&gzip(b"\x71\xc7")).contains("a cpio archive in the old binary format"));
    assert!(refusal(&gzip(&gzip(b"x"))).contains("twice"));
    assert!(refusal(&[b'x'; 2000]).contains("neither a tar nor a cpio archive"));
    assert!(refusal(&[0; 2000]).contains("empty"));
    for name in ["manifest.json", "oci-layout", "blobs/", &format!("{}/", "a".repeat(64))] {
        let name = name.trim_end_matches('/');
        assert!(refusal(&tarball(name)).contains("archive of an image"), "{name}");
    }
}

#[test]
fn a_folder_is_opened_unless_it_is_an_image() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(open(home.path().as_os_str()), Ok(Source::Folder(_))));
    fs::write(home.path().join("oci-layout"), "{}").unwrap();
    let error = format!("{:#}", open(home.path().as_os_str()).map(drop).unwrap_err());
    assert!(error.contains("OCI layout") && error.starts_with(&home.path().display().to_string()), "{error}");
    assert!(open(OsStr::new("/nonexistent/file")).is_err());
    assert!(open(OsStr::new("/dev/null")).is_err());
}
