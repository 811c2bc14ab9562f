//! Programs with odd headers.

use super::{
    exec::evil_root,
    kit::assert_error,
    put, soon,
    support::{Need, outcome},
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// The number of this machine in the header of a program.
pub fn own_machine() -> u16 {
    if cfg!(target_arch = "x86_64") { 62 } else { 183 }
}

fn fill(content: &mut [u8], at: usize, value: impl AsRef<[u8]>) {
    content[at..at + value.as_ref().len()].copy_from_slice(value.as_ref());
}

/// A program of 64 bits of nothing but a header, a loader's name, and one page to load.
pub fn elf(machine: u16, loader: &str) -> Vec<u8> {
    let mut all = vec![0; 4096];
    fill(&mut all, 0, b"\x7fELF\x02\x01\x01");
    fill(&mut all, 16, 3u16.to_le_bytes());
    fill(&mut all, 18, machine.to_le_bytes());
    fill(&mut all, 20, 1u32.to_le_bytes());
    fill(&mut all, 24, 512u64.to_le_bytes());
    fill(&mut all, 32, 64u64.to_le_bytes());
    fill(&mut all, 52, 64u16.to_le_bytes());
    fill(&mut all, 54, 56u16.to_le_bytes());
    fill(&mut all, 56, 2u16.to_le_bytes());
    let len = loader.len() as u64 + 1;
    for (at, (kind, offset, size)) in [(64, (3u32, 256u64, len)), (120, (1, 0, 4096))] {
        fill(&mut all, at, kind.to_le_bytes());
        fill(&mut all, at + 4, 5u32.to_le_bytes());
        for (n, value) in [(8, offset), (16, offset), (24, offset), (32, size), (40, size), (48, 4096)] {
            fill(&mut all, at + n, value.to_le_bytes());
        }
    }
    fill(&mut all, 256, loader);
    all
}

/// A program of 32 bits, in the eyes of the kernel; its header says 64, and what follows is then odd.
fn odd_elf_of_32_bits() -> Vec<u8> {
    let mut all = vec![0; 128];
    fill(&mut all, 0, b"\x7fELF\x02\x01\x01");
    fill(&mut all, 16, [2, 0, 3, 0, 1, 0, 0, 0]);
    fill(&mut all, 28, 64u32.to_le_bytes());
    fill(&mut all, 32, [0xff; 8]);
    fill(&mut all, 40, [52, 0, 32, 0, 1, 0]);
    fill(&mut all, 54, [56, 0, 1, 0]);
    for (n, value) in [3u32, 96, 0, 0, 9, 9, 4, 1].into_iter().enumerate() {
        fill(&mut all, 64 + 4 * n, value.to_le_bytes());
    }
    fill(&mut all, 96, b"/missing\0");
    all
}

#[test]
fn an_odd_program_header_is_no_panic() {
    let ground = ground!();
    let place = ground.rootfs().join("bin/odd");
    let missing = elf(own_machine(), "/missing");
    let with = |at: usize, value: &[u8]| {
        let mut all = missing.clone();
        fill(&mut all, at, value);
        all
    };
    let mut cases = vec![missing.clone(), odd_elf_of_32_bits(), missing[..20].to_vec(), missing[..60].to_vec()];
    for class in [1, 2] {
        for at in [24, 28, 32, 40, 54, 56, 72, 96] {
            let mut odd = with(at, &[0xff; 8]);
            odd[4] = class;
            cases.push(odd);
            let mut odd = with(at, &[0xff; 2]);
            odd[4] = class;
            cases.push(odd);
        }
    }
    for (n, content) in cases.iter().enumerate() {
        put(&ground, &place, content, 0o755);
        let out = soon(&mut ground.run(["odd"]));
        assert_error(&out, 126, &["/bin/odd"]);
        // As what runs a script it is read as well.
        if n < 8 {
            put(&ground, &ground.rootfs().join("bin/a-script"), "#!/bin/odd\n", 0o755);
            assert_error(&soon(&mut ground.run(["a-script"])), 126, &["/bin/a-script"]);
        }
    }
    put(&ground, &place, &missing, 0o755);
    assert_error(&soon(&mut ground.run(["odd"])), 126, &["/bin/odd needs /missing, which the image does not have"]);
}

/// Another container writes to the same folder: what was a program of another machine when it was looked at is a link to our
/// own program when the kernel gets it.
#[test]
fn a_program_that_is_exchanged_meanwhile_does_not_lead_out() {
    let ground = ground!(Need::Program("cc"));
    evil_root(&ground);
    let (tool, other) = (ground.path("work/shared/tool"), ground.path("work/shared/other"));
    put(&ground, &tool, odd_elf_of_32_bits(), 0o755);
    symlink("/proc/self/exe", &other).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat2(AT_FDCWD, &tool, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
                // Not so fast that nobody else comes to anything.
                thread::sleep(Duration::from_micros(1));
            }
        });
        let ran = (0..60)
            .map(|_| outcome(&mut ground.run(["-v", "shared:/s", "/s/tool"])))
            .find(|o| !matches!(o.status, 126 | 127));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(ran, None, "the machine's program was run inside");
    });
}
