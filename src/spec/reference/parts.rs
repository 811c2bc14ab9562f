//! The rules for the parts of a reference. Each fault is told by its byte in the part.

use crate::spec::digest::Wrong;
use std::net::Ipv6Addr;

/// The longest tag, in bytes.
const MAX_TAG: usize = 128;

/// Whether what stands before the first `/` is a host.
pub(super) fn is_host(first: &str) -> bool {
    first == "localhost" || first.bytes().any(|byte| b".:".contains(&byte) || byte.is_ascii_uppercase())
}

/// Whether it is how ids of images are written.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A host, with its port.
pub(super) fn check_host(host: &str) -> Result<(), Wrong> {
    if let Some(rest) = host.strip_prefix('[') {
        return check_ipv6(rest).map_err(|wrong| wrong.after(1));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let mut start = 0;
    for label in name.split('.') {
        check_label(label).map_err(|wrong| wrong.after(start))?;
        start += label.len() + 1;
    }
    if port.is_some_and(|port| port.contains(':')) {
        return Err(Wrong::at(name.len(), "a host has one ':', before its port, and an IPv6 address stands in [ ]"));
    }
    port.map_or(Ok(()), check_port).map_err(|wrong| wrong.after(name.len() + 1))
}

fn check_label(label: &str) -> Result<(), Wrong> {
    let odd = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
    if let Some(at) = label.bytes().position(odd) {
        return Err(Wrong::at(at, "a host has letters, digits, '-' and '.'"));
    }
    if label.is_empty() {
        return Err(Wrong::all("a part of the host is empty"));
    }
    check_ends(label, "a part of a host begins and ends with a letter or a digit")
}

/// What comes after the `[`. Zones (`%eth0`) and embedded IPv4 are in no reference.
fn check_ipv6(rest: &str) -> Result<(), Wrong> {
    let Some((address, after)) = rest.split_once(']') else {
        return Err(Wrong::all("the ']' after the IPv6 address of the host is missing"));
    };
    if let Some(at) = address.bytes().position(|byte| !byte.is_ascii_hexdigit() && byte != b':') {
        return Err(Wrong::at(at, "an IPv6 address has hexadecimal digits and ':'"));
    }
    if address.parse::<Ipv6Addr>().is_err() {
        return Err(Wrong::all("between [ and ] stands no IPv6 address"));
    }
    match after.strip_prefix(':') {
        Some(port) => check_port(port).map_err(|wrong| wrong.after(address.len() + 2)),
        None if after.is_empty() => Ok(()),
        None => Err(Wrong::at(address.len() + 1, "after the ']' of a host comes ':' and a port, or '/'")),
    }
}

fn check_port(port: &str) -> Result<(), Wrong> {
    if let Some(at) = port.bytes().position(|byte| !byte.is_ascii_digit()) {
        return Err(Wrong::at(at, "a port after a host has digits only"));
    }
    // One way to write a port: two would be two registries.
    if port.starts_with('0') || port.parse::<u16>().is_err() {
        return Err(Wrong::all("the port of the host is none: 1 to 65535"));
    }
    Ok(())
}

/// A path in a registry.
pub(super) fn check_repository(repository: &str) -> Result<(), Wrong> {
    if repository.is_empty() {
        return Err(Wrong::all("the name of the repository is missing"));
    }
    let mut start = 0;
    for component in repository.split('/') {
        check_component(component).map_err(|wrong| wrong.after(start))?;
        start += component.len() + 1;
    }
    Ok(())
}

fn check_component(component: &str) -> Result<(), Wrong> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if let Some(at) = bytes.iter().position(|byte| !plain(*byte) && !b"._-".contains(byte)) {
        let upper = bytes.get(at).is_some_and(u8::is_ascii_uppercase);
        let rule = "a repository has lower-case letters, digits, '.', '_', '-' and '/'";
        return Err(Wrong::at(at, if upper { "repository names are lower case" } else { rule }));
    }
    if component.is_empty() {
        return Err(Wrong::all("a part of the repository, between two '/', is empty"));
    }
    check_ends(component, "a part of a repository begins and ends with a letter or a digit")?;
    let mut at = 0;
    for run in bytes.split(|byte| plain(*byte)) {
        let alone = matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-');
        if !alone {
            return Err(Wrong::at(at, "between letters or digits stands one '.', '_' or '__', or any number of '-'"));
        }
        at += run.len() + 1;
    }
    Ok(())
}

fn check_ends(part: &str, rule: &'static str) -> Result<(), Wrong> {
    let odd = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_alphanumeric());
    if odd(part.as_bytes().first()) {
        return Err(Wrong::at(0, rule));
    }
    if odd(part.as_bytes().last()) {
        return Err(Wrong::at(part.len() - 1, rule));
    }
    Ok(())
}

/// What comes after the `:`.
pub(super) fn check_tag(tag: &str) -> Result<(), Wrong> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if tag.is_empty() {
        return Err(Wrong::all("the tag after ':' is missing"));
    }
    if let Some(at) = tag.bytes().position(|byte| !word(byte) && !b".-".contains(&byte)) {
        return Err(Wrong::at(at, "a tag has letters, digits, '_', '.' and '-'"));
    }
    if tag.starts_with(['.', '-']) {
        return Err(Wrong::at(0, "a tag begins with a letter, a digit or '_'"));
    }
    if tag.len() > MAX_TAG {
        return Err(Wrong::all(format!("the tag has {} characters; {MAX_TAG} are allowed", tag.len())));
    }
    Ok(())
}
