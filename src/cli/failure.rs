//! From an error to the message: the failed step, one cause, one remedy, and who can do it.

mod limits;

pub use limits::limit as limit_advice;

use crate::{
    EXIT_NOT_FOUND, EXIT_OURS,
    host::diagnose::{self, Advice, Switches, Who},
    launch::{Kind, LaunchError},
    say,
    store::images,
    sys::code,
    userns::Remote,
};
use std::{fmt, io, path::PathBuf};

/// A launch that failed, with what the search for the cause needs.
#[derive(Debug)]
pub struct Launch {
    pub error: LaunchError,
    pub store: PathBuf,
    /// The word that was taken for a command, for it is no image's name.
    pub word: Option<String>,
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Launch {}

/// The text after `error:`, and the exit status of `run`.
pub fn describe(e: &anyhow::Error) -> (String, u8) {
    if let Some(launch) = e.downcast_ref::<Launch>() {
        let advice = launch_advice(launch).map(|a| format!("\n{a}")).unwrap_or_default();
        return (format!("{launch}{advice}"), launch.error.status);
    }
    let text = chain(e);
    let remote = e.downcast_ref::<Remote>().map(|remote| remote.errno);
    let about_disk = e.chain().find_map(|e| e.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error).or(remote);
    let advice = match about_disk {
        Some(code) if !text.contains("fix (") => {
            diagnose::folder(&mentioned_path(&text).unwrap_or_else(|| PathBuf::from(".")), code)
        }
        _ => None,
    };
    (format!("{text}{}", advice.map(|a| format!("\n{a}")).unwrap_or_default()), EXIT_OURS)
}

/// Whether the ids could not be mapped.
pub fn is_unmappable(e: &anyhow::Error) -> bool {
    e.downcast_ref::<Launch>().is_some_and(|launch| launch.error.kind == Kind::MapIds)
}

/// What a failed step said, without the step.
pub fn last_words(e: &anyhow::Error) -> String {
    e.downcast_ref::<Launch>().map_or_else(|| say::chain(e), |launch| launch.error.detail.clone())
}

/// The contexts from the outside in; lines of cause and remedy, which only the outermost may have, go last.
fn chain(e: &anyhow::Error) -> String {
    let mut heads = Vec::new();
    let mut tails = Vec::new();
    for part in e.chain() {
        let text = match part.downcast_ref::<io::Error>() {
            Some(e) => say::words(e),
            None => part.to_string(),
        };
        match text.split_once('\n') {
            Some((head, tail)) => {
                heads.push(head.to_owned());
                tails.push(tail.to_owned());
            }
            None => heads.push(text),
        }
    }
    heads.dedup();
    let mut whole = heads.join(": ");
    for tail in tails {
        whole.push('\n');
        whole.push_str(&tail);
    }
    whole
}

/// The last path of the text: what was written to is named after what was read from.
fn mentioned_path(text: &str) -> Option<PathBuf> {
    let word = text.split_whitespace().rfind(|word| word.starts_with('/'))?;
    Some(word.trim_end_matches([':', ',', ';']).into())
}

fn launch_advice(launch: &Launch) -> Option<Advice> {
    let LaunchError { kind, errno, detail, .. } = &launch.error;
    match kind {
        Kind::Clone => diagnose::namespaces(*errno, &Switches::read()),
        Kind::MapIds => diagnose::mapping(detail, *errno, &Switches::read()),
        Kind::PrivateMounts if matches!(*errno, code::EPERM | code::EACCES) => {
            diagnose::namespaces(*errno, &Switches::read())
        }
        Kind::Folder(path) => diagnose::folder(path, *errno),
        Kind::Overlay => diagnose::folder(&launch.store, *errno).or_else(|| overlay(*errno)),
        Kind::Become => become_advice(*errno),
        Kind::Other if *errno == code::EROFS && !detail.is_empty() => Some(Advice {
            cause: "a place to mount on is missing in a folder of the machine, where nothing is made".into(),
            who: Who::You,
            remedy: "make it there yourself, or mount at a place outside of that folder".into(),
        }),
        Kind::Other if *errno == code::ENOTDIR && detail.is_empty() => Some(Advice {
            cause: "in the image there is a file in the place of a folder".into(),
            who: Who::You,
            remedy: "name a folder, or a place where nothing is yet".into(),
        }),
        Kind::Other if *errno == code::ENOSPC => diagnose::folder(&launch.store, *errno),
        Kind::Scope => limits::scope(),
        Kind::Group => limits::group(*errno),
        Kind::Limit { flag, file } => limits::limit(flag, file, *errno),
        Kind::Exec => Some(command(launch)),
        Kind::PrivateMounts | Kind::Other => None,
    }
}

fn command(launch: &Launch) -> Advice {
    let advice = |cause: String, remedy: &str| Advice { cause, who: Who::You, remedy: remedy.into() };
    if launch.error.status != EXIT_NOT_FOUND {
        return advice(
            "the kernel cannot execute it in this image".into(),
            "name another program, or take an image that fits",
        );
    }
    let nearest = launch.word.as_ref().map(|word| (word, images::nearest(&launch.store, word)));
    match nearest {
        Some((word, names)) if !names.is_empty() => advice(
            format!("no image is called {word} either, so it was taken for a command"),
            &format!("did you mean the image {}?", names.join(" or ")),
        ),
        _ => advice(
            "a command comes from the image, not from this machine".into(),
            "check the spelling, or take an image that has it (--image host: this machine's own programs)",
        ),
    }
}

fn overlay(errno: i32) -> Option<Advice> {
    let cause = match errno {
        code::EINVAL => "the kernel's overlay does not take this file system or this many layers",
        code::ESTALE => "the image's folder was exchanged under the container",
        _ => "the overlay cannot be mounted in this place",
    };
    Some(Advice {
        cause: cause.into(),
        who: Who::You,
        remedy: "--storage fuse-overlayfs or --storage copy goes another way".into(),
    })
}

fn become_advice(errno: i32) -> Option<Advice> {
    let (cause, remedy) = match errno {
        code::EINVAL => (
            "only ids of the id map exist inside, and this is none of them",
            "--userns range gives 65536 ids where you have them; --userns keep-id keeps your own",
        ),
        _ => ("the name is in none of the image's files", "give a number, or a name that the image has"),
    };
    Some(Advice { cause: cause.into(), who: Who::You, remedy: remedy.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn no_bare_errno_reaches_the_user() {
        let e = Err::<(), _>(io::Error::from_raw_os_error(code::ENOSPC)).context("write /tmp/x").unwrap_err();
        let (text, status) = describe(&e);
        assert!(text.starts_with("write /tmp/x: No space left on device\n  cause: "), "{text}");
        assert!(!text.contains("os error"));
        assert_eq!(status, EXIT_OURS);
    }

    #[test]
    fn cause_and_remedy_come_last() {
        let e = anyhow::anyhow!("inner\n  fix (you): that").context("outer");
        assert_eq!(describe(&e).0, "outer: inner\n  fix (you): that");
    }
}
