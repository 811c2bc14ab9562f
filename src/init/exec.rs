//! Becoming the command, or saying exactly why that cannot be.

use super::{Failure, Inside};
use crate::{
    EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND,
    spec::{Raw, env},
    sys::{code, errno, process, target},
};
use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Tries each place that PATH names; comes back only with a failure.
pub(super) fn exec(inside: &Inside, args: &[Raw], variables: &[Raw]) -> Failure {
    match attempt(inside, args, variables) {
        Ok(failure) => failure,
        Err(e) => e.into(),
    }
}

fn attempt(inside: &Inside, args: &[Raw], variables: &[Raw]) -> io::Result<Failure> {
    let mut variables = variables.to_vec();
    let home = inside.home.as_deref().unwrap_or("/");
    env::set_default(&mut variables, format!("HOME={home}").into());
    let words = process::c_strings(args.iter().map(|a| &**a))?;
    let environment = process::c_strings(variables.iter().map(|v| &**v))?;
    let Some(name) = args.first() else { return Err(errno(code::EINVAL)) };

    process::reset_signals()?;
    process::close_on_exec_from(3)?;
    if !inside.channel.launcher_lives() {
        // It was killed while no death signal was set.
        return Err(errno(code::EPERM));
    }
    let mut last = (PathBuf::from(&**name), errno(code::ENOENT));
    for candidate in candidates(name, &variables) {
        let e = process::exec(&candidate, &words, &environment);
        let missing = matches!(e.raw_os_error(), Some(code::ENOENT | code::ENOTDIR)) && !exists(inside, &candidate);
        if !missing {
            last = (candidate, e);
            // A file that may not be run does not end the search, as with execvp(3).
            if last.1.raw_os_error() != Some(code::EACCES) {
                break;
            }
        }
    }
    Ok(explain(inside, name, last.0, last.1, &variables))
}

fn candidates(name: &Raw, variables: &[Raw]) -> Vec<PathBuf> {
    if name.bytes().contains(&b'/') {
        return vec![name.path().into()];
    }
    let path = env::value(variables, b"PATH").unwrap_or(env::DEFAULT_PATH.as_ref());
    // An empty entry means the working directory, as POSIX has it.
    std::env::split_paths(path)
        .map(|dir| if dir.as_os_str().is_empty() { Path::new(".").join(name) } else { dir.join(name) })
        .collect()
}

fn exists(inside: &Inside, path: &Path) -> bool {
    open(inside, path).is_ok()
}

/// Relative paths are the working directory's, which is inside the root as well.
fn open(inside: &Inside, path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    if path.is_absolute() {
        let root = inside.roots.as_ref().ok_or(errno(code::EINVAL))?;
        return target::open(root.new.as_fd(), path);
    }
    target::open_dir(Path::new(".")).and_then(|here| target::open(here.as_fd(), path))
}

fn explain(inside: &Inside, name: &Raw, file: PathBuf, e: io::Error, variables: &[Raw]) -> Failure {
    let failure = |status, detail: String| Failure { errno: e.raw_os_error().unwrap_or(0), status, detail };
    let Ok(place) = open(inside, &file) else {
        let detail = if name.bytes().contains(&b'/') {
            format!("the image has no {name}")
        } else {
            let path = env::value(variables, b"PATH").unwrap_or(env::DEFAULT_PATH.as_ref());
            format!("the image has no command {name} (looked in {})", path.to_string_lossy())
        };
        return failure(EXIT_NOT_FOUND, detail);
    };
    let name = Raw::from(file);
    if target::is_folder(place.as_fd()).unwrap_or(false) {
        return failure(EXIT_NOT_EXECUTABLE, format!("{name} is a folder"));
    }
    let head = target::reopen(place.as_fd()).ok().map(head_of).unwrap_or_default();
    let detail = match e.raw_os_error() {
        Some(code::EACCES) => format!("{name} is not executable: `chmod +x` it, or name its interpreter"),
        Some(code::ENOENT) if ends_with_return(&head) => {
            format!(
                "the first line of {name} ends with a carriage return, as on Windows: `sed -i 's/\\r$//'` takes it out"
            )
        }
        Some(code::ENOENT) => match interpreter(&head) {
            Some(wanted) => format!("{name} needs {wanted}, which the image does not have"),
            None => format!("{name} needs a loader that the image does not have"),
        },
        Some(code::ENOEXEC) => no_exec_format(&name, &head),
        Some(code::E2BIG) => "the arguments and the environment are too long".into(),
        _ => format!("{name} cannot be started"),
    };
    failure(EXIT_NOT_EXECUTABLE, detail)
}

fn head_of(file: std::os::fd::OwnedFd) -> Vec<u8> {
    use std::io::Read;
    let mut head = Vec::new();
    // A few kilobytes hold the #! line, or the program headers and the name of the loader.
    let _ = std::fs::File::from(file).take(8192).read_to_end(&mut head);
    head
}

fn no_exec_format(name: &Raw, head: &[u8]) -> String {
    match (machine(head), head) {
        (Some(machine), _) if machine != own_machine() => format!(
            "{name} is a program for {machine}, this machine is {}, and no interpreter for it is registered in binfmt_misc \
             (package qemu-user-static)",
            own_machine()
        ),
        (Some(_), _) => format!("{name} is a damaged program"),
        (None, []) => format!("{name} is empty"),
        (None, _) => format!("{name} has no #! line: name its interpreter, as in `sh {name}`"),
    }
}

/// Whether the kernel looks for an interpreter whose name ends with a carriage return, which nobody sees.
fn ends_with_return(head: &[u8]) -> bool {
    head.starts_with(b"#!") && head.split(|b| *b == b'\n').next().is_some_and(|line| line.ends_with(b"\r"))
}

/// What runs the file: the rest of a `#!` line, or PT_INTERP of an ELF program (elf(5)).
fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?;
        let word = line.trim_ascii().split(|b| *b == b' ' || *b == b'\t').next()?;
        return Some(format!("{}", Raw::from(word.to_vec())));
    }
    let wide = *head.get(4)? == 2 && head.starts_with(b"\x7fELF");
    let number = |at: usize, len: usize| {
        head.get(at..at + len).map(|b| b.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b)))
    };
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for n in 0..count.min(64) {
        let at = table.checked_add(n * size)?;
        if number(at, 4)? == 3 {
            let (start, len) = if wide {
                (number(at + 8, 8)?, number(at + 32, 8)?)
            } else {
                (number(at + 4, 4)?, number(at + 16, 4)?)
            };
            let name = head.get(start..start.checked_add(len)?)?;
            return Some(String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned());
        }
    }
    None
}

/// The machine a program is for, as uname(1) names it.
fn machine(head: &[u8]) -> Option<&'static str> {
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

fn own_machine() -> &'static str {
    std::env::consts::ARCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters() {
        assert_eq!(interpreter(b"#!/bin/bash -e\necho").as_deref(), Some("/bin/bash"));
        assert_eq!(interpreter(b"#! /usr/bin/env python\n").as_deref(), Some("/usr/bin/env"));
        assert_eq!(interpreter(b"#!/bin/sh\r\n").as_deref(), Some("/bin/sh"));
        assert!(ends_with_return(b"#!/bin/sh\r\necho") && !ends_with_return(b"#!/bin/sh\necho\r\n"));
        assert_eq!(interpreter(b"text"), None);
        assert_eq!(interpreter(b"\x7fELF\x02"), None);
    }

    #[test]
    fn our_own_program_is_understood() {
        let head = head_of(std::fs::File::open("/proc/self/exe").unwrap().into());
        assert_eq!(machine(&head), Some(own_machine()));
        assert!(interpreter(&head).is_some_and(|i| i.starts_with("/lib")));
    }

    #[test]
    fn path_entries() {
        let path = vec![Raw::from("PATH=/a::/b")];
        assert_eq!(candidates(&"x".into(), &path), [Path::new("/a/x"), Path::new("./x"), Path::new("/b/x")]);
        assert_eq!(candidates(&"./x".into(), &path), [Path::new("./x")]);
    }
}
