#![no_main]
//! A layer is unpacked, packed, and what was packed is unpacked: the trees are the same.

use ground::Ground;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use little_container::image::{Device, Limits, Owners, difference, pack, unpack_within};
use std::os::fd::AsFd;
use std::sync::LazyLock;

static GROUND: LazyLock<Ground> = LazyLock::new(Ground::new);

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_entries: 64, max_path: 600 };
/// An archive need not have its folders; the packed one has all.
const LIMITS_OF_PACKED: Limits = Limits { max_bytes: 1 << 20, max_entries: 1 << 16, max_path: 1200 };

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let most = max_size.min(data.len());
    ground::change(&mut data[..most], size, seed)
});

fuzz_target!(|data: &[u8]| {
    GROUND.with_two(|first, second| {
        let Ok(unpacked) = unpack_within(data, first.as_fd(), &Owners::Single, &LIMITS) else { return };
        // The device 0:0 hides a file of a layer below: it is packed as a mark, and a mark is no file.
        let hides = |d: &Device| (d.block, d.major, d.minor) == (false, 0, 0);
        if unpacked.records.iter().filter_map(|record| record.device.as_ref()).any(hides) {
            return;
        }
        let mut stream = Vec::new();
        let packed = pack(first.as_fd(), &unpacked.records, &mut stream).unwrap();
        assert_eq!(packed.size, stream.len() as u64);
        let again = unpack_within(&stream[..], second.as_fd(), &Owners::Single, &LIMITS_OF_PACKED).unwrap();
        assert_eq!(again.diff_id, packed.diff_id);
        assert_eq!(difference(first.as_fd(), second.as_fd()).unwrap(), None);
        let mut twice = Vec::new();
        pack(second.as_fd(), &again.records, &mut twice).unwrap();
        assert!(twice == stream, "packed once more it is another archive");
    });
});
