use std::ffi::OsStr;

use super::*;

fn image(name: &str, id: u8, layers: &[u8]) -> Image {
    let hash = |byte: u8| format!("{byte:02x}").repeat(32);
    Image {
        version: VERSION,
        name: name.to_owned(),
        id: hash(id),
        layers: layers.iter().map(|layer| format!("sha256:{}", hash(*layer))).collect(),
        created: now(),
        size: 1,
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: Config::default(),
        source: "a.tar".to_owned(),
        ids: "range".to_owned(),
    }
}

#[test]
fn a_record_comes_back_under_each_of_its_names() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    assert!(list(root).is_empty() && find(root, "ubuntu").unwrap().is_none());
    let ubuntu = image("ubuntu", 0xab, &[1]);
    record(root, &ubuntu).unwrap();
    record(root, &image("library/ubuntu:22.04", 0xac, &[1, 2])).unwrap();
    for name in ["ubuntu", "ubuntu:latest", "ababab", "ABABABAB"] {
        assert_eq!(find(root, name).unwrap().as_ref(), Some(&ubuntu), "{name}");
    }
    assert!(root.join("images/library%2Fubuntu%3A22.04.json").exists());
    for name in ["ubunt", "ubuntu:22", "ababa", "../images/ubuntu", "", "/"] {
        assert!(find(root, name).unwrap().is_none(), "{name}");
    }
    assert_eq!(list(root).len(), 2);
}

#[test]
fn a_broken_record_hides_no_other_and_keeps_the_layers() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    let (a, b) = (image("a", 1, &[1, 2]), image("b", 2, &[2, 3]));
    record(root, &a).unwrap();
    record(root, &b).unwrap();
    for broken in ["{", "{}", "[]", ""] {
        fs::write(root.join("images/broken.json"), broken).unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = list(root).into_iter().partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (2, 1));
    }
    let hostile = Image { layers: vec!["sha256:../../..".to_owned()], ..image("broken", 3, &[]) };
    fs::write(root.join("images/broken.json"), serde_json::to_vec(&hostile).unwrap()).unwrap();
    assert!(find(root, "broken").is_err());
    assert_eq!(remove(root, &a).unwrap(), Vec::<String>::new());
    fs::remove_file(root.join("images/broken.json")).unwrap();
    record(root, &a).unwrap();
    assert_eq!(remove(root, &a).unwrap(), [format!("sha256:{}", "01".repeat(32))]);
    assert_eq!(remove(root, &b).unwrap().len(), 2);
}

#[test]
fn an_ambiguous_id_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let mut other = image("b", 1, &[]);
    other.id = format!("{}ff", "01".repeat(31));
    record(home.path(), &image("a", 1, &[])).unwrap();
    record(home.path(), &other).unwrap();
    assert!(find(home.path(), "010101").is_err());
    assert_eq!(find(home.path(), &other.id).unwrap(), Some(other));
}

#[test]
fn names_are_checked() {
    for good in ["ubuntu", "ubuntu:22.04", "library/ubuntu", "a_b-c.d/e:Tag_1", "0"] {
        assert_eq!(valid_name(good), Ok(()), "{good}");
    }
    let (long, deep) = ("a".repeat(129), "a/".repeat(60) + "b");
    for bad in [
        "", "Ubuntu", "a b", "../a", "a/../b", "/a", ".a", "-a", ":a", "a:", "a:b:c", "a//b", "a/", "a\n", "a:..",
        "\u{fc}", "a@b", &long,
    ] {
        assert!(valid_name(bad).is_err(), "{bad}");
    }
    assert_eq!(valid_name(&deep), Ok(()));
}

#[test]
fn a_reference_is_told_from_a_path_and_a_command() {
    for yes in ["library/ubuntu", "ubuntu:22.04", "a@sha256:b"] {
        assert!(looks_like_reference(OsStr::new(yes)), "{yes}");
    }
    for no in ["/bin/sh", "./a", "../a:b", "ls", ""] {
        assert!(!looks_like_reference(OsStr::new(no)), "{no}");
    }
    assert!(WELL_KNOWN.is_sorted() && !WELL_KNOWN.contains(&"bash"));
}

#[test]
fn the_nearest_names_come_first() {
    let home = tempfile::tempdir().unwrap();
    for (id, name) in ["ubuntu", "debian", "debian:12", "ubunto", "alpine"].into_iter().enumerate() {
        record(home.path(), &image(name, id as u8, &[])).unwrap();
    }
    assert_eq!(nearest(home.path(), "ubunt"), ["ubunto", "ubuntu"]);
    assert_eq!(nearest(home.path(), "debian"), ["debian", "debian:12"]);
    assert!(nearest(home.path(), "postgres").is_empty());
}

#[test]
fn staging_paths_differ() {
    let root = Path::new("/store");
    assert_ne!(staging(root), staging(root));
    assert_eq!(layer_dir(root, "sha256:ab"), Path::new("/store/layers/ab/root"));
}
