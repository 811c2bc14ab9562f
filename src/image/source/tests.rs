use std::fs;
use std::io::Write;

use super::*;

fn tarball(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, &b"hello"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn read(data: Vec<u8>) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    archive(io::Cursor::new(data))?.read_to_end(&mut plain)?;
    Ok(plain)
}

fn refusal(data: &[u8]) -> String {
    format!("{:#}", archive(io::Cursor::new(data.to_vec())).map(drop).unwrap_err())
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_compression_gives_the_same_stream() {
    let plain = tarball("etc/hostname");
    let xz = {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    // Two members of gzip, as pigz and estargz write them.
    let (start, end) = plain.split_at(700);
    let members = [gzip(start), gzip(end)].concat();
    for packed in [plain.clone(), gzip(&plain), members, xz, zstd::encode_all(&plain[..], 1).unwrap()] {
        assert_eq!(read(packed).unwrap(), plain);
    }
}

#[test]
fn a_truncated_stream_is_an_error() {
    let plain = tarball("etc/hostname");
    for packed in [gzip(&plain), zstd::encode_all(&plain[..], 1).unwrap()] {
        assert!(read(packed[..packed.len() - 9].to_vec()).is_err());
    }
}

#[test]
fn what_is_no_root_file_system_is_named() {
    assert!(refusal(b"").contains("empty"));
    assert!(refusal(b"<!DOCTYPE HTML><html>").contains("web page"));
    assert!(refusal(b"\x7fELF\x02\x01").contains("ELF"));
    assert!(refusal(b"PK\x03\x04").contains("zip"));
    assert!(refusal(b"070701").contains("cpio"));
    assert!(refusal(b"hsqs").contains("squashfs"));
    assert!(refusal(&gzip(b"070701")).contains("cpio"));
    assert!(refusal(&gzip(&gzip(b"x"))).contains("twice"));
    assert!(refusal(&[b'x'; 2000]).contains("not a tar archive"));
    assert!(refusal(&[0; 2000]).contains("empty"));
    for name in ["manifest.json", "oci-layout", "blobs/", &format!("{}/", "a".repeat(64))] {
        let name = name.trim_end_matches('/');
        assert!(refusal(&tarball(name)).contains("archive of an image"), "{name}");
    }
}

#[test]
fn a_folder_is_opened_unless_it_is_an_image() {
    let home = tempfile::tempdir().unwrap();
    assert!(matches!(open(home.path().as_os_str()), Ok(Source::Folder(_))));
    fs::write(home.path().join("oci-layout"), "{}").unwrap();
    let error = format!("{:#}", open(home.path().as_os_str()).map(drop).unwrap_err());
    assert!(error.contains("OCI layout") && error.starts_with(&home.path().display().to_string()), "{error}");
    assert!(open(OsStr::new("/nonexistent/file")).is_err());
    assert!(open(OsStr::new("/dev/null")).is_err());
}
