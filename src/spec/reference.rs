//! Names of images as registries know them.
//!
//! ```text
//! reference   := [host "/"] repository [":" tag] ["@" digest]
//! host        := (label *("." label) | "[" IPv6 "]") [":" port]        label: letters, digits, inner dashes
//! repository  := component *("/" component)                            whole name: 255 bytes at most
//! component   := [a-z0-9]+ *(("." | "_" | "__" | "-"+) [a-z0-9]+)
//! tag         := [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
//! digest      := "sha256:" 64 digits | "sha512:" 128 digits            0-9 and a-f
//! ```
//!
//! The grammar is that of the distribution project and of the OCI distribution-spec ("Pulling manifests"). What stands
//! before the first `/` is a host only if it could be no repository's beginning: it has a `.` or a `:` or an upper-case
//! letter, or is `localhost`. What is left out is docker's: the host `docker.io`, `library/` there before a single
//! component, the tag `latest` where neither tag nor digest is given.
//!
//! Stricter than docker: a port that none can be, an IPv6 address that is none, digests of other algorithms.

mod parts;

use super::digest::{self, Algorithm, Digest, Wrong};
use parts::{check_host, check_repository, check_tag, is_host, is_id};
use std::{fmt, str::FromStr};

/// The host that is meant where none is given.
pub const DOCKER: &str = "docker.io";

/// An older name of [`DOCKER`], which means the same. Docker takes no other host for it: `registry-1.docker.io` is what a
/// client talks to, and as a name it is a registry of its own.
pub const OLD_DOCKER: &str = "index.docker.io";

/// Where [`DOCKER`] keeps what has a name of one component.
const LIBRARY: &str = "library/";

/// The longest host and repository, in bytes, `/` included.
const MAX_NAME: usize = 255;

/// What is longer is not looked at, in bytes.
const MAX_TEXT: usize = 4096;

/// An image in a registry. [`FromStr`] fills in what was left out, so that equal ones mean the same image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The registry, with its port where one was given; case as given.
    pub host: String,
    /// The path in it.
    pub repository: String,
    /// Which of its images: a name that may move.
    pub tag: Option<String>,
    /// Which of its images: this content and no other. It decides where a tag is given, too.
    pub digest: Option<Digest>,
}

/// Why a text is no [`Reference`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule that is broken, and by which character where it is one.
    pub wrong: String,
    /// What is a reference and was probably meant.
    pub meant: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wrong)?;
        self.meant.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean {meant:?}?"))
    }
}

impl FromStr for Reference {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Reference, Fault> {
        let parts = split(text).map_err(|wrong| Fault { wrong: wrong.told_of(text), meant: guess(text) })?;
        Ok(parts.into())
    }
}

impl fmt::Display for Reference {
    /// The full name, with nothing left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.fmt_version(f)
    }
}

impl Reference {
    /// The name as docker shows it, without `docker.io/` and `library/`. It means the same when it is read again, for
    /// which `docker.io/` stays where the repository begins as a host would.
    pub fn familiar(&self) -> String {
        struct Familiar<'a>(&'a Reference);
        impl fmt::Display for Familiar<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (host, repository) = self.0.short();
                host.map_or(Ok(()), |host| write!(f, "{host}/"))?;
                f.write_str(repository)?;
                self.0.fmt_version(f)
            }
        }
        Familiar(self).to_string()
    }

    /// The host and the repository that [`Reference::familiar`] shows.
    pub fn short(&self) -> (Option<&str>, &str) {
        let repository = self.repository.as_str();
        if self.host != DOCKER {
            return (Some(&self.host), repository);
        }
        if let Some(name) = repository.strip_prefix(LIBRARY).filter(|name| !name.contains('/')) {
            let is_id = name == "sha256" && self.digest.is_none() && self.tag.as_deref().is_some_and(is_id);
            return (None, if is_id { repository } else { name });
        }
        let first = repository.split('/').next().unwrap_or_default();
        (is_host(first).then_some(DOCKER), repository)
    }

    fn fmt_version(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// A reference that is known to be right and not copied yet.
#[derive(Debug)]
struct Parts<'a> {
    host: &'a str,
    /// Whether `library/` was left out.
    library: bool,
    repository: &'a str,
    tag: Option<&'a str>,
    digest: Option<(Algorithm, &'a str)>,
}

impl From<Parts<'_>> for Reference {
    fn from(parts: Parts<'_>) -> Reference {
        let tag = parts.tag.or(parts.digest.is_none().then_some("latest"));
        Reference {
            host: parts.host.to_owned(),
            repository: [if parts.library { LIBRARY } else { "" }, parts.repository].concat(),
            tag: tag.map(str::to_owned),
            digest: parts.digest.map(Digest::checked),
        }
    }
}

fn split(text: &str) -> Result<Parts<'_>, Wrong> {
    if text.is_empty() {
        return Err(Wrong::all("it is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(Wrong::all(format!("it is too long: {} bytes", text.len())));
    }
    if is_id(text) || text.strip_prefix("sha256:").is_some_and(is_id) {
        return Err(Wrong::all("64 hexadecimal digits are the id of an image, and no name"));
    }
    let (head, digest) = text.split_once('@').map_or((text, None), |(head, digest)| (head, Some(digest)));
    let (host, path) = match head.split_once('/') {
        Some((first, path)) if is_host(first) => (Some(first), path),
        _ => (None, head),
    };
    let (repository, tag) = path.split_once(':').map_or((path, None), |(name, tag)| (name, Some(tag)));
    let start = head.len() - path.len();
    host.map_or(Ok(()), check_host)?;
    check_repository(repository).map_err(|wrong| wrong.after(start))?;
    tag.map_or(Ok(()), check_tag).map_err(|wrong| wrong.after(start + repository.len() + 1))?;
    let after_head = |wrong: Wrong| wrong.after(head.len() + 1);
    let digest = digest.map(digest::split).transpose().map_err(after_head)?;
    let host = host.filter(|host| *host != OLD_DOCKER).unwrap_or(DOCKER);
    let library = host == DOCKER && !repository.contains('/');
    let length = host.len() + 1 + if library { LIBRARY.len() } else { 0 } + repository.len();
    if length > MAX_NAME {
        return Err(Wrong::all(format!(
            "host and repository have {length} characters together; {MAX_NAME} are allowed"
        )));
    }
    Ok(Parts { host, library, repository, tag, digest })
}

/// What was probably meant: without a scheme, with `:` before a tag, in lower case. Nothing where that is no reference
/// either.
fn guess(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let bare = text.trim();
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest).trim_end_matches('/');
    let (head, digest) = bare.split_once('@').map_or((bare, None), |(head, digest)| (head, Some(digest)));
    let last = head.rfind('/').map_or(0, |at| at + 1);
    let end = head[last..].find(':').map_or(head.len(), |at| last + at);
    let (name, tag) = head.split_at(end);
    let mut meant = name.to_ascii_lowercase();
    meant.push_str(tag);
    match digest {
        Some(digest) if digest.contains(':') => meant.push_str(&format!("@{}", digest.to_ascii_lowercase())),
        Some(tag) => meant.push_str(&format!(":{tag}")),
        None => {}
    }
    (meant != text && split(&meant).is_ok()).then_some(meant)
}

#[cfg(test)]
mod tests;
