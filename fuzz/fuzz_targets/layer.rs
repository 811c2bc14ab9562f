#![no_main]
//! A layer, as a plain tar stream, is unpacked into a folder in memory.

use ground::Ground;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use little_container::image::owners::decode;
use little_container::image::{Limits, Owners, unpack_within};
use std::os::fd::AsFd;
use std::sync::LazyLock;

static GROUND: LazyLock<Ground> = LazyLock::new(Ground::new);

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_entries: 64, max_path: 600 };

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let most = max_size.min(data.len());
    ground::change(&mut data[..most], size, seed)
});

fuzz_target!(|data: &[u8]| {
    let unpacked = GROUND.with_root(|root| unpack_within(data, root.as_fd(), &Owners::Single, &LIMITS));
    let Ok(unpacked) = unpacked else { return };
    assert!(unpacked.size <= LIMITS.max_bytes && (1..=LIMITS.max_entries).contains(&unpacked.entries));
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(unpacked.diff_id, format!("sha256:{hex}"));
    for record in &unpacked.records {
        let path = decode(&record.path).unwrap();
        assert!(!path.starts_with(b"/") && path.split(|byte| *byte == b'/').all(|part| part != b".."));
    }
    assert!(unpacked.notes.len() < 16, "one line for each kind");
});
