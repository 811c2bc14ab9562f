//! For which processor a tree was made, read from its programs: elf(5).

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::sys::dir::{self, Kind};

/// Programs that nearly every tree has, most telling first.
const PROGRAMS: &[&str] = &["bin/sh", "usr/bin/env", "bin/busybox", "bin/ls", "sbin/init"];

/// Where the dynamic loader lies, `ld-*` or `ld*.so*`.
const LOADERS: &[&str] = &["lib", "lib64", "usr/lib", "usr/lib64"];

/// The OCI name (Go's GOARCH) of the architecture of the first program found, all resolved inside `root`. `None` when
/// there is none, or for a processor without a name here.
pub fn architecture_of(root: BorrowedFd<'_>) -> Option<&'static str> {
    let programs = PROGRAMS.iter().find_map(|program| header(root, Path::new(program)));
    programs.or_else(|| LOADERS.iter().find_map(|folder| loader(root, Path::new(folder)))).and_then(|elf| name(&elf))
}

/// The OCI name of this machine's architecture.
pub fn own() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Whether this machine runs programs of an architecture by itself; one that is not known is taken for its own.
pub fn is_native(architecture: &str) -> bool {
    architecture.is_empty()
        || architecture == own()
        || matches!((own(), architecture), ("amd64", "386") | ("arm64", "arm"))
}

/// Whether the kernel was told which program runs those of another architecture, in such a way that it works in any root
/// (binfmt_misc, flag F: the program was opened when it was registered).
pub fn has_interpreter(architecture: &str) -> bool {
    let name = match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        other => other,
    };
    let registered = std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{name}")).unwrap_or_default();
    registered.starts_with("enabled") && registered.lines().any(|l| l.starts_with("flags:") && l.contains('F'))
}

fn loader(root: BorrowedFd<'_>, folder: &Path) -> Option<[u8; 20]> {
    let opened = dir::resolve_dir(root, folder).ok()?;
    let mut names = dir::list(opened.as_fd()).ok()?;
    names.retain(|name| name.as_encoded_bytes().starts_with(b"ld"));
    names.sort();
    names.iter().find_map(|name| header(root, &folder.join(name)))
}

/// The start of an ELF file; nothing of any other file, of a FIFO or a device in its place.
fn header(root: BorrowedFd<'_>, path: &Path) -> Option<[u8; 20]> {
    let read = || -> io::Result<Option<[u8; 20]>> {
        let mut file = dir::open_in_root(root, path)?;
        if dir::stat_fd(&file)?.kind != Kind::File {
            return Ok(None);
        }
        let mut start = [0; 20];
        file.read_exact(&mut start)?;
        Ok(start.starts_with(b"\x7fELF").then_some(start))
    };
    read().ok().flatten()
}

/// From `e_machine`, the class (32 or 64 bits) and the byte order.
fn name(elf: &[u8; 20]) -> Option<&'static str> {
    let (wide, little) = (elf[4] == 2, elf[5] == 1);
    let machine = [elf[18], elf[19]];
    let machine = if little { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    Some(match (machine, wide, little) {
        (3, false, _) => "386",
        (62, _, _) => "amd64",
        (40, _, _) => "arm",
        (183, _, _) => "arm64",
        (243, true, _) => "riscv64",
        (21, true, true) => "ppc64le",
        (21, true, false) => "ppc64",
        (22, true, _) => "s390x",
        (258, true, _) => "loong64",
        (8, true, true) => "mips64le",
        (8, true, false) => "mips64",
        (8, false, true) => "mipsle",
        (8, false, false) => "mips",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn elf(machine: u8) -> [u8; 20] {
        let mut elf = [0; 20];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18] = machine;
        elf
    }

    #[test]
    fn the_program_is_looked_up_inside_the_tree() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        fs::create_dir_all(home.path().join("usr/bin"))?;
        symlink("/usr/bin", home.path().join("bin"))?;
        symlink("/usr/bin/dash", home.path().join("usr/bin/sh"))?;
        let root = dir::open_root(home.path())?;
        // On this machine /usr/bin/dash exists; in the tree it does not.
        assert_eq!(architecture_of(root.as_fd()), None);
        fs::write(home.path().join("usr/bin/dash"), elf(183))?;
        assert_eq!(architecture_of(root.as_fd()), Some("arm64"));
        fs::write(home.path().join("usr/bin/dash"), "#!/bin/bash\n# a longer script")?;
        assert_eq!(architecture_of(root.as_fd()), None);
        fs::create_dir(home.path().join("lib"))?;
        fs::write(home.path().join("lib/ld-linux-x86-64.so.2"), elf(62))?;
        assert_eq!(architecture_of(root.as_fd()), Some("amd64"));
        Ok(())
    }

    #[test]
    fn a_fifo_in_its_place_does_not_block() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        fs::create_dir(home.path().join("bin"))?;
        let root = dir::open_root(home.path())?;
        let bin = dir::open_dir_beneath(root.as_fd(), Path::new("bin"))?;
        dir::make_fifo(bin.as_fd(), "sh".as_ref(), 0o600)?;
        assert_eq!(architecture_of(root.as_fd()), None);
        Ok(())
    }
}
