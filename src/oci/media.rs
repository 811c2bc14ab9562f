//! Media types (image-spec, media-types.md).

/// An OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer, plain.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// An OCI layer, gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An OCI layer, zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker's layer, gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What is asked of a registry for a tag, most wanted first.
pub const ACCEPTED: &[&str] = &[INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// How a layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// How a layer of this type is packed; `None` for what is no layer. Types that forbade redistribution are layers like any
/// other, and so are Docker's variants.
pub fn packing(media_type: &str) -> Option<Packing> {
    let media_type = media_type.replace(".nondistributable.", ".").replace(".foreign.", ".");
    match media_type.as_str() {
        LAYER | "application/vnd.docker.image.rootfs.diff.tar" => Some(Packing::Plain),
        LAYER_GZIP | DOCKER_LAYER_GZIP => Some(Packing::Gzip),
        LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

/// Whether it is an index or a manifest list.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_INDEX)
}

/// Whether it is a manifest of an image.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packings() {
        assert_eq!(packing(LAYER), Some(Packing::Plain));
        assert_eq!(packing(DOCKER_LAYER_GZIP), Some(Packing::Gzip));
        assert_eq!(packing("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"), Some(Packing::Zstd));
        assert_eq!(packing("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), Some(Packing::Gzip));
        assert_eq!(packing("application/vnd.cncf.helm.chart.content.v1.tar+gzip"), None);
    }
}
