#![no_main]
//! What `import` takes for an archive (tar or cpio, plain or compressed) is unpacked into a folder in memory.

use ground::Ground;
use libfuzzer_sys::fuzz_target;
use little_container::image::source::archive;
use little_container::image::{Limits, Owners, Source, unpack_cpio, unpack_within};
use std::io::Cursor;
use std::os::fd::AsFd;
use std::sync::LazyLock;

static GROUND: LazyLock<Ground> = LazyLock::new(Ground::new);

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_entries: 64, max_path: 600 };

fuzz_target!(|data: &[u8]| {
    let Ok(source) = archive(Cursor::new(data.to_vec())) else { return };
    let _ = GROUND.with_root(|root| match source {
        Source::Archive(plain) => unpack_within(plain, root.as_fd(), &Owners::Single, &LIMITS),
        Source::Cpio(stream) => unpack_cpio(*stream, root.as_fd(), &Owners::Single),
        Source::Folder(_) => unreachable!("a stream is no folder"),
    });
});
