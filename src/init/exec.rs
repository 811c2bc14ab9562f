//! Becoming the command, or saying exactly why that cannot be.

use super::{Failure, Inside, program};
use crate::{
    EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND,
    spec::{Raw, env},
    sys::{code, errno, process, target},
};
use std::{
    ffi::CString,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// Tries each place that PATH names; comes back only with a failure.
pub(super) fn exec(inside: &Inside, args: &[Raw], variables: &[Raw], foreign: bool) -> Failure {
    match attempt(inside, args, variables, foreign) {
        Ok(failure) => failure,
        Err(e) => e.into(),
    }
}

fn attempt(inside: &Inside, args: &[Raw], variables: &[Raw], foreign: bool) -> io::Result<Failure> {
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
    let way = Way { inside, environment: &environment, foreign };
    let mut last = (PathBuf::from(&**name), errno(code::ENOENT));
    for candidate in candidates(name, &variables) {
        let e = way.go(&candidate, &words, SCRIPTS);
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

/// How many interpreters may be scripts themselves, as for the kernel.
const SCRIPTS: usize = 5;

/// How many links may lead to the file, as for the kernel (path_resolution(7)).
const LINKS: usize = 40;

/// The way to an exec that can only ever run a file of the container.
///
/// Until the exec /proc/self/exe of this process is our own program on the machine, which container root owns. Were the
/// kernel to look up a path that leads there, as the interpreter after `#!` may, the container's loader would run with a
/// handle on it (CVE-2019-5736). So every path is resolved here, where magic links lead nowhere, and what is executed is
/// named by a folder's descriptor and a name that is no link. That descriptor is close-on-exec, for which the kernel refuses
/// to run a script: nobody can make the file one in between. Scripts are taken apart here instead.
struct Way<'a> {
    inside: &'a Inside,
    environment: &'a [CString],
    foreign: bool,
}

impl Way<'_> {
    fn go(&self, path: &Path, words: &[CString], scripts: usize) -> io::Error {
        let mut file = path.to_owned();
        for _ in 0..LINKS {
            let (Some(name), folder) = (file.file_name(), file.parent().unwrap_or(Path::new("/"))) else {
                return errno(code::EACCES);
            };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let e = match open(self.inside, folder) {
                Ok(place) => match process::exec_at(place.as_fd(), name, words, self.environment) {
                    e if e.raw_os_error() == Some(code::ELOOP) => match target::read_link(place.as_fd(), name) {
                        Ok(to) => {
                            file = folder.join(to);
                            continue;
                        }
                        Err(e) => e,
                    },
                    e => e,
                },
                Err(e) => e,
            };
            return if e.raw_os_error() == Some(code::ENOENT) {
                self.other_than_a_program(path, words, scripts, e)
            } else {
                e
            };
        }
        errno(code::ELOOP)
    }

    /// The kernel has found no program of its own: a script, or something that is registered in binfmt_misc.
    fn other_than_a_program(&self, path: &Path, words: &[CString], scripts: usize, e: io::Error) -> io::Error {
        let Ok(head) = open(self.inside, path).map(|place| program::head(&place)) else { return e };
        let Some((interpreter, argument)) = program::shebang(&head) else {
            // The kernel must look the path up itself for what binfmt_misc has, so that this is only done where the image is
            // known to be another machine's: whoever can exchange files of such an image at this moment could lead it astray.
            let machine = program::machine(&head);
            let foreign = self.foreign && machine.is_some() && machine != Some(program::own_machine());
            return if foreign { process::exec(path, words, self.environment) } else { e };
        };
        if scripts == 0 {
            return errno(code::ELOOP);
        }
        let argument = argument.as_deref();
        let own = [Some(interpreter.as_os_str()), argument, Some(path.as_os_str())];
        match process::c_strings(own.into_iter().flatten()) {
            Ok(mut all) => {
                all.extend(words.iter().skip(1).cloned());
                self.go(&interpreter, &all, scripts - 1)
            }
            Err(e) => e,
        }
    }
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

/// Relative paths are the working directory's, which is inside the root as well; `..` may lead out of the one, not the other.
fn open(inside: &Inside, path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let root = inside.roots.as_ref().ok_or(errno(code::EINVAL))?;
    if path.is_absolute() {
        return target::open(root.new.as_fd(), path);
    }
    target::open(root.new.as_fd(), &std::env::current_dir()?.join(path))
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
    if !target::is_file(place.as_fd()).unwrap_or(true) {
        return failure(EXIT_NOT_EXECUTABLE, format!("{name} is no file but a device, a pipe or a socket"));
    }
    let head = program::head(&place);
    let detail = match e.raw_os_error() {
        Some(code::EACCES) => format!("{name} is not executable: `chmod +x` it, or name its interpreter"),
        Some(code::ENOENT) if program::ends_with_return(&head) => {
            format!(
                "the first line of {name} ends with a carriage return, as on Windows: `sed -i 's/\\r$//'` takes it out"
            )
        }
        Some(code::ENOENT) => match program::interpreter(&head) {
            Some(wanted) => format!("{name} needs {wanted}, which the image does not have"),
            None => format!("{name} needs a loader that the image does not have"),
        },
        Some(code::ENOEXEC) => program::no_exec_format(&name, &head),
        Some(code::E2BIG) => "the arguments and the environment are too long".into(),
        _ => format!("{name} cannot be started"),
    };
    failure(EXIT_NOT_EXECUTABLE, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_entries() {
        let path = vec![Raw::from("PATH=/a::/b")];
        assert_eq!(candidates(&"x".into(), &path), [Path::new("/a/x"), Path::new("./x"), Path::new("/b/x")]);
        assert_eq!(candidates(&"./x".into(), &path), [Path::new("./x")]);
    }
}
