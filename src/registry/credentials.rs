//! Who we are to a registry: what docker and podman keep of it, and their helpers.
//!
//! The files, and the first one that knows the registry decides: `$REGISTRY_AUTH_FILE`,
//! `$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`, `$DOCKER_CONFIG/config.json` or
//! `~/.docker/config.json` (containers-auth.json(5)). In a file, the helper for the host comes first, then the helper for
//! all (`credsStore`), then what the file has itself, of which the longest key that fits: `host/team/app`, `host/team`,
//! `host`. A file or an entry that makes no sense is told and passed over; what is secret is never shown.

pub mod files;
mod helper;

use base64::Engine as _;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt, path::Path};

use crate::say;
pub use helper::{erase, store};

/// The key under which docker keeps what belongs to docker.io.
pub const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// The largest file that is read, in bytes.
const MAX: u64 = 4 << 20;

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that is exchanged for others (docker's `identitytoken`).
    Identity(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Password { .. } => "Password(…)",
            Secret::Identity(_) => "Identity(…)",
        })
    }
}

/// A secret, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The secret.
    pub secret: Secret,
    /// The file, or the helper, for messages.
    pub place: String,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// What the file has itself, by `host` or `host/path`; where an entry makes no sense, why.
    pub auths: BTreeMap<String, Result<Secret, String>>,
    /// Names of helpers for hosts.
    pub helpers: BTreeMap<String, String>,
    /// The name of the helper for all hosts.
    pub helper: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

/// Reads the content of a `config.json` or `auth.json`.
///
/// # Errors
/// It is no such file; the text says where, and shows nothing of it.
pub fn parse(bytes: &[u8]) -> Result<Entries, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Entries::default());
    }
    let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)
        .map_err(|e| format!("line {}, column {}: it is no JSON object", e.line(), e.column()))?;
    let raw: Raw = serde_json::from_value(whole.into())
        .map_err(|_| "its \"auths\", \"credHelpers\" or \"credsStore\" is not what it should be".to_owned())?;
    let mut entries = Entries {
        helpers: raw.cred_helpers.unwrap_or_default().into_iter().map(|(key, name)| (plain_key(&key), name)).collect(),
        helper: raw.creds_store.filter(|name| !name.is_empty()),
        ..Entries::default()
    };
    for (key, value) in raw.auths.unwrap_or_default() {
        if let Some(secret) = secret(&value).transpose() {
            entries.auths.insert(plain_key(&key), secret);
        }
    }
    Ok(entries)
}

/// `docker.io` for docker's own names of it; without scheme and the path that comes with one.
fn plain_key(key: &str) -> String {
    let (is_address, bare) = match key.split_once("://") {
        Some((_, rest)) => (true, rest.split('/').next().unwrap_or_default()),
        None => (false, key.trim_end_matches('/')),
    };
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" | "docker.io" => "docker.io",
        host => host,
    };
    match path {
        Some(path) if !is_address && path != "v1" && path != "v2" => format!("{host}/{path}"),
        _ => host.to_owned(),
    }
}

fn secret(value: &serde_json::Value) -> Result<Option<Secret>, String> {
    let text = |name: &str| value.get(name).and_then(|v| v.as_str()).filter(|v| !v.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Secret::Identity(token.to_owned())));
    }
    if let Some(auth) = text("auth") {
        let engine = base64::engine::GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            base64::engine::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let bytes = engine.decode(auth.trim()).map_err(|_| "its \"auth\" is no base64".to_owned())?;
        let whole = String::from_utf8(bytes).map_err(|_| "its \"auth\" is no text".to_owned())?;
        let (user, password) = whole.split_once(':').ok_or("its \"auth\" is not USER:PASSWORD in base64")?;
        // Docker writes zero bytes after some passwords.
        let password = password.trim_end_matches('\0');
        return Ok(Some(Secret::Password { user: user.to_owned(), password: password.to_owned() }));
    }
    match (text("username"), text("password")) {
        (Some(user), Some(password)) => {
            Ok(Some(Secret::Password { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Ok(None),
    }
}

/// What is known for `repository` of `host`, from the files of this user; notes tell what could not be read.
pub fn find(host: &str, repository: &str) -> Option<Found> {
    files::to_read(&|name| std::env::var_os(name)).iter().find_map(|file| find_in(file, host, repository))
}

/// What one file says of it.
pub fn find_in(file: &Path, host: &str, repository: &str) -> Option<Found> {
    let bytes = match files::read(file, MAX) {
        Ok(bytes) => bytes?,
        Err(e) => {
            say::note(&format!("{} cannot be read and is passed over: {}", file.display(), say::words(&e)));
            return None;
        }
    };
    let entries = match parse(&bytes) {
        Ok(entries) => entries,
        Err(why) => {
            say::note(&format!("{} is passed over: {why}", file.display()));
            return None;
        }
    };
    let host = plain_key(host);
    let own = entries.helpers.get(&host);
    for name in own.into_iter().chain(&entries.helper) {
        match helper::get(name, server_key(&host)) {
            Ok(Some(secret)) => {
                return Some(Found { secret, place: format!("docker-credential-{name} ({})", file.display()) });
            }
            Ok(None) => {}
            Err(why) => say::note(&format!("{why}; {} names it", file.display())),
        }
    }
    let (key, secret) = longest(&entries, &host, repository)?;
    match secret {
        Ok(secret) => Some(Found { secret: secret.clone(), place: file.display().to_string() }),
        Err(why) => {
            say::note(&format!("{}: the entry for {key} is passed over: {why}", file.display()));
            None
        }
    }
}

fn longest<'a>(entries: &'a Entries, host: &str, repository: &str) -> Option<(String, &'a Result<Secret, String>)> {
    let whole = format!("{host}/{repository}");
    let mut key = whole.as_str();
    loop {
        if let Some(secret) = entries.auths.get(key) {
            return Some((key.to_owned(), secret));
        }
        key = key.rsplit_once('/')?.0;
    }
}

/// The name of a host in files and for helpers.
pub fn server_key(host: &str) -> &str {
    if host == "docker.io" { DOCKER_KEY } else { host }
}

#[cfg(test)]
mod tests;
