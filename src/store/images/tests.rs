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
        ..Image::default()
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
fn a_broken_record_hides_no_other() {
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
    assert_eq!(forget_unreadable(root, "a").unwrap(), 0);
    assert_eq!(forget_unreadable(root, "library/broken").unwrap(), 1);
    assert_eq!(list(root).len(), 2);
}

#[test]
fn an_ambiguous_id_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let mut other = image("b", 1, &[]);
    other.id = format!("{}ff", "01".repeat(31));
    record(home.path(), &image("a", 1, &[])).unwrap();
    record(home.path(), &other).unwrap();
    assert!(find(home.path(), "010101").is_err());
    // Two names of one image, with another one between them.
    let twice = |name: &str| Image { name: name.into(), ..image("x", 0xee, &[]) };
    record(home.path(), &twice("aa")).unwrap();
    record(home.path(), &twice("zz")).unwrap();
    assert_eq!(find(home.path(), "eeeeee").unwrap(), Some(twice("aa")));
    assert_eq!(with_id(home.path(), "sha256:eeeeee").len(), 2);
    assert_eq!(find(home.path(), &other.id).unwrap(), Some(other));
}

#[test]
fn names_are_checked() {
    for good in ["ubuntu", "ubuntu:22.04", "library/ubuntu", "a_b-c.d/e:Tag_1", "0"] {
        assert_eq!(valid_name(good), Ok(()), "{good}");
    }
    let (long, deep) = ("a".repeat(385), "a/".repeat(120) + "b");
    for bad in [
        "", "Ubuntu", "a b", "../a", "a/../b", "/a", ".a", "-a", ":a", "a:", "a:b:c", "a//b", "a/", "a\n", "a:..",
        "\u{fc}", "a@b", &long,
    ] {
        assert!(valid_name(bad).is_err(), "{bad}");
    }
    assert_eq!(valid_name(&deep), Ok(()));
}

#[test]
fn names_of_registries_are_names() {
    let digest = format!("@sha256:{}", "0a".repeat(32));
    for good in ["localhost:5000/a", "[::1]:80/a:b", "GHCR.io/a", "My-Host:5000/a:B", "a@", "r.io:1/a:b@", "a:b@"] {
        let good = good.replace('@', &digest);
        assert_eq!(valid_name(&good), Ok(()), "{good}");
        let home = tempfile::tempdir().unwrap();
        record(home.path(), &image(&good, 1, &[1])).unwrap();
        assert_eq!(find(home.path(), &good).unwrap().map(|image| image.name), Some(good));
    }
    // A host by its upper case alone is a slip of the shift key.
    for bad in ["Lab/a", "a@sha256:00", "r:0/a", "r:80/a:b:c", "a@b", "r:80/A"] {
        assert!(valid_name(bad).is_err(), "{bad}");
    }
    let (short, long) = (format!("r:1/{}{digest}", "a".repeat(251)), format!("r:1/{}{digest}", "a".repeat(252)));
    assert!(valid_name(&short).is_ok() && valid_name(&long).is_err());
    assert!(valid_name(&format!("r:1/{}a", "a/".repeat(50))).is_ok());
}

#[test]
fn a_name_that_is_too_long_for_a_file_is_recorded_by_its_hash() {
    let home = tempfile::tempdir().unwrap();
    let name = |last: &str| format!("r.example:5000/{}{last}:{}", "a/".repeat(118), "t".repeat(128));
    for (last, n) in [("b", 1), ("c", 2)] {
        record(home.path(), &image(&name(last), n, &[n])).unwrap();
    }
    for last in ["b", "c"] {
        assert_eq!(find(home.path(), &name(last)).unwrap().map(|image| image.name), Some(name(last)));
    }
    assert_eq!(list(home.path()).len(), 2);
}

const UBUNTU: [&str; 8] = [
    "ubuntu",
    "ubuntu:latest",
    "library/ubuntu",
    "docker.io/ubuntu:latest",
    "docker.io/library/ubuntu",
    "docker.io/library/ubuntu:latest",
    "index.docker.io/ubuntu",
    "index.docker.io/library/ubuntu",
];

#[test]
fn an_image_is_found_by_each_name_that_means_it() {
    for stored in UBUNTU {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let stored = image(canonical(stored), 1, &[1]);
        record(root, &stored).unwrap();
        for wanted in UBUNTU {
            assert_eq!(find(root, wanted).unwrap().as_ref(), Some(&stored), "{wanted}");
            assert!(same(wanted, &stored.name));
        }
        for other in
            ["ubuntu:22.04", "ghcr.io/ubuntu", "docker.io/library/library/ubuntu", "a/ubuntu", "localhost/ubuntu"]
        {
            assert!(find(root, other).unwrap().is_none() && !same(other, &stored.name), "{other}");
        }
        assert_eq!(nearest(root, "docker.io/library/ubunut"), [stored.name]);
    }
}

#[test]
fn one_image_has_one_record() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    for (id, name) in UBUNTU.into_iter().enumerate() {
        let new = image(canonical(name), id as u8, &[1]);
        record(root, &new).unwrap();
        assert_eq!(list(root).into_iter().map(Result::unwrap).collect::<Vec<_>>(), [new]);
    }
    for other in ["ubuntu:22.04", "quay.io/ubuntu", "docker.io/a/ubuntu", "docker.io/quay.io/ubuntu"] {
        record(root, &image(other, 9, &[1])).unwrap();
    }
    assert_eq!(list(root).len(), 5);
    assert_eq!(find(root, "a/ubuntu").unwrap().map(|image| image.name).as_deref(), Some("docker.io/a/ubuntu"));
    assert_eq!(find(root, "quay.io/ubuntu").unwrap().map(|image| image.name).as_deref(), Some("quay.io/ubuntu"));
}

#[test]
fn names_that_are_no_references_are_found_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    for name in ["a_", "a._b", "a-/b", "archive/0123456789ab"] {
        record(home.path(), &image(name, 1, &[1])).unwrap();
        assert_eq!(find(home.path(), name).unwrap().map(|image| image.name).as_deref(), Some(name));
        assert!(same(name, &format!("{name}:latest")) && !same(name, "a"));
    }
    assert_eq!(list(home.path()).len(), 4);
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
