//! What a stream is, by its first bytes (magic(5)).

use tar::Header;

use crate::image::tape::checksum_is_good;

/// What is done with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Format {
    Tar,
    /// One of the three formats with a header in digits: newc, crc, odc.
    Cpio,
    Packed(Packing),
    /// A tar archive with an image in it, not a root file system.
    Image,
    /// Recognised and not taken; the text is the whole message.
    Refused(&'static str),
}

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Zstd,
    Xz,
    /// The format of LZMA Utils, `.lzma`, which has no magic: see [`is_lzma`].
    Lzma,
}

const CPIO: [&[u8]; 3] = [b"070701", b"070702", b"070707"];

const NOT_TAKEN: &[(&[u8], &str)] = &[
    (b"\xc7\x71", "a cpio archive in the old binary format: write it with `cpio -o -H newc`"),
    (b"\x71\xc7", "a cpio archive in the old binary format: write it with `cpio -o -H newc`"),
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
    if let Some(packing) = packing(head) {
        return Format::Packed(packing);
    }
    if CPIO.iter().any(|magic| head.starts_with(magic)) {
        return Format::Cpio;
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
    Format::Refused("neither a tar nor a cpio archive (plain, gzip, xz, zstd or lzma)")
}

/// The compression that these first bytes are of.
pub fn packing(head: &[u8]) -> Option<Packing> {
    match head {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        // A frame to be skipped, which may come first.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
        _ => is_lzma(head).then_some(Packing::Lzma),
    }
}

/// The header of 13 bytes has the parameters, the size of the dictionary and that of the content (lzma-file-format.txt of
/// LZMA Utils). It is taken for one only with values that encoders write, as xz(1) does.
fn is_lzma(head: &[u8]) -> bool {
    let Some((header, _)) = head.split_first_chunk::<13>() else { return false };
    let &[parameters, d0, d1, d2, d3, ref size @ ..] = header;
    let dictionary = u32::from_le_bytes([d0, d1, d2, d3]);
    let size = u64::from_le_bytes(*size);
    let (lc, lp) = (parameters % 9, parameters / 9 % 5);
    // A power of two, or one and a half of one.
    let round = dictionary.count_ones() == 1 || (dictionary.count_ones() == 2 && (dictionary / 3).is_power_of_two());
    parameters < 225
        && lc + lp <= 4
        && dictionary >= 1 << 12
        && (round || dictionary == u32::MAX)
        && (size == u64::MAX || size < 1 << 38)
}

fn tar(header: &Header) -> Format {
    let path = header.path_bytes();
    let path = path.strip_prefix(b"./").unwrap_or(&path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    // Archives of `docker save` begin with a layer, which is named by its digest: the folder of one, or the file.
    let stem = path.strip_suffix(b".json").or_else(|| path.strip_suffix(b".tar")).unwrap_or(path);
    let layer = stem.len() == 64 && stem.iter().all(u8::is_ascii_hexdigit);
    if layer || IMAGE_ARCHIVE.contains(&path) { Format::Image } else { Format::Tar }
}
