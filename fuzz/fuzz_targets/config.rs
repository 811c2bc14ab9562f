#![no_main]
//! Configurations of images.

use libfuzzer_sys::fuzz_target;
use little_container::oci::Config;
use little_container::spec::digest::Algorithm;

fuzz_target!(|data: &[u8]| {
    let mut accepted = None;
    for layers in 0..4 {
        let Ok(config) = Config::parse(data, layers) else { continue };
        assert!(accepted.replace(layers).is_none(), "it has {accepted:?} layers, and {layers}");
        assert_eq!(config.rootfs.diff_ids.len(), layers);
        assert!(config.rootfs.diff_ids.iter().all(|id| id.algorithm() == Algorithm::Sha256 && id.hex().len() == 64));
        assert_eq!(config.platform().os, "linux");
        // Written and read again it is the same.
        let text = serde_json::to_vec(&config).unwrap();
        assert_eq!(Config::parse(&text, layers).as_ref(), Ok(&config));
    }
});
