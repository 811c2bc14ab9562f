//! The files of docker and podman: where they are, and how an entry gets in and out of one.

use super::{plain_key, server_key};
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use serde_json::{Map, Value};
use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The environment.
type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Every file that may know something, the one that decides first.
pub fn to_read(variable: Variables<'_>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let home = path("HOME");
    let config = path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let all = [
        path("REGISTRY_AUTH_FILE"),
        path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        config.map(|dir| dir.join("containers/auth.json")),
        docker(variable),
    ];
    let mut files: Vec<PathBuf> = all.into_iter().flatten().collect();
    files.dedup();
    files
}

fn docker(variable: Variables<'_>) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker")))?;
    Some(folder.join("config.json"))
}

/// Where a login belongs: the file of `$REGISTRY_AUTH_FILE`, else the one that has this host already, else docker's,
/// which podman reads, too, and which outlives the session, as podman's own in `$XDG_RUNTIME_DIR` does not.
pub fn to_write(host: &str, variable: Variables<'_>) -> Option<PathBuf> {
    if let Some(named) = variable("REGISTRY_AUTH_FILE").filter(|v| !v.is_empty()) {
        return Some(named.into());
    }
    let names = |part: Option<&Value>| {
        let keys = part.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        keys.map(|key| plain_key(key)).any(|key| key == plain_key(host))
    };
    let knows = |file: &PathBuf| whole(file).is_ok_and(|all| names(all.get("auths")) || names(all.get("credHelpers")));
    to_read(variable).into_iter().find(knows).or_else(|| docker(variable))
}

/// The content of a file, where it is there.
///
/// # Errors
/// It cannot be read, or is larger than `max` bytes.
pub fn read(file: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let open = match fs::File::open(file) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        open => open?,
    };
    if !open.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    open.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other("it is too large"));
    }
    Ok(Some(bytes))
}

/// Which helper a file names for a host.
///
/// # Errors
/// The file cannot be read or understood.
pub fn helper_for(file: &Path, host: &str) -> Result<Option<String>> {
    let whole = whole(file)?;
    let entries = super::parse(Value::Object(whole).to_string().as_bytes()).map_err(anyhow::Error::msg)?;
    Ok(entries.helpers.get(&plain_key(host)).cloned().or(entries.helper))
}

/// Puts a user and a password into a file; everything else in it stays. With `None` the entry is there and empty, as
/// docker has it where a helper keeps the secret.
///
/// # Errors
/// The file cannot be understood, read or written; it is then as it was.
pub fn put(file: &Path, host: &str, secret: Option<(&str, &str)>) -> Result<()> {
    let mut whole = whole(file)?;
    let auths = auths(&mut whole, file)?;
    auths.retain(|key, _| plain_key(key) != plain_key(host));
    let mut entry = Map::new();
    if let Some((user, password)) = secret {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        entry.insert("auth".to_owned(), auth.into());
    }
    auths.insert(server_key(host).to_owned(), Value::Object(entry));
    write(file, &whole)
}

/// Takes a host's entry, or all, out of a file; the hosts that were there.
///
/// # Errors
/// The file cannot be understood, read or written; it is then as it was.
pub fn take(file: &Path, host: Option<&str>) -> Result<Vec<String>> {
    let mut whole = whole(file)?;
    let auths = auths(&mut whole, file)?;
    let goes = |key: &String| host.is_none_or(|host| plain_key(key) == plain_key(host));
    let gone: Vec<String> = auths.keys().filter(|key| goes(key)).map(|key| plain_key(key)).collect();
    auths.retain(|key, _| !goes(key));
    if !gone.is_empty() {
        write(file, &whole)?;
    }
    Ok(gone)
}

fn whole(file: &Path) -> Result<Map<String, Value>> {
    let bytes = read(file, super::MAX).with_context(|| format!("read {}", file.display()))?.unwrap_or_default();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(whole)) => Ok(whole),
        Ok(_) => bail!("read {}: it is no JSON object", file.display()),
        Err(e) => bail!("read {}: line {}, column {}: it is no JSON", file.display(), e.line(), e.column()),
    }
}

fn auths<'a>(whole: &'a mut Map<String, Value>, file: &Path) -> Result<&'a mut Map<String, Value>> {
    let auths = whole.entry("auths").or_insert_with(|| Value::Object(Map::new()));
    if auths.is_null() {
        *auths = Value::Object(Map::new());
    }
    match auths {
        Value::Object(auths) => Ok(auths),
        _ => bail!("read {}: its \"auths\" is no JSON object", file.display()),
    }
}

/// In one step, readable by nobody else. A symbolic link, as dotfile managers make, stays one.
fn write(file: &Path, whole: &Map<String, Value>) -> Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let step = || format!("write {}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(step)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let draft = file.with_file_name(name);
    let written = (|| {
        let _ = fs::remove_file(&draft);
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        out.write_all(&serde_json::to_vec_pretty(whole)?)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&draft, &file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.with_context(step)
}
