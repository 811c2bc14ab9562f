//! The environment of the command: exactly what was asked for, nothing that leaks in.

use super::Raw;
use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// Where commands are looked for when neither the image nor `-e` says it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The name in `KEY=VALUE`.
pub fn key(variable: &[u8]) -> &[u8] {
    let end = variable.iter().position(|b| *b == b'=').unwrap_or(variable.len());
    &variable[..end]
}

/// Puts `variable` into `env`, in place of an earlier one of the same name.
pub fn set(env: &mut Vec<Raw>, variable: Raw) {
    match env.iter_mut().find(|old| key(old.bytes()) == key(variable.bytes())) {
        Some(old) => *old = variable,
        None => env.push(variable),
    }
}

/// Like [`set`], unless there is one of this name.
pub fn set_default(env: &mut Vec<Raw>, variable: Raw) {
    if value(env, key(variable.bytes())).is_none() {
        env.push(variable);
    }
}

/// The value of a variable.
pub fn value<'a>(env: &'a [Raw], name: &[u8]) -> Option<&'a OsStr> {
    let found = env.iter().find(|v| key(v.bytes()) == name)?;
    Some(OsStr::from_bytes(found.bytes().get(name.len() + 1..)?))
}

/// `-e KEY=VALUE`, or `-e KEY`: the caller's own value, left out where the caller has none.
///
/// # Errors
/// The name is empty.
pub fn parse(text: &OsStr, own: impl Fn(&OsStr) -> Option<std::ffi::OsString>) -> Result<Option<Raw>, String> {
    let name = key(text.as_bytes());
    if name.is_empty() {
        return Err("a variable needs a name: KEY=VALUE, or KEY for your own value".into());
    }
    if name.len() < text.len() {
        return Ok(Some(text.into()));
    }
    Ok(own(text).map(|value| {
        let mut whole = text.as_bytes().to_vec();
        whole.push(b'=');
        whole.extend(value.into_vec());
        Raw::from(whole)
    }))
}

/// The lines of an `--env-file`, as docker reads them: `#` starts a comment at the start of a line, nothing is quoted.
///
/// # Errors
/// The number of the line and what is wrong with it.
pub fn parse_file(content: &[u8], own: impl Fn(&OsStr) -> Option<std::ffi::OsString>) -> Result<Vec<Raw>, String> {
    let mut out = Vec::new();
    for (n, line) in content.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            return Err(format!("line {}: a NUL byte", n + 1));
        }
        let variable = parse(OsStr::from_bytes(line), &own).map_err(|e| format!("line {}: {e}", n + 1))?;
        out.extend(variable);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn own(name: &OsStr) -> Option<OsString> {
        (name == "HERE").then(|| "a=b".into())
    }

    #[test]
    fn later_wins_in_place() {
        let mut env = vec!["A=1".into(), "B=2".into()];
        set(&mut env, "A=3".into());
        set_default(&mut env, "B=9".into());
        set_default(&mut env, "C=".into());
        assert_eq!(env, ["A=3".into(), "B=2".into(), Raw::from("C=")]);
        assert_eq!(value(&env, b"C"), Some(OsStr::new("")));
        assert_eq!(value(&env, b"D"), None);
    }

    #[test]
    fn own_values() {
        assert_eq!(parse(OsStr::new("HERE"), own), Ok(Some("HERE=a=b".into())));
        assert_eq!(parse(OsStr::new("GONE"), own), Ok(None));
        assert_eq!(parse(OsStr::new("X="), own), Ok(Some("X=".into())));
        assert!(parse(OsStr::new("=x"), own).is_err());
        assert!(parse(OsStr::new(""), own).is_err());
    }

    #[test]
    fn files() {
        let read = parse_file(b"# note\nA=1 # kept\r\n\n  HERE\nGONE\nB=\"q\"", own).unwrap();
        assert_eq!(read, ["A=1 # kept".into(), "HERE=a=b".into(), Raw::from("B=\"q\"")]);
        assert!(parse_file(b"ok=1\n=2", own).unwrap_err().starts_with("line 2:"));
    }
}
