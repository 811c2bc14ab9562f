//! What a stream is, by its first bytes (magic(5)).

use tar::Header;

use crate::image::tape::checksum_is_good;

/// What is done with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Format {
    Tar,
    Gzip,
    Zstd,
    Xz,
    /// Recognised and not taken; the text is the whole message.
    Refused(&'static str),
}

const NOT_TAKEN: &[(&[u8], &str)] = &[
    (b"070701", "a cpio archive (an initramfs?): turn it into a tar archive or unpack it into a folder"),
    (b"070702", "a cpio archive (an initramfs?): turn it into a tar archive or unpack it into a folder"),
    (b"070707", "a cpio archive: turn it into a tar archive or unpack it into a folder"),
    (b"\xc7\x71", "a cpio archive: turn it into a tar archive or unpack it into a folder"),
    (b"\x71\xc7", "a cpio archive: turn it into a tar archive or unpack it into a folder"),
    (b"hsqs", "a squashfs image: unpack it with unsquashfs and import the folder"),
    (b"\x7fELF", "a program (ELF), not an archive of a root file system"),
    (b"PK\x03\x04", "a zip archive: unpack it and import the folder"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and import the folder"),
    (b"BZh", "a bzip2 file: decompress it first (`bunzip2 -c FILE | ... import NAME -`)"),
    (b"\x04\x22\x4d\x18", "an lz4 file: decompress it first (`lz4 -dc FILE | ... import NAME -`)"),
    (b"\x1f\x9d", "a file of compress(1): decompress it first"),
    (b"!<arch>\n", "an ar archive (a Debian package?), not a root file system"),
    (b"\xed\xab\xee\xdb", "an RPM package, not a root file system"),
    (b"#!", "a script, not an archive of a root file system"),
];

/// Names that the archives of `docker save` and OCI image archives begin with.
const IMAGE_ARCHIVE: &[&[u8]] =
    &[b"manifest.json", b"oci-layout", b"index.json", b"repositories", b"blobs", b"blobs/sha256"];

/// `head` is the first 512 bytes, or all there are.
pub fn format(head: &[u8]) -> Format {
    if head.is_empty() {
        return Format::Refused("the file is empty");
    }
    for (magic, format) in
        [(&b"\x1f\x8b"[..], Format::Gzip), (b"\x28\xb5\x2f\xfd", Format::Zstd), (b"\xfd7zXZ\0", Format::Xz)]
    {
        if head.starts_with(magic) {
            return format;
        }
    }
    if head.len() == 512 {
        let header = Header::from_byte_slice(head);
        if checksum_is_good(header) {
            return tar(header);
        }
        if head.iter().all(|byte| *byte == 0) {
            return Format::Refused("an empty tar archive, or zeros");
        }
    }
    if let Some((_, what)) = NOT_TAKEN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Format::Refused(what);
    }
    let text = head.trim_ascii_start().to_ascii_lowercase();
    if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        return Format::Refused("a web page (HTML): the download gave a page instead of the file");
    }
    if text.starts_with(b"{") {
        return Format::Refused("JSON text, not an archive of a root file system");
    }
    if head.get(257..262) == Some(b"ustar") {
        return Format::Refused("a damaged tar archive: the checksum of its first header does not match");
    }
    Format::Refused("not a tar archive (plain, gzip, xz or zstd)")
}

fn tar(header: &Header) -> Format {
    let path = header.path_bytes();
    let path = path.strip_prefix(b"./").unwrap_or(&path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    // Old archives of `docker save` begin with the folder of a layer, which is named by its digest.
    let layer = path.len() == 64 && path.iter().all(u8::is_ascii_hexdigit);
    if layer || IMAGE_ARCHIVE.contains(&path) {
        return Format::Refused(
            "an archive of an image (docker save, OCI): `import` takes root file systems (docker export); a command for \
             image archives comes later",
        );
    }
    Format::Tar
}
