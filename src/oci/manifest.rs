//! Manifests and indexes.

use super::{Descriptor, MAX_DOCUMENT, MAX_LAYERS, Platform, media};
use serde::Deserialize;

/// One image for one platform (image-spec, manifest.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The type of the whole document.
    pub media_type: String,
    /// Where its configuration is.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// Several images under one name (image-spec, image-index.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The type of the whole document.
    pub media_type: String,
    /// What there is, as far as it is an image or another index and hashed with sha256.
    pub manifests: Vec<Descriptor>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Reads a document that was announced as `media_type` (nothing where nobody said). A document that could be read as both
/// is refused (CVE-2021-41190), and so is one that says otherwise than what it was announced as.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Document, String> {
    if bytes.len() > MAX_DOCUMENT {
        return Err(format!("it has {} bytes; {MAX_DOCUMENT} are allowed", bytes.len()));
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| format!("it is no manifest: {e}"))?;
    if raw.schema_version == 1 || raw.fs_layers.is_some() {
        return Err("it is a manifest of Docker's schema 1, which registries gave up in 2021: push the image again \
                    with a newer program"
            .into());
    }
    if raw.schema_version != 2 {
        return Err(format!("its schemaVersion is {}, and 2 is the one that is known", raw.schema_version));
    }
    let announced = media_type.map(|t| t.split(';').next().unwrap_or(t).trim());
    let typed = |t: &&str| media::is_index(t) || media::is_manifest(t);
    let announced = announced.filter(typed);
    if let (Some(said), Some(announced)) = (raw.media_type.as_deref(), announced)
        && said != announced
    {
        return Err(format!("it was announced as {announced} and says that it is {said}"));
    }
    let stated = raw.media_type.clone().or_else(|| announced.map(String::from));
    if stated.as_deref().is_some_and(|t| !typed(&t)) {
        return Err(format!("it is no image but {:?}", stated.unwrap_or_default()));
    }
    match (raw.config, raw.layers, raw.manifests) {
        (Some(config), Some(layers), None) => manifest(stated, config, layers).map(Document::Manifest),
        (None, None, Some(manifests)) => index(stated, manifests).map(Document::Index),
        (None, None, None) => Err("it has neither layers nor manifests".into()),
        _ => Err("it can be read as an image and as an index, or is only a part of one".into()),
    }
}

fn manifest(stated: Option<String>, config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest, String> {
    let media_type = stated.unwrap_or_else(|| media::MANIFEST.into());
    if !media::is_manifest(&media_type) {
        return Err(format!("it has layers and says that it is {media_type}"));
    }
    if layers.len() > MAX_LAYERS {
        return Err(format!("it has {} layers; {MAX_LAYERS} are allowed", layers.len()));
    }
    if !matches!(config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        return Err(format!("it is no image of a root file system: its configuration is {:?}", config.media_type));
    }
    if let Some(odd) = layers.iter().find(|layer| media::packing(&layer.media_type).is_none()) {
        return Err(format!("its layer {} is of the type {:?}, which is not known here", odd.digest, odd.media_type));
    }
    check_digests(std::iter::once(&config).chain(&layers))?;
    Ok(Manifest { media_type, config, layers })
}

fn index(stated: Option<String>, manifests: Vec<Descriptor>) -> Result<Index, String> {
    let media_type = stated.unwrap_or_else(|| media::INDEX.into());
    if !media::is_index(&media_type) {
        return Err(format!("it has manifests and says that it is {media_type}"));
    }
    // What is of another type, or hashed otherwise, does not stand in the way of the rest (image-spec, image-index.md).
    let known = |d: &Descriptor| {
        let of = d.media_type.as_str();
        of.is_empty() || media::is_manifest(of) || media::is_index(of)
    };
    let known: Vec<Descriptor> = manifests.into_iter().filter(known).collect();
    let manifests: Vec<Descriptor> = known.iter().filter(|d| is_sha256(d)).cloned().collect();
    if manifests.is_empty() {
        check_digests(known.iter())?;
    }
    Ok(Index { media_type, manifests })
}

fn is_sha256(descriptor: &Descriptor) -> bool {
    descriptor.digest.algorithm() == crate::spec::digest::Algorithm::Sha256
}

/// Content lies in the store by its SHA-256.
fn check_digests<'a>(mut all: impl Iterator<Item = &'a Descriptor>) -> Result<(), String> {
    match all.find(|d| !is_sha256(d)) {
        Some(odd) => Err(format!("{} is not hashed with sha256, the only one that is known here", odd.digest)),
        None => Ok(()),
    }
}

impl Manifest {
    /// All that it names, the configuration first.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

impl Index {
    /// The image for a platform.
    ///
    /// # Errors
    /// There is none; the sentence lists what there is.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, String> {
        let fit = |d: &Descriptor| d.platform.as_ref().map_or(0, |offer| wanted.fit(offer));
        // The first of several that are equally good, as others do; an index with one nameless entry is that image.
        let best = self.manifests.iter().rev().max_by_key(|d| fit(d)).filter(|d| fit(d) > 0);
        let only = (self.manifests.len() == 1).then(|| &self.manifests[0]).filter(|d| d.platform.is_none());
        best.or(only).ok_or_else(|| {
            let unknown = |p: &&Platform| p.os != "unknown";
            let mut all: Vec<String> = self
                .manifests
                .iter()
                .filter_map(|d| d.platform.as_ref())
                .filter(unknown)
                .map(Platform::to_string)
                .collect();
            all.dedup();
            match all.as_slice() {
                [] => format!("there is no image for {wanted}"),
                all => format!("there is no image for {wanted}, only for {}", all.join(", ")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(c: char) -> String {
        format!("sha256:{}", c.to_string().repeat(64))
    }

    fn image() -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":7}},
               "layers":[{{"mediaType":"{}","digest":"{}","size":9,"urls":["x"]}}]}}"#,
            media::DOCKER_MANIFEST,
            media::DOCKER_CONFIG,
            hex('a'),
            media::DOCKER_LAYER_GZIP,
            hex('b')
        )
    }

    #[test]
    fn a_manifest_of_docker() {
        let Document::Manifest(manifest) = parse(image().as_bytes(), Some(media::DOCKER_MANIFEST)).unwrap() else {
            panic!("no manifest")
        };
        assert_eq!((manifest.config.size, manifest.layers.len()), (7, 1));
        assert_eq!(manifest.layers[0].digest.to_string(), hex('b'));
    }

    #[test]
    fn what_could_be_two_things_is_refused() {
        let both = image().replacen("\"layers\"", "\"manifests\":[],\"layers\"", 1);
        assert!(parse(both.as_bytes(), None).unwrap_err().contains("can be read as an image and as an index"));
        let other = parse(image().as_bytes(), Some(media::INDEX)).unwrap_err();
        assert!(other.starts_with("it was announced as"), "{other}");
        for (bad, why) in [
            (image().replace("\"schemaVersion\":2", "\"schemaVersion\":1"), "schema 1"),
            (image().replace(media::DOCKER_MANIFEST, "text/html"), "no image but"),
            (image().replace(&hex('b'), "sha256:../../etc"), "no manifest"),
            (image().replace(&hex('b'), &format!("sha512:{}", "b".repeat(128))), "not hashed with sha256"),
            (image().replace("\"size\":9", "\"size\":-9"), "no manifest"),
            (image().replace(media::DOCKER_LAYER_GZIP, "application/x"), "not known here"),
            (image().replace(media::DOCKER_CONFIG, "application/vnd.cncf.helm.config.v1+json"), "no image of a root"),
            ("{}".into(), "no manifest"),
            ("[".repeat(100_000), "no manifest"),
        ] {
            let told = parse(bad.as_bytes(), None).unwrap_err();
            assert!(told.contains(why), "{why}: {told}");
        }
    }

    #[test]
    fn the_platform_of_an_index() {
        let entry = |c, os: &str, arch: &str| {
            format!(
                r#"{{"mediaType":"{}","digest":"{}","size":1,"platform":{{"os":"{os}","architecture":"{arch}"}}}}"#,
                media::MANIFEST,
                hex(c)
            )
        };
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            entry('a', "linux", "amd64"),
            entry('b', "linux", "arm64"),
            entry('c', "unknown", "unknown")
        );
        let Document::Index(index) = parse(text.as_bytes(), None).unwrap() else { panic!("no index") };
        assert_eq!(index.choose(&Platform::linux("arm64")).unwrap().digest.to_string(), hex('b'));
        let none = index.choose(&Platform::linux("s390x")).unwrap_err();
        assert_eq!(none, "there is no image for linux/s390x, only for linux/amd64, linux/arm64");
    }

    #[test]
    fn an_index_has_only_what_can_be_had() {
        let entry = |media_type: &str, digest: &str, architecture: &str| {
            format!(
                r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1,
                    "platform":{{"os":"linux","architecture":"{architecture}"}}}}"#
            )
        };
        let long = format!("sha512:{}", "d".repeat(128));
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{},{}]}}"#,
            entry("application/x", &hex('a'), "arm64"),
            entry(media::MANIFEST, &long, "amd64"),
            entry(media::MANIFEST, &hex('b'), "arm64"),
            entry("", &hex('c'), "386"),
        );
        let Document::Index(index) = parse(text.as_bytes(), None).unwrap() else { panic!("no index") };
        assert_eq!(index.choose(&Platform::linux("arm64")).unwrap().digest.to_string(), hex('b'));
        assert_eq!(index.choose(&Platform::linux("386")).unwrap().digest.to_string(), hex('c'));
        let none = index.choose(&Platform::linux("amd64")).unwrap_err();
        assert_eq!(none, "there is no image for linux/amd64, only for linux/arm64, linux/386");
        let only = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry(media::MANIFEST, &long, "amd64"));
        assert!(parse(only.as_bytes(), None).unwrap_err().contains("not hashed with sha256"));
    }
}
