//! Names of images: which are valid, which look like one, which one was meant.

use std::ffi::OsStr;
use std::path::Path;

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

/// The longest name.
const MAX_NAME: usize = 128;

/// The longest file name that `.json` can be put after (path_resolution(7), `NAME_MAX`).
const MAX_FILE_NAME: usize = 250;

/// Checks a name for an image: lower-case letters, digits and `._/-`, then a `:tag` if wanted (letters of both cases). The
/// error says what is wrong.
pub fn valid_name(name: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("image name {name:?}: {what}"));
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > MAX_NAME || file_name(name).len() > MAX_FILE_NAME {
        return wrong("it is too long (128 characters at most)");
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

/// The file of a record. `NAME:latest` is NAME.
pub fn file_name(name: &str) -> String {
    let name = canonical(name);
    format!("{}.json", name.replace('/', "%2F").replace(':', "%3A"))
}

fn canonical(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// Whether a word can only have been meant as the name of an image: it has a `/`, `:` or `@` and is no path.
pub fn looks_like_reference(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    word.iter().any(|byte| b"/:@".contains(byte)) && !word.starts_with(b"/") && !word.starts_with(b".")
}

/// The names in the store that `name` may have been meant as, nearest first, at most three.
pub fn nearest(root: &Path, name: &str) -> Vec<String> {
    // The tag is the part that is rarely mistyped.
    let wanted = canonical(name);
    let wanted = wanted.split_once([':', '@']).map_or(wanted, |(path, _)| path);
    let mut near: Vec<(usize, String)> = Vec::new();
    for image in super::list(root).into_iter().flatten() {
        let known = canonical(&image.name);
        let known = known.split_once(':').map_or(known, |(path, _)| path);
        let distance = distance(wanted, known);
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
