//! The configuration files: `/etc/little-container/config.toml`, an administrator's, and `config.toml` in XDG's
//! configuration folder, whose keys win.

use crate::spec::{
    Network, Pull, Storage, Userns,
    limits::{Cgroups, Strictness},
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// For all users of this machine.
const SITE: &str = "/etc/little-container/config.toml";

/// Everything that it may say. An unknown key is an error: it would be a setting without effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The image for `run COMMAND`.
    pub default_image: Option<String>,
    /// Where images and containers are kept.
    pub store: Option<PathBuf>,
    /// `--storage` where it is not given.
    pub storage: Option<Storage>,
    /// `--network` where it is not given.
    pub network: Option<Network>,
    /// `--userns` where it is not given.
    pub userns: Option<Userns>,
    /// `--pull` where it is not given.
    pub pull: Option<Pull>,
    /// No registry is asked for anything.
    pub offline: Option<bool>,
    /// `--limits` where it is not given.
    pub limits: Option<Strictness>,
    /// `--cgroups` where it is not given.
    pub cgroups: Option<Cgroups>,
    /// Servers that are asked before a registry, by the registry's host.
    pub mirrors: Option<BTreeMap<String, Vec<String>>>,
    /// Registries that may speak plain HTTP or have any certificate.
    pub insecure_registries: Option<Vec<String>>,
    /// `--ca` where it is not given.
    pub ca: Option<PathBuf>,
}

impl Config {
    /// What another one says where this one says nothing.
    fn or(self, other: Config) -> Config {
        Config {
            default_image: self.default_image.or(other.default_image),
            store: self.store.or(other.store),
            storage: self.storage.or(other.storage),
            network: self.network.or(other.network),
            userns: self.userns.or(other.userns),
            pull: self.pull.or(other.pull),
            offline: self.offline.or(other.offline),
            limits: self.limits.or(other.limits),
            cgroups: self.cgroups.or(other.cgroups),
            mirrors: self.mirrors.or(other.mirrors),
            insecure_registries: self.insecure_registries.or(other.insecure_registries),
            ca: self.ca.or(other.ca),
        }
    }
}

/// Reads both; a file that is not there says nothing.
///
/// # Errors
/// One cannot be read, or not understood; the error says where.
pub fn read() -> Result<Config> {
    let site = read_one(Path::new(SITE))?;
    let own = super::dirs::config_file().map(|path| read_one(&path)).transpose()?;
    Ok(own.unwrap_or_default().or(site))
}

fn read_one(path: &Path) -> Result<Config> {
    let text = match fs::read_to_string(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Config::default());
        }
        text => text.with_context(|| format!("read the configuration {}", path.display()))?,
    };
    parse(&text).with_context(|| format!("read the configuration {}", path.display()))
}

fn parse(text: &str) -> Result<Config> {
    toml::from_str(text).map_err(|e| {
        let before = e.span().and_then(|at| text.get(..at.start)).unwrap_or_default();
        anyhow::anyhow!("line {}: {}", before.matches('\n').count() + 1, e.message())
    })
}

/// Writes `default_image` into the file, keeping everything else as it is.
///
/// # Errors
/// The file cannot be read or written.
pub fn set_default_image(name: &str) -> Result<PathBuf> {
    set("default_image", name)
}

/// Writes `store` into the file, keeping everything else as it is.
///
/// # Errors
/// The file cannot be read or written, or the path is no text.
pub fn set_store(folder: &Path) -> Result<PathBuf> {
    set("store", folder.to_str().with_context(|| format!("{} is no UTF-8", folder.display()))?)
}

fn set(key: &str, value: &str) -> Result<PathBuf> {
    let path = super::dirs::config_file()
        .context("find the configuration folder: neither HOME nor a home of yours is known")?;
    let old = match fs::read_to_string(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("read {}", path.display()))?,
    };
    let new = with_line(&old, key, value);
    parse(&new).with_context(|| format!("change {}", path.display()))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let draft = path.with_extension("toml.new");
    fs::write(&draft, new)
        .and_then(|()| fs::rename(&draft, &path))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// The keys of this file all stand at its top level, so that a line can be exchanged without understanding the others.
fn with_line(old: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value:?}");
    let is_it = |l: &&str| l.split('=').next().is_some_and(|word| word.trim() == key);
    if !old.lines().any(|l| is_it(&l)) {
        return if old.is_empty() { format!("{line}\n") } else { format!("{line}\n{old}") };
    }
    old.lines().map(|l| if is_it(&l) { line.as_str() } else { l }).fold(String::new(), |all, l| all + l + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let config = parse("default_image = \"ubuntu\"\nstorage = \"copy\"\nnetwork = \"none\"\n").unwrap();
        assert_eq!(config.default_image.as_deref(), Some("ubuntu"));
        assert_eq!((config.storage, config.network), (Some(Storage::Copy), Some(Network::None)));
        assert!(parse("defualt_image = \"x\"").is_err());
        let wrong = parse("# mine\nstorage = \"zfs\"\n").unwrap_err().to_string();
        assert!(wrong.starts_with("line 2: unknown variant") && !wrong.contains('\n'), "{wrong}");
    }

    #[test]
    fn the_user_s_keys_win() {
        let site = parse("ca = \"/a\"\nstorage = \"copy\"\n[mirrors]\n\"docker.io\" = [\"https://m\"]\n").unwrap();
        let own = parse("ca = \"/b\"\ninsecure_registries = [\"r:5000\"]\n").unwrap();
        let both = own.or(site);
        assert_eq!((both.ca.as_deref(), both.storage), (Some(Path::new("/b")), Some(Storage::Copy)));
        assert_eq!(both.mirrors.unwrap()["docker.io"], ["https://m"]);
        assert_eq!(both.insecure_registries.unwrap(), ["r:5000"]);
    }

    #[test]
    fn one_line_is_exchanged() {
        assert_eq!(with_line("", "default_image", "a"), "default_image = \"a\"\n");
        assert_eq!(
            with_line("# mine\nstorage = \"auto\"\n", "default_image", "a"),
            "default_image = \"a\"\n# mine\nstorage = \"auto\"\n"
        );
        assert_eq!(
            with_line("x = 1\ndefault_image=\"b\"\n# end\n", "default_image", "a"),
            "x = 1\ndefault_image = \"a\"\n# end\n"
        );
    }
}
