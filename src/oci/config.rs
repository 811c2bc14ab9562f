//! The configuration of an image.

use super::{MAX_DOCUMENT, MAX_LAYERS, Platform};
use crate::spec::Digest;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// What an image is (image-spec, config.md). `null` is read as absent, as Docker writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// When it was made (RFC 3339).
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// `amd64`, `arm64`, `386`.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// `v7`, `v8`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// `linux`.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// What a container of it runs.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Run,
    /// Its layers.
    pub rootfs: Rootfs,
    /// How it came about, the oldest first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// What a container of an image runs unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Run {
    /// Who runs it; empty: root.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `PORT/tcp`, `PORT/udp`: what it listens on.
    #[serde(deserialize_with = "keys", serialize_with = "as_keys", skip_serializing_if = "Vec::is_empty")]
    pub exposed_ports: Vec<String>,
    /// `NAME=VALUE`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The words before the command.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The command where none is given.
    #[serde(deserialize_with = "words", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Folders whose content is not part of the image.
    #[serde(deserialize_with = "keys", serialize_with = "as_keys", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Where it starts; empty: `/`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Whatever its maker says of it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end; empty: TERM.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The hashes of the plain layers, the lowest first.
    #[serde(deserialize_with = "or_default", default)]
    pub diff_ids: Vec<Digest>,
}

/// One step of how an image came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When (RFC 3339).
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// By which command.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// What was said of it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// It made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl Config {
    /// Reads the configuration of an image whose manifest has `layers` layers.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(bytes: &[u8], layers: usize) -> Result<Config, String> {
        if bytes.len() > MAX_DOCUMENT {
            return Err(format!("it has {} bytes; {MAX_DOCUMENT} are allowed", bytes.len()));
        }
        let config: Config = serde_json::from_slice(bytes).map_err(|e| format!("it is no configuration: {e}"))?;
        if !matches!(config.os.as_str(), "" | "linux") {
            return Err(format!("it is an image for {}, not for Linux", config.os.escape_debug()));
        }
        let ids = config.rootfs.diff_ids.len();
        if ids != layers || ids > MAX_LAYERS {
            return Err(format!("it names {ids} layers, and the manifest {layers}"));
        }
        let plain = |id: &Digest| id.algorithm() == crate::spec::digest::Algorithm::Sha256;
        if !config.rootfs.diff_ids.iter().all(plain) {
            return Err("a layer in it is not hashed with sha256, the only one that is known here".into());
        }
        Ok(config)
    }

    /// For which machines it is.
    pub fn platform(&self) -> Platform {
        let os = if self.os.is_empty() { "linux" } else { &self.os };
        Platform { os: os.into(), architecture: self.architecture.clone(), variant: self.variant.clone() }
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A set, written as an object with empty values; only the keys count.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

fn as_keys<S: serde::Serializer>(all: &[String], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(all.iter().map(|key| (key, serde_json::Map::new())))
}

/// A list of words, or one string as old programs wrote it.
fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(match Option::<Words>::deserialize(from)? {
        None => Vec::new(),
        Some(Words::List(list)) => list,
        Some(Words::One(one)) => vec!["/bin/sh".into(), "-c".into(), one],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_writes() {
        let id = format!("sha256:{}", "a".repeat(64));
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z","config":{{"Env":["A=b"],"Cmd":["sh"],
            "Entrypoint":null,"Volumes":{{"/data":{{}}}},"ExposedPorts":{{"80/tcp":{{}}}},"Labels":null,"User":"","StopSignal":"SIGINT",
            "OnBuild":null}},"rootfs":{{"type":"layers","diff_ids":["{id}"]}},"history":[{{"created_by":"x","empty_layer":true}}]}}"#
        );
        let config = Config::parse(text.as_bytes(), 1).unwrap();
        assert_eq!((config.config.volumes[0].as_str(), config.config.exposed_ports[0].as_str()), ("/data", "80/tcp"));
        assert!(config.config.entrypoint.is_empty() && config.history[0].empty_layer);
        assert_eq!(config.config.stop_signal, "SIGINT");
        let again: Config = serde_json::from_slice(&serde_json::to_vec(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert!(Config::parse(text.as_bytes(), 2).unwrap_err().contains("names 1 layers, and the manifest 2"));
        let windows = text.replace("\"os\":\"linux\"", "\"os\":\"windows\"");
        assert!(Config::parse(windows.as_bytes(), 1).unwrap_err().contains("windows"));
        let null = text.replace(r#""config":{"#, r#""config":null,"x":{"#);
        assert_eq!(Config::parse(null.as_bytes(), 1).unwrap().config, Run::default());
    }
}
