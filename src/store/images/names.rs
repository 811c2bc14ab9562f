//! Names of images: which are valid, which look like one, which one was meant.

use std::ffi::OsStr;
use std::path::Path;

use crate::spec::reference::{DOCKER, OLD_DOCKER, Reference};

/// Images that many registries have under these names. No shells: `run bash` means the program.
pub const WELL_KNOWN: &[&str] = &[
    "almalinux",
    "alpine",
    "amazoncorretto",
    "amazonlinux",
    "archlinux",
    "busybox",
    "caddy",
    "cassandra",
    "centos",
    "clearlinux",
    "debian",
    "eclipse-temurin",
    "elasticsearch",
    "fedora",
    "gentoo",
    "ghost",
    "golang",
    "haproxy",
    "hello-world",
    "influxdb",
    "jenkins",
    "joomla",
    "kibana",
    "mageia",
    "mariadb",
    "memcached",
    "mongo",
    "nextcloud",
    "nginx",
    "node",
    "openjdk",
    "opensuse",
    "oraclelinux",
    "photon",
    "postgres",
    "python",
    "rabbitmq",
    "redis",
    "registry",
    "rockylinux",
    "rust",
    "sonarqube",
    "tomcat",
    "traefik",
    "ubuntu",
    "wordpress",
];

/// The longest name, in bytes without a digest: host and repository, and a tag.
const MAX_NAME: usize = 255 + 1 + 128;

/// The longest file name that `.json` can be put after (path_resolution(7), `NAME_MAX`).
const MAX_FILE_NAME: usize = 250;

/// Checks a name for an image: lower-case letters, digits and `._/-`, then a `:tag` if wanted (letters of both cases); or
/// what a registry knows it by, with the port of the host and a digest ([`Reference`]). The error says what is wrong.
pub fn valid_name(name: &str) -> Result<(), String> {
    plain_name(name).or_else(|wrong| if is_reference(name) { Ok(()) } else { Err(wrong) })
}

/// Whether it is a reference that fits into a file name. Upper case before the first `/` makes a host of any word, as docker
/// has it: here that was mistyped, unless it looks like a host otherwise, too.
fn is_reference(name: &str) -> bool {
    let head = name.split('@').next().unwrap_or(name);
    let is_host = |reference: Reference| reference.host == "localhost" || reference.host.contains(['.', ':']);
    head.len() <= MAX_NAME && name.parse().is_ok_and(is_host)
}

fn plain_name(name: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("image name {name:?}: {what}"));
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > MAX_NAME {
        return wrong("it is too long (384 characters at most)");
    }
    let (path, tag) = name.split_once(':').map_or((name, None), |(path, tag)| (path, Some(tag)));
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return wrong("it has upper-case letters");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._/-".contains(&byte);
    if !path.bytes().all(plain) {
        return wrong("only lower-case letters, digits, `.`, `_`, `-`, `/` and one `:` before a tag");
    }
    if name.contains("..") || path.contains("//") || path.ends_with('/') {
        return wrong("a part of its path is empty or `..`");
    }
    if path.is_empty() || path.starts_with(['/', '.', '-']) {
        return wrong("it begins with `/`, `.`, `-` or `:`");
    }
    let tag_is_good = |tag: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !tag.is_empty() && tag.bytes().all(plain) && !tag.starts_with(['.', '-'])
    };
    if !tag.is_none_or(tag_is_good) {
        return wrong("the tag after `:` has letters, digits, `.`, `_` and `-` only");
    }
    Ok(())
}

/// The file of a record. `NAME:latest` is NAME; of a name that is too long for a file, the hash.
pub fn file_name(name: &str) -> String {
    let name = canonical(name);
    let escaped = format!("{}.json", name.replace('/', "%2F").replace(':', "%3A"));
    if escaped.len() <= MAX_FILE_NAME {
        return escaped;
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    // No name has a `%`.
    format!("%{hex}.json")
}

/// The name without `:latest`.
pub fn canonical(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// Whether both are the same image, however much of the name is left out.
pub fn same(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b) || a.parse::<Reference>().is_ok_and(|a| b.parse().as_ref() == Ok(&a))
}

/// The other names that mean the same as `name`, the full one first: with and without the host and `library/`.
pub fn spellings(name: &str) -> Vec<String> {
    // Of any other host nothing can be left out but the tag.
    let Some(reference) = name.parse::<Reference>().ok().filter(|reference| reference.host == DOCKER) else {
        return Vec::new();
    };
    let full = reference.to_string();
    let path = full.strip_prefix(DOCKER).and_then(|path| path.strip_prefix('/')).unwrap_or(&full);
    let mut all = Vec::new();
    for host in [DOCKER, "", OLD_DOCKER] {
        for path in [Some(path), path.strip_prefix("library/")].into_iter().flatten() {
            let other = if host.is_empty() { path.to_owned() } else { format!("{host}/{path}") };
            // Not every cut leaves the meaning: `docker.io/ghcr.io/a` is not `ghcr.io/a`.
            if canonical(&other) != canonical(name) && other.parse().as_ref() == Ok(&reference) {
                all.push(other);
            }
        }
    }
    all
}

/// Whether a word can only have been meant as the name of an image: it has a `/`, `:` or `@` and is no path.
pub fn looks_like_reference(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.iter().any(|byte| b"/:@".contains(byte)) && !word.starts_with(b"/") && !word.starts_with(b".")
}

/// The names in the store that `name` may have been meant as, nearest first, at most three.
pub fn nearest(root: &Path, name: &str) -> Vec<String> {
    let wanted = path(name);
    let mut near: Vec<(usize, String)> = Vec::new();
    for image in super::list(root).into_iter().flatten() {
        let known = path(&image.name);
        let distance = distance(&wanted, &known);
        // A third of the letters wrong, or `ubuntu` for `ubuntu:22.04`.
        let begins = known.split([':', '/']).any(|part| !part.is_empty() && part == wanted);
        if distance <= (wanted.chars().count() / 3).max(1) || begins {
            near.push((if begins { 0 } else { distance }, image.name));
        }
    }
    near.sort();
    near.truncate(3);
    near.into_iter().map(|(_, name)| name).collect()
}

/// What is compared: without the tag, which is rarely mistyped, and without what can be left out.
fn path(name: &str) -> String {
    match name.parse::<Reference>() {
        Ok(reference) => match reference.short() {
            (Some(host), repository) => format!("{host}/{repository}"),
            (None, repository) => repository.to_owned(),
        },
        Err(_) => name.split([':', '@']).next().unwrap_or(name).to_owned(),
    }
}

/// The edit distance of Levenshtein, row by row, with two swapped neighbours counted as two.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
