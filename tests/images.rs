//! Images: made of folders and archives, listed, removed.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{Archive, assert_advice, assert_error};
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Stdio,
};
use support::{Ground, Need, outcome, walk};

/// Told from inside: modes, kinds, owners, contents, links.
const LOOK: &str = "cd /data; stat -c '%n %a %F %u:%g' * | sort; cat text; readlink link; stat -c %h hard; \
                    stat -c %Y text; od -An -tx1 bytes";

const SEEN: &str = "bytes 600 regular file 0:0\nfifo 644 fifo 0:0\nfolder 1777 directory 0:0\nhard 754 regular file 0:0\n\
                    link 777 symbolic link 0:0\ntext 754 regular file 0:0\nhello\n/data/text\n2\n1000000000\n 00 ff 0a\n";

fn plain(ground: &Ground) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.programs(&ground.rootfs());
    archive.folder("data", 0o755, (0, 0)).file("data/text", b"hello\n", 0o754, (0, 0));
    archive.file("data/bytes", b"\x00\xff\n", 0o600, (0, 0)).folder("data/folder", 0o1777, (0, 0));
    archive.link("data/link", "/data/text").hard_link("data/hard", "data/text").fifo("data/fifo");
    archive.bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 0);
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn every_kind_of_archive_gives_the_same_image() {
    let ground = ground!();
    let tar = plain(&ground);
    ground.file("a.tar", &tar);
    ground.file("a.tar.gz", gzip(&tar));
    ground.file("a.tar.xz", xz(&tar));
    ground.file("a.tar.zst", zstd::encode_all(&tar[..], 1).unwrap());
    for file in ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"] {
        let told = ground.ok(["import", "made", file]);
        assert!(told.starts_with("made  ") && told.lines().count() == 1, "{told}");
        assert_eq!(ground.ok(["run", "--rm", "made", "sh", "-c", LOOK]), SEEN, "{file}");
        ground.ok(["import", &format!("of-{}", file.rsplit('.').next().unwrap()), file]);
    }
    let images = ground.images();
    let ids: std::collections::BTreeSet<_> = images.iter().map(|i| i["id"].as_str().unwrap()).collect();
    assert_eq!((images.len(), ids.len()), (5, 1));
    assert_eq!(fs::read_dir(ground.store().join("layers")).unwrap().count(), 1);
}

#[test]
fn an_archive_may_come_by_stdin() {
    let ground = ground!();
    let tar = gzip(&plain(&ground));
    let mut child =
        ground.lc(["import", "-q", "piped", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&tar).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success());
    let id = String::from_utf8(out.stdout).unwrap();
    assert_eq!(ground.images()[0]["id"], id.trim());
    assert_eq!(ground.ok(["run", "--rm", "piped", "sh", "-c", LOOK]), SEEN);
}

#[test]
fn a_folder_is_copied_as_it_is() {
    let ground = ground!();
    let root = ground.other_root("tree");
    let data = root.join("data");
    fs::create_dir_all(data.join("folder")).unwrap();
    fs::set_permissions(data.join("folder"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::write(data.join("text"), "hello\n").unwrap();
    fs::set_permissions(data.join("text"), fs::Permissions::from_mode(0o754)).unwrap();
    fs::write(data.join("bytes"), b"\x00\xff\n").unwrap();
    fs::set_permissions(data.join("bytes"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(data.join("text"), data.join("hard")).unwrap();
    symlink("/data/text", data.join("link")).unwrap();
    nix::unistd::mkfifo(&data.join("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(data.join("text")).unwrap().set_modified(time).unwrap();
    ground.own_all(&root);
    ground.ok(["import", "copied", "tree"]);
    // What comes later into the folder does not come into the image.
    fs::write(data.join("later"), "x").unwrap();
    assert_eq!(ground.ok(["run", "--rm", "copied", "sh", "-c", LOOK]), SEEN);
}

#[test]
fn owners_are_real_with_a_range() {
    let ground = ground!(Need::Range);
    let mut archive = Archive::new();
    archive.programs(&ground.rootfs()).file("mine", b"", 0o644, (0, 0)).file("web", b"", 0o4755, (33, 34));
    archive.file("last", b"", 0o644, (65_534, 65_534)).file("beyond", b"", 0o6755, (900_000, 5));
    ground.file("a.tar", archive.bytes());
    let out = ground.end(["import", "owned", "a.tar"]);
    assert_eq!(out.status, 0, "{out:?}");
    let note =
        "note: files whose owner is outside the range of this user, given to root instead: 1, the first \"beyond\"";
    assert!(out.stderr.contains(note), "{out:?}");
    let look = "stat -c '%n %a %u:%g' mine web last beyond";
    // The setuid bit of an owner that could not be given is dropped: it must not become root's.
    let seen = "mine 644 0:0\nweb 4755 33:34\nlast 644 65534:65534\nbeyond 2755 0:5\n";
    assert_eq!(ground.ok(["run", "--rm", "owned", "sh", "-c", look]), seen);
    assert_eq!(ground.images()[0]["ids"], "range");
    ground.ok(["rmi", "owned"]);
    assert_eq!(fs::read_dir(ground.store().join("layers")).unwrap().count(), 0);
}

#[test]
fn owners_are_kept_on_record_with_a_single_id() {
    let Some(ground) = Ground::nameless(&[]) else { return };
    let mut archive = Archive::new();
    archive.programs(&ground.rootfs()).file("mine", b"", 0o644, (0, 0)).file("web", b"x", 0o4755, (33, 34));
    archive.device("null", (1, 3)).file("beyond", b"", 0o644, (900_000, 900_000));
    ground.file("a.tar", archive.bytes());
    let out = ground.end(["import", "owned", "a.tar"]);
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.stderr.contains("device nodes left out: 1, the first \"null\""), "{out:?}");
    let look = "stat -c '%n %u:%g' mine web beyond; ls null";
    let out = ground.end(["run", "--rm", "owned", "sh", "-c", look]);
    assert_eq!(out.stdout, "mine 0:0\nweb 0:0\nbeyond 0:0\n", "{out:?}");
    assert_eq!(ground.images()[0]["ids"], "single");
    let layer = fs::read_dir(ground.store().join("layers")).unwrap().next().unwrap().unwrap().path();
    let owners: serde_json::Value = serde_json::from_slice(&fs::read(layer.join("owners.json")).unwrap()).unwrap();
    let of = |path: &str| owners.as_array().unwrap().iter().find(|o| o["path"] == path).unwrap().clone();
    assert_eq!((&of("web")["uid"], &of("web")["gid"], &of("web")["mode"]), (&33.into(), &34.into(), &0o4755.into()));
    assert_eq!((&of("beyond")["uid"], &of("null")["device"]["major"]), (&900_000.into(), &1.into()));
    for entry in walk(&layer) {
        assert_eq!(fs::symlink_metadata(entry).unwrap().uid(), ground.user.uid);
    }
}

#[test]
fn a_hostile_archive_writes_nothing_outside() {
    let ground = ground!();
    let victim = ground.file("victim", "as it was");
    let outside = victim.parent().unwrap().to_str().unwrap().to_owned();
    let mut through = Archive::new();
    through.link("out", &outside).file("out/victim", b"changed", 0o644, (0, 0));
    let mut up = Archive::new();
    up.file("../../../../../../../..", b"", 0o644, (0, 0));
    let mut dots = Archive::new();
    dots.file(&format!("../../../../../../../../../../..{outside}/victim"), b"changed", 0o644, (0, 0));
    let mut hard = Archive::new();
    hard.hard_link("h", &format!("{outside}/victim")).file("h", b"changed", 0o644, (0, 0));
    let mut hard_up = Archive::new();
    hard_up.link("out", &outside).hard_link("h", "out/victim").file("h", b"changed", 0o644, (0, 0));
    let mut cut = plain(&ground);
    cut.truncate(cut.len() / 2);
    for (name, bytes) in [
        ("through", through.bytes()),
        ("up", up.bytes()),
        ("dots", dots.bytes()),
        ("hard", hard.bytes()),
        ("hard-up", hard_up.bytes()),
        ("cut", cut),
    ] {
        ground.file("a.tar", bytes);
        let out = ground.end(["import", name, "a.tar"]);
        if out.status != 0 {
            assert_error(&out, 1, &["import a.tar"]);
        }
        assert!(!out.stderr.contains("panicked"), "{name}: {out:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "as it was", "{name}");
    }
    let out = ground.end(["import", "cut", "a.tar"]);
    assert_error(&out, 1, &["import a.tar"]);
    assert!(!ground.images().iter().any(|i| i["name"] == "cut"));
    let left = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with(".tmp");
    assert!(!fs::read_dir(ground.store().join("layers")).unwrap().flatten().any(|e| left(&e)));
}

#[test]
fn what_is_no_root_file_system_is_refused_by_its_name() {
    let ground = ground!();
    let layout = ground.path("work/layout");
    fs::create_dir(&layout).unwrap();
    fs::write(layout.join("oci-layout"), "{}").unwrap();
    ground.own_all(&layout);
    for (bytes, part) in [
        (&b""[..], "the file is empty"),
        (b"\x7fELF rest", "a program (ELF)"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"<!DOCTYPE html><p>", "a web page (HTML)"),
        (b"BZh91AY", "a bzip2 file"),
        (b"any text", "neither a tar nor a cpio archive (plain, gzip, xz, zstd or lzma)"),
        (b"070707", "the archive is cut short"),
        (&gzip(&gzip(b"x")), "compressed twice"),
        (&gzip(b"text"), "compressed, and inside: neither a tar nor a cpio archive"),
    ] {
        ground.file("odd", bytes);
        assert_error(&ground.end(["import", "odd", "odd"]), 1, &["odd", part]);
    }
    assert_error(&ground.end(["import", "odd", "layout"]), 1, &["an image in OCI layout"]);
    assert_error(&ground.end(["import", "odd", "/dev/null"]), 1, &["a device is no image"]);
    assert_error(&ground.end(["import", "odd", "gone"]), 1, &["gone", "No such file or directory"]);
    for name in ["Upper", "", "a b", "../x", "host", "a//b", ".x"] {
        let out = ground.end(["import", "--", name, "layout"]);
        assert_advice(&out, 1, &["name"]);
    }
    assert_eq!(ground.images().len(), 0);
}

#[test]
fn images_are_listed() {
    let ground = ground!();
    assert_eq!(ground.ok(["images", "-q"]), "");
    assert_eq!(ground.ok(["images", "--format", "json"]), "[]\n");
    ground.image("b/box:2");
    ground.image("a-box");
    ground.config("default_image = \"a-box\"\n");
    assert_eq!(ground.ok(["images", "-q"]), "a-box\nb/box:2\n");
    let table = ground.ok(["images"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "IMAGE", "ID", "ARCH", "SIZE", "IMPORTED"]);
    let json = ground.images();
    assert_eq!((rows[1][0], rows[1][1]), ("a-box", &json[0]["id"].as_str().unwrap()[..12]));
    assert_eq!(rows[1].last(), Some(&"default"));
    assert_eq!((rows[2][0], rows[2].last()), ("b/box:2", Some(&"ago")));
    assert_eq!(rows[3][..3], ["host", "this", "machine"]);
    assert_eq!(rows.len(), 4);
    let names: Vec<_> = json.iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a-box", "b/box:2"]);
    let size = fs::metadata(ground.rootfs().join("bin/busybox")).unwrap().len();
    assert!(json[0]["size"].as_u64().unwrap() > size);
    assert_eq!((json[0]["layers"].as_array().unwrap().len(), json[0]["blobs"].as_array().unwrap().len()), (1, 1));
    let own = if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" };
    assert_eq!((json[0]["os"].as_str(), json[0]["architecture"].as_str()), (Some("linux"), Some(own)));
}

#[test]
fn an_image_in_use_is_not_removed() {
    let ground = ground!();
    ground.image("mybox");
    ground.ok(["run", "--name", "user-of-it", "mybox", "true"]);
    let out = ground.end(["rmi", "mybox"]);
    assert_advice(&out, 1, &["the image mybox is used by user-of-it", "rmi -f"]);
    assert_eq!(ground.ok(["run", "--rm", "mybox", "cat", "/etc/which"]), "mybox\n");
    ground.ok(["rm", "user-of-it"]);
    assert_eq!(ground.ok(["rmi", "mybox"]), "mybox\n");
    assert_eq!(ground.images().len(), 0);
    assert_eq!(fs::read_dir(ground.store().join("layers")).unwrap().count(), 0);
    ground.image("mybox");
    ground.ok(["run", "mybox", "true"]);
    assert_eq!(ground.ok(["rmi", "-f", "mybox"]), "mybox\n");
    assert_error(&ground.end(["run", "--image", "mybox"]), 125, &["no image is called \"mybox\""]);
}

#[test]
fn removing_by_id_and_what_is_not_there() {
    let ground = ground!();
    ground.image("mybox");
    let id = ground.images()[0]["id"].as_str().unwrap().to_owned();
    let out = ground.end(["rmi", "gone", "host", &id[..8]]);
    assert_eq!((out.status, out.stdout.as_str()), (1, format!("{}\n", &id[..8]).as_str()));
    assert!(out.stderr.contains("error: no image is called \"gone\"\n  fix (you): "), "{out:?}");
    assert!(out.stderr.contains("the image host is this machine itself"), "{out:?}");
    assert_eq!(ground.images().len(), 0);
}

#[test]
fn a_layer_stays_while_another_image_has_it() {
    let ground = ground!();
    ground.bare_root("tree", &["sh", "cat"]);
    ground.ok(["import", "one", "tree"]);
    ground.ok(["import", "two", "tree"]);
    let layers = || fs::read_dir(ground.store().join("layers")).unwrap().count();
    assert_eq!(layers(), 1);
    ground.ok(["rmi", "one"]);
    assert_eq!(ground.ok(["run", "--rm", "two", "cat", "/etc/hostname"]).len(), 13);
    ground.ok(["rmi", "two"]);
    assert_eq!(layers(), 0);
}

#[test]
fn an_image_is_imported_again_under_its_name() {
    let ground = ground!();
    let root = ground.bare_root("tree", &["sh", "cat"]);
    fs::write(root.join("version"), "1\n").unwrap();
    ground.ok(["import", "mybox", "tree"]);
    ground.ok(["run", "--name", "old", "mybox", "cat", "version"]);
    fs::write(root.join("version"), "2\n").unwrap();
    ground.ok(["import", "mybox", "tree"]);
    assert_eq!(ground.ok(["run", "--rm", "mybox", "cat", "version"]), "2\n");
    assert_eq!(ground.images().len(), 1);
}

#[test]
fn a_short_name_and_the_full_one_are_the_same_image() {
    let ground = ground!();
    let names = ["ubuntu", "ubuntu:latest", "docker.io/library/ubuntu", "docker.io/library/ubuntu:latest"];
    let which = |words: &[&str]| ground.ok([&["run", "--rm"], words, &["cat", "/etc/which"]].concat());
    ground.config("default_image = \"library/ubuntu\"\n");
    for stored in ["ubuntu", "docker.io/library/ubuntu"] {
        ground.image(stored);
        for name in names {
            assert_eq!(which(&[name]), format!("{stored}\n"), "{name}");
            assert_eq!(which(&["--image", name]), format!("{stored}\n"), "{name}");
        }
        assert_eq!(which(&[]), format!("{stored}\n"));
        // What was typed at the import is what is shown, and nothing else has the name.
        assert_eq!(ground.ok(["images", "-q"]), format!("{stored}\n"));
        let table = ground.ok(["images"]);
        assert!(table.lines().nth(1).unwrap().ends_with("default"), "{table}");
    }
    assert_eq!(ground.ok(["rmi", "ubuntu"]), "ubuntu\n");
    assert_eq!(ground.ok(["images", "-q"]), "");
    assert_eq!(fs::read_dir(ground.store().join("layers")).unwrap().count(), 1, "of the image that was replaced");
    for name in ["ubuntu", "docker.io/library/ubuntu"] {
        assert_error(&ground.end(["rmi", name]), 1, &[&format!("no image is called {name:?}")]);
    }
}

#[test]
fn an_import_that_takes_the_place_of_another_name_says_so() {
    let ground = ground!();
    ground.bare_root("tree", &["sh"]);
    ground.ok(["import", "mybox", "tree"]);
    let out = ground.end(["import", "docker.io/mybox:latest", "tree"]);
    let note = "note: docker.io/mybox takes the place of mybox: both are docker.io/library/mybox:latest\n";
    assert!(out.status == 0 && out.stderr.contains(note), "{out:?}");
    assert_eq!(ground.ok(["images", "-q"]), "docker.io/mybox\n");
    let again = ground.end(["import", "docker.io/mybox", "tree"]);
    assert_eq!((again.status, again.stderr.as_str()), (0, ""));
    // Another registry, another image.
    ground.ok(["import", "localhost:5000/mybox:1", "tree"]);
    assert_eq!(ground.ok(["images", "-q"]), "docker.io/mybox\nlocalhost:5000/mybox:1\n");
    assert_eq!(ground.ok(["run", "--rm", "localhost:5000/mybox:1", "sh", "-c", "echo here"]), "here\n");
    assert_error(&ground.end(["import", "host:latest", "tree"]), 1, &["the name host stands for"]);
}

#[test]
fn a_path_comes_before_another_name_for_an_image() {
    let ground = ground!();
    ground.image("ubuntu");
    fs::rename(ground.other_root("tree"), ground.path("work/library")).unwrap();
    ground.other_root("library/ubuntu");
    assert_eq!(ground.ok(["run", "--rm", "library/ubuntu", "cat", "/etc/which"]), "library/ubuntu\n");
    assert_eq!(ground.ok(["run", "--rm", "--image", "library/ubuntu", "cat", "/etc/which"]), "ubuntu\n");
}

#[test]
fn a_reference_that_is_mistyped_is_told_by_its_rule() {
    let ground = ground!();
    for (word, parts) in [
        ("UBUNTU:22.04", ["repository names are lower case: 'U' is character 1", "did you mean ubuntu:22.04? "]),
        ("ghcr.io/Me/tool", ["'M' is character 9; and no file or folder is there", "did you mean ghcr.io/me/tool? "]),
        ("ubuntu:22!04", ["a tag has letters, digits, '_', '.' and '-': '!' is character 10", "images` lists"]),
        ("ubuntu@22.04", ["a digest after '@'", "did you mean ubuntu:22.04? "]),
        ("x@sha256:00", ["64 hexadecimal digits, and this has 2", "images` lists"]),
        ("localhost:99999/a", ["the port of the host is none", "images` lists"]),
    ] {
        for words in [&["run", word, "true"][..], &["run", "--image", word, "true"]] {
            let out = ground.end(words);
            assert_advice(&out, 125, &[&format!("no image is called {word:?}\n  cause: "), parts[0], parts[1]]);
        }
    }
}

#[test]
fn import_default_makes_it_the_default() {
    let ground = ground!();
    ground.config("# mine\nstorage = \"auto\"\n");
    ground.bare_root("tree", &["cat"]);
    let out = ground.end(["import", "--default", "mybox", "tree"]);
    assert!(out.stderr.contains("note: mybox is now the default image ("), "{out:?}");
    let text = fs::read_to_string(ground.path("home/.config/little-container/config.toml")).unwrap();
    assert_eq!(text, "default_image = \"mybox\"\n# mine\nstorage = \"auto\"\n");
    let out = ground.end(["run", "--rm", "cat", "/proc/self/comm"]);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("busybox\n", ""));
}

#[test]
fn a_broken_record_does_not_hide_the_others() {
    let ground = ground!();
    ground.image("good");
    fs::write(ground.store().join("images/bad.json"), "{").unwrap();
    assert_eq!(ground.ok(["images", "-q"]), "good\n");
    let out = ground.end(["images"]);
    assert!(
        out.stderr.contains("note: an image's record cannot be read: ") && out.stderr.contains("bad.json"),
        "{out:?}"
    );
    assert_eq!(ground.ok(["run", "--rm", "good", "cat", "/etc/which"]), "good\n");
    assert_error(&ground.end(["run", "--image", "bad"]), 125, &["image record ", "images/bad.json"]);
    fs::write(ground.store().join("images/bad.json"), r#"{"version":99}"#).unwrap();
    assert_eq!(ground.end(["images", "-q"]).stdout, "good\n");
    fs::remove_file(ground.store().join("images/bad.json")).unwrap();
}

#[test]
fn an_image_that_has_lost_its_layer_says_so() {
    let ground = ground!();
    ground.image("mybox");
    let layer = fs::read_dir(ground.store().join("layers")).unwrap().next().unwrap().unwrap().path();
    fs::rename(&layer, ground.path("work/away")).unwrap();
    let out = ground.end(["run", "--rm", "mybox", "true"]);
    assert_advice(&out, 125, &["the image \"mybox\" is not whole", "its layer ", "rmi -f mybox"]);
    fs::rename(ground.path("work/away"), &layer).unwrap();
    assert!(Path::new(&layer).exists());
    assert_eq!(
        outcome(&mut ground.lc([OsStr::new("run"), "--rm".as_ref(), "mybox".as_ref(), "true".as_ref()])).status,
        0
    );
}
