//! What a file to be executed is: a script and its interpreter, or a program and its machine (execve(2), elf(5)).

use crate::{spec::Raw, sys::target};
use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

/// The longest `#!` line that the kernel reads (BINPRM_BUF_SIZE).
const LINE: usize = 256;

/// The beginning of a file: the `#!` line, or the program headers and the name of the loader. Nothing of what is no regular
/// file: a fifo would keep us waiting for ever.
pub(super) fn head(place: &OwnedFd) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = target::reopen_file(place.as_fd()) {
        let _ = std::fs::File::from(file).take(8192).read_to_end(&mut head);
    }
    head
}

/// The interpreter of a script and its one argument, as the kernel takes them from the line.
pub(super) fn shebang(head: &[u8]) -> Option<(PathBuf, Option<Raw>)> {
    let line = match head.iter().take(LINE).position(|b| *b == b'\n') {
        Some(end) => &head[..end],
        // The last byte that it reads stays free for a NUL.
        None => &head[..head.len().min(LINE - 1)],
    };
    let cut = line.len() == LINE - 1;
    let line = line.strip_prefix(b"#!")?;
    // Spaces and tabs, and nothing else: a carriage return at the end is part of the name, as for the kernel.
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let line = trim(line, blank);
    if cut && !line.iter().any(blank) {
        // An interpreter of which only the beginning is known.
        return None;
    }
    let (interpreter, rest) = line.split_at(line.iter().position(blank).unwrap_or(line.len()));
    let argument = trim(rest, blank);
    let path = Raw::from(interpreter.to_vec()).path().to_owned();
    (!interpreter.is_empty()).then(|| (path, (!argument.is_empty()).then(|| Raw::from(argument.to_vec()))))
}

fn trim(text: &[u8], blank: impl Fn(&u8) -> bool) -> &[u8] {
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Why the kernel knows no way to execute it.
pub(super) fn no_exec_format(name: &Raw, head: &[u8]) -> String {
    match (machine(head), head) {
        (Some(machine), _) if machine != own_machine() => format!(
            "{name} is a program for {machine}, this machine is {}, and no interpreter for it is registered in binfmt_misc \
             (package qemu-user-static), or the image does not say that it is for {machine}",
            own_machine()
        ),
        (Some(_), _) => format!("{name} is a damaged program"),
        (None, []) => format!("{name} is empty"),
        (None, _) => format!("{name} has no #! line: name its interpreter, as in `sh {name}`"),
    }
}

/// Whether the kernel looks for an interpreter whose name ends with a carriage return, which nobody sees.
pub(super) fn ends_with_return(head: &[u8]) -> bool {
    head.starts_with(b"#!") && head.split(|b| *b == b'\n').next().is_some_and(|line| line.ends_with(b"\r"))
}

/// What runs the file: the rest of a `#!` line, or PT_INTERP of an ELF program (elf(5)).
pub(super) fn interpreter(head: &[u8]) -> Option<String> {
    if let Some((path, _)) = shebang(head) {
        return Some(Raw::from(path).to_string());
    }
    let wide = *head.get(4)? == 2 && head.starts_with(b"\x7fELF");
    let number = |at: usize, len: usize| {
        head.get(at..at.checked_add(len)?).map(|b| b.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b)))
    };
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for n in 0..count.min(64) {
        let at = table.checked_add(n.checked_mul(size)?)?;
        if number(at, 4)? == 3 {
            let (start, len) = if wide {
                (number(at.checked_add(8)?, 8)?, number(at.checked_add(32)?, 8)?)
            } else {
                (number(at.checked_add(4)?, 4)?, number(at.checked_add(16)?, 4)?)
            };
            let name = head.get(start..start.checked_add(len)?)?;
            return Some(String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned());
        }
    }
    None
}

/// The machine a program is for, as uname(1) names it.
pub(super) fn machine(head: &[u8]) -> Option<&'static str> {
    let [0x7f, b'E', b'L', b'F', ..] = head else { return None };
    Some(match u16::from_le_bytes([*head.get(18)?, *head.get(19)?]) {
        3 => "i386",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        21 => "ppc64le",
        _ => "another machine",
    })
}

/// This machine, by the same name.
pub(super) fn own_machine() -> &'static str {
    std::env::consts::ARCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters() {
        assert_eq!(interpreter(b"#!/bin/bash -e\necho").as_deref(), Some("/bin/bash"));
        assert_eq!(interpreter(b"#! /usr/bin/env python\n").as_deref(), Some("/usr/bin/env"));
        assert_eq!(interpreter(b"#!/bin/sh\r\n").as_deref(), Some(r"$'/bin/sh\x0d'"));
        assert!(ends_with_return(b"#!/bin/sh\r\necho") && !ends_with_return(b"#!/bin/sh\necho\r\n"));
        assert_eq!(interpreter(b"text"), None);
        assert_eq!(interpreter(b"\x7fELF\x02"), None);
    }

    #[test]
    fn scripts_as_the_kernel_reads_them() {
        let read = |line: &str| shebang(line.as_bytes());
        assert_eq!(read("#!/bin/sh\n"), Some(("/bin/sh".into(), None)));
        assert_eq!(read("#! \t/usr/bin/env  -S a  b \nx"), Some(("/usr/bin/env".into(), Some("-S a  b".into()))));
        assert_eq!(read("#!sh"), Some(("sh".into(), None)));
        assert_eq!(read("#!\n/bin/sh"), None);
        assert_eq!(read("# !/bin/sh"), None);
        assert_eq!(read(&format!("#!/{}", "x".repeat(300))), None);
        let long = read(&format!("#!/x {}", "y".repeat(300))).and_then(|(_, argument)| argument);
        assert_eq!(long.map(|a| a.len()), Some(250));
    }

    #[test]
    fn an_odd_header_is_no_panic() {
        for wide in [1, 2] {
            let mut head = vec![0xff; 200];
            head[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', wide]);
            assert_eq!(interpreter(&head), None);
        }
    }

    #[test]
    fn our_own_program_is_understood() {
        let link = std::fs::read_link("/proc/self/exe").unwrap();
        let head = std::fs::read(link).unwrap();
        assert_eq!(machine(&head), Some(own_machine()));
        assert!(interpreter(&head).is_some_and(|i| i.starts_with("/lib")));
    }
}
