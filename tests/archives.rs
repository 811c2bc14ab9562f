//! Images from archives and back: what docker, podman and skopeo write, what is damaged, what is hostile.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{Archive, assert_error};
use std::{fs, io::Write, path::Path, process::Stdio};
use support::{Ground, Need, outcome};

fn hash(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// Two layers and a configuration.
struct Sample {
    layers: [Vec<u8>; 2],
    config: Vec<u8>,
}

impl Sample {
    fn new(ground: &Ground) -> Sample {
        let mut lower = Archive::new();
        lower.programs(&ground.rootfs()).folder("data", 0o755, (0, 0));
        let lower = lower.file("data/old", b"old\n", 0o644, (0, 0)).bytes();
        let upper = Archive::new().file("data/new", b"new\n", 0o644, (0, 0)).bytes();
        Sample::of([lower, upper])
    }

    fn of(layers: [Vec<u8>; 2]) -> Sample {
        let ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hash(layer))).collect();
        let config = serde_json::json!({"architecture": little_container::image::arch::own(), "os": "linux",
            "config": {"Cmd": ["ls", "/data"]}, "rootfs": {"type": "layers", "diff_ids": ids}});
        Sample { layers, config: serde_json::to_vec(&config).unwrap() }
    }

    fn small() -> Sample {
        let one = |name: &str| Archive::new().file(name, b"x", 0o644, (0, 0)).bytes();
        Sample::of([one("a"), one("b")])
    }

    fn id(&self) -> String {
        hash(&self.config)
    }

    fn list(&self, tags: &str) -> String {
        let id = self.id();
        format!(r#"[{{"Config":"{id}.json","RepoTags":{tags},"Layers":["1/layer.tar","2/layer.tar"]}}]"#)
    }

    /// As an old docker wrote it.
    fn docker(&self, tags: &str) -> Vec<u8> {
        self.docker_with(&self.list(tags), |_| {})
    }

    fn docker_with(&self, list: &str, more: impl FnOnce(&mut Archive)) -> Vec<u8> {
        let mut archive = Archive::new();
        let own = (0, 0);
        archive.folder("1/", 0o755, own).file("1/layer.tar", &self.layers[0], 0o644, own);
        archive.folder("2/", 0o755, own).file("2/layer.tar", &self.layers[1], 0o644, own);
        archive.file(&format!("{}.json", self.id()), &self.config, 0o644, own);
        more(&mut archive);
        archive.file("manifest.json", list.as_bytes(), 0o644, own).bytes()
    }

    /// The blobs of an OCI layout, the manifest first; the layers are packed.
    fn blobs(&self) -> Vec<Vec<u8>> {
        let packed: Vec<Vec<u8>> = self.layers.iter().map(|layer| gzip(layer)).collect();
        let layer = |bytes: &Vec<u8>| entry("application/vnd.oci.image.layer.v1.tar+gzip", bytes);
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": entry("application/vnd.oci.image.config.v1+json", &self.config),
            "layers": packed.iter().map(layer).collect::<Vec<_>>()});
        let mut all = vec![serde_json::to_vec(&manifest).unwrap(), self.config.clone()];
        all.extend(packed);
        all
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn entry(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": format!("sha256:{}", hash(bytes)), "size": bytes.len()})
}

fn named(mut entry: serde_json::Value, name: &str) -> serde_json::Value {
    entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
    entry
}

fn index(entries: &[serde_json::Value]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})).unwrap()
}

fn layout(index: &[u8], blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644, (0, 0));
    archive.file("index.json", index, 0o644, (0, 0));
    for blob in blobs {
        archive.file(&format!("blobs/sha256/{}", hash(blob)), blob, 0o644, (0, 0));
    }
    archive.bytes()
}

/// What a refused archive may have left: nothing but empty folders.
fn assert_store_is_empty(ground: &Ground) {
    let files: Vec<_> = support::walk(&ground.store()).into_iter().filter(|p| p.is_file()).collect();
    let left: Vec<_> = files.iter().filter(|p| p.file_name().unwrap() != "version").collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(support::walk(&ground.store().join("layers")).iter().all(|p| !p.join("root").exists()));
}

fn digests(folder: &Path) -> String {
    fs::read_to_string(folder.join("index.json")).unwrap()
}

#[test]
fn an_archive_of_docker_runs_and_keeps_its_id() {
    let ground = ground!();
    let sample = Sample::new(&ground);
    ground.file("a.tar", sample.docker(r#"["made:1","docker.io/library/other:latest"]"#));
    assert_eq!(ground.ok(["load", "-i", "a.tar"]), "Loaded image: made:1\nLoaded image: other\n");
    assert_eq!(ground.ok(["run", "--rm", "made:1"]), "new\nold\n");
    assert_eq!(ground.images()[0]["id"], sample.id());
    ground.ok(["save", "-o", "b.tar", "made:1", "other"]);
    ground.ok(["rmi", "-f", "made:1", "other"]);
    assert_eq!(ground.ok(["load", "-q", "-i", "b.tar"]), "made:1\nother\n");
    assert_eq!(ground.images()[0]["id"], sample.id());
    ground.ok(["save", "-o", "c.tar", "made:1", "other"]);
    assert!(fs::read(ground.path("work/b.tar")).unwrap() == fs::read(ground.path("work/c.tar")).unwrap());
    assert!(fs::read_dir(ground.store().join("loads")).unwrap().next().is_none());
}

#[test]
fn digests_survive_an_oci_archive() {
    let ground = ground!();
    let blobs = Sample::new(&ground).blobs();
    ground.file("a.tar", layout(&index(&[named(entry(MANIFEST, &blobs[0]), "ghcr.io/me/made:v1")]), &blobs));
    assert_eq!(ground.ok(["load", "-i", "a.tar"]), "Loaded image: ghcr.io/me/made:v1\n");
    assert_eq!(ground.ok(["run", "--rm", "ghcr.io/me/made:v1"]), "new\nold\n");
    ground.ok(["save", "--format", "oci-dir", "-o", "one", "ghcr.io/me/made:v1"]);
    assert!(digests(&ground.path("work/one")).contains(&hash(&blobs[0])));
    for blob in &blobs {
        assert!(fs::read(ground.path("work/one/blobs/sha256").join(hash(blob))).unwrap() == *blob);
    }
    ground.ok(["rmi", "ghcr.io/me/made:v1"]);
    // A folder, and an archive through a pipe.
    ground.ok(["load", "-i", "one"]);
    let script = "little-container save --format oci-archive ghcr.io/me/made:v1 >two.tar; \
                  gzip <two.tar | little-container load; little-container save --format oci-archive ghcr.io/me/made:v1 | cmp - two.tar";
    let path = format!("{}:/usr/bin:/bin", support::program().parent().unwrap().display());
    let out = outcome(ground.command("sh").args(["-c", script]).env("PATH", path));
    assert_eq!((out.status, out.stdout.as_str()), (0, "Loaded image: ghcr.io/me/made:v1\n"), "{}", out.stderr);
}

#[test]
fn layers_may_be_links_inside_the_archive() {
    let ground = ground!();
    let sample = Sample::small();
    let list = sample.list(r#"["made:1"]"#).replace("2/layer.tar", "3/layer.tar");
    ground.file(
        "a.tar",
        sample.docker_with(&list, |archive| {
            archive.link("3/layer.tar", "../2/layer.tar");
        }),
    );
    ground.ok(["load", "-i", "a.tar"]);
}

#[test]
fn what_has_no_name_gets_one() {
    let ground = ground!();
    let sample = Sample::small();
    let blobs = sample.blobs();
    ground.file("a.tar", sample.docker("null"));
    assert_eq!(ground.ok(["load", "-i", "a.tar"]), format!("Loaded image: none/{}\n", &sample.id()[..12]));
    ground.file("Tool.tar.gz", gzip(&layout(&index(&[named(entry(MANIFEST, &blobs[0]), "v2")]), &blobs)));
    assert_eq!(ground.ok(["load", "-i", "Tool.tar.gz"]), "Loaded image: localhost/tool:v2\n");
    ground.file("bare.tar", layout(&index(&[entry(MANIFEST, &blobs[0])]), &blobs));
    assert_eq!(ground.ok(["load", "-i", "bare.tar"]), "Loaded image: localhost/bare\n");
}

#[test]
fn the_image_for_the_machine_that_is_wanted() {
    let ground = ground!();
    let (own, other) = (Sample::small(), Sample::of([gzip(b""), gzip(b"")]));
    let mut blobs = own.blobs();
    let foreign = other.blobs();
    let of = |mut entry: serde_json::Value, arch: &str| {
        entry["platform"] = serde_json::json!({"os": "linux", "architecture": arch});
        entry
    };
    let arch = little_container::image::arch::own();
    let inner = index(&[of(entry(MANIFEST, &foreign[0]), "s390x"), of(entry(MANIFEST, &blobs[0]), arch)]);
    blobs.push(inner.clone());
    ground.file("a.tar", layout(&index(&[named(entry(INDEX, &inner), "made:1")]), &blobs));
    ground.ok(["load", "-i", "a.tar"]);
    assert_eq!(ground.images()[0]["id"], own.id());
    let out = outcome(&mut ground.lc(["load", "--platform", "linux/arm/v6", "-i", "a.tar"]));
    assert_error(&out, 1, &["there is no image for linux/arm/v6, only for linux/s390x, linux/"]);
}

#[test]
fn hostile_and_damaged_archives_leave_nothing() {
    let sample = Sample::small();
    let blobs = sample.blobs();
    let list = sample.list(r#"["made:1"]"#);
    let with = |more: fn(&mut Archive)| sample.docker_with(&list, more);
    let good = index(&[entry(MANIFEST, &blobs[0])]);
    let own = (0, 0);
    let mut swapped = Archive::new();
    swapped.file("oci-layout", b"{}", 0o644, own).file("index.json", &good, 0o644, own);
    swapped.file(&format!("blobs/sha256/{}", hash(&blobs[0])), b"other", 0o644, own);
    let liar = Sample { layers: [sample.layers[1].clone(), sample.layers[0].clone()], config: sample.config.clone() };
    let mut short = blobs.clone();
    short.pop();
    let all: &[(&str, Vec<u8>, &str)] = &[
        (
            "up",
            with(|a| {
                a.file("../evil", b"x", 0o644, (0, 0));
            }),
            "leads out of the archive: it has ..",
        ),
        (
            "absolute",
            with(|a| {
                a.file("/evil", b"x", 0o644, (0, 0));
            }),
            "it begins with /",
        ),
        (
            "link",
            with(|a| {
                a.link("evil", "../../etc/passwd");
            }),
            "the link leads out of the archive",
        ),
        (
            "device",
            with(|a| {
                a.device("evil", (1, 3));
            }),
            "neither a file nor a folder nor a link",
        ),
        (
            "twice",
            with(|a| {
                a.file("1/layer.tar", b"x", 0o644, (0, 0));
            }),
            "the archive has it twice",
        ),
        (
            "root",
            with(|a| {
                a.file("etc/passwd", b"x", 0o644, (0, 0));
            }),
            "this is a root file system",
        ),
        (
            "circle",
            sample.docker_with(&list.replace("2/layer", "3/layer"), |a| {
                a.link("3/layer.tar", "x").link("3/x", "layer.tar");
            }),
            "the links lead in a circle",
        ),
        ("gone", sample.docker_with(&list.replace("2/layer", "4/layer"), |_| {}), "4/layer.tar is not in the archive"),
        ("long", sample.docker_with(&format!("{list}{}", " ".repeat(5 << 20)), |_| {}), "4194304 are allowed"),
        ("no list", sample.docker_with("{}", |_| {}), "manifest.json is no list of images"),
        ("diff ids", liar.docker(r#"["made:1"]"#), "and the image says"),
        ("few", sample.docker_with(&list.replace(",\"2/layer.tar\"", ""), |_| {}), "it names 2 layers"),
        ("bad name", sample.docker(r#"["Upper/Case:1"]"#), "the name \"Upper/Case:1\" in it"),
        ("swapped", swapped.bytes(), "it is damaged: it hashes to"),
        ("missing", layout(&good, &short), "it is not in the archive"),
        ("nothing", layout(&index(&[]), &[]), "index.json names no image"),
        ("cut", sample.docker(r#"["made:1"]"#)[..3000].to_vec(), "ends in the middle"),
        ("neither", Archive::new().file("x", b"x", 0o644, (0, 0)).bytes(), "neither a manifest.json nor an oci-layout"),
    ];
    for (name, bytes, told) in all {
        let ground = ground!();
        ground.file("a.tar", bytes);
        let out = outcome(&mut ground.lc(["load", "-i", "a.tar"]));
        assert_error(&out, 1, &["load a.tar", told]);
        eprintln!("{name}");
        assert_store_is_empty(&ground);
    }
}

#[test]
fn thousands_of_entries_are_too_many() {
    let ground = ground!();
    let mut archive = Archive::new();
    for n in 0..20_001 {
        archive.folder(&format!("{n}/"), 0o755, (0, 0));
    }
    ground.file("a.tar", archive.bytes());
    assert_error(&outcome(&mut ground.lc(["load", "-i", "a.tar"])), 1, &["more than 20000 entries"]);
}

#[test]
fn a_killed_load_is_cleared_up_by_the_next_one() {
    let ground = ground!();
    let bytes = Sample::small().docker(r#"["made:1"]"#);
    let mut child = ground.lc(["load"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&bytes[..2048]).unwrap();
    kit::wait_for("the folder of the load", || fs::read_dir(ground.store().join("loads")).is_ok_and(|d| d.count() > 1));
    child.kill().unwrap();
    child.wait().unwrap();
    ground.file("a.tar", bytes);
    ground.ok(["load", "-i", "a.tar"]);
    assert_eq!(fs::read_dir(ground.store().join("loads")).unwrap().count(), 0);
}

#[test]
fn what_is_not_whole_is_not_saved() {
    let ground = ground!();
    ground.file("a.tar", Sample::small().docker(r#"["made:1"]"#));
    ground.ok(["load", "-i", "a.tar"]);
    let blob = ground.store().join("blobs/sha256").join(hash(&Sample::small().layers[0]));
    let bytes = fs::read(&blob).unwrap();
    fs::write(&blob, &bytes[..600]).unwrap();
    for format in ["docker-archive", "oci-archive"] {
        let out = outcome(&mut ground.lc(["save", "--format", format, "-o", "b.tar", "made:1"]));
        assert_error(&out, 1, &["write b.tar", "is damaged in the store"]);
    }
    fs::remove_file(&blob).unwrap();
    let out = outcome(&mut ground.lc(["save", "-o", "b.tar", "made:1"]));
    assert_error(&out, 1, &["save made:1: its packed layer sha256:", "`little-container pull made:1`"]);
    let left: Vec<_> = fs::read_dir(ground.path("work")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["a.tar"]);
}

#[test]
fn skopeo_reads_and_writes_the_same() {
    let ground = ground!(Need::Program("skopeo"));
    let sample = Sample::new(&ground);
    ground.file("a.tar", sample.docker(r#"["made:1"]"#));
    ground.ok(["load", "-i", "a.tar"]);
    ground.ok(["save", "-o", "docker.tar", "made:1"]);
    ground.ok(["save", "--format", "oci-archive", "-o", "oci.tar", "made:1"]);
    let skopeo = |words: &[&str]| {
        let out = outcome(ground.command("skopeo").args(["--insecure-policy"]).args(words));
        assert_eq!(out.status, 0, "{words:?}: {}", out.stderr);
        out.stdout
    };
    for source in ["docker-archive:docker.tar:made:1", "oci-archive:oci.tar:docker.io/library/made:1"] {
        let told = skopeo(&["inspect", "--config", source]);
        assert!(told.contains(&format!("sha256:{}", hash(&sample.layers[0]))), "{told}");
    }
    skopeo(&["copy", "-q", "docker-archive:docker.tar:made:1", "docker-archive:again.tar:again:2"]);
    skopeo(&["copy", "-q", "oci-archive:oci.tar", "oci:folder:v3"]);
    assert_eq!(ground.ok(["load", "-i", "again.tar"]), "Loaded image: again:2\n");
    assert_eq!(ground.ok(["load", "-i", "folder"]), "Loaded image: localhost/folder:v3\n");
    assert!(ground.images().iter().all(|image| image["id"] == sample.id()));
    assert_eq!(ground.ok(["run", "--rm", "again:2"]), "new\nold\n");
}

#[test]
fn an_imported_image_is_a_whole_one() {
    let ground = ground!(Need::Program("xz"));
    let tar = Sample::new(&ground).layers[0].clone();
    ground.file("a.tar", &tar);
    ground.file("a.tar.gz", gzip(&tar));
    outcome(ground.command("xz").args(["-k", "-0", "a.tar"]));
    let settings =
        ["-c", "CMD [\"ls\", \"/data\"]", "--change", "ENV A=b", "-m", "by hand", "--platform", "linux/amd64"];
    let mut ids = Vec::new();
    for file in ["a.tar", "a.tar.gz", "a.tar.xz"] {
        ids.push(ground.ok(["import", "-q"].iter().chain(&settings).chain(&["made", file])));
        ground.ok(["save", "--format", "oci-dir", "-o", &format!("of-{file}"), "made"]);
        let name = format!("{file}.2");
        ground.ok(["save", "-o", &name, "made"]);
        ground.ok(["rmi", "made"]);
        assert_eq!(ground.ok(["load", "-i", &name]), "Loaded image: made\n");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(ground.ok(["run", "--rm", "made"]), "old\n");
        }
        assert_eq!(ground.images()[0]["id"], ids[0].trim());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // The archive as it came is the layer.
    for (folder, bytes) in [("of-a.tar", tar.clone()), ("of-a.tar.gz", gzip(&tar))] {
        let blob = ground.path("work").join(folder).join("blobs/sha256").join(hash(&bytes));
        assert!(fs::read(blob).unwrap() == bytes, "{folder}");
    }
    let root = ground.rootfs();
    ground.ok(["import".as_ref(), "tree".as_ref(), root.as_os_str()]);
    ground.ok(["save", "--format", "oci-archive", "-o", "tree.tar", "tree"]);
    ground.ok(["import".as_ref(), "twin".as_ref(), root.as_os_str()]);
    let images = ground.images();
    let id = |name: &str| images.iter().find(|i| i["name"] == name).unwrap()["id"].clone();
    assert_eq!(id("tree"), id("twin"));
}

#[test]
fn an_archive_runs_without_another_step() {
    let ground = ground!();
    let sample = Sample::new(&ground);
    let blobs = sample.blobs();
    ground.file("a.tar", sample.docker(r#"["made:1"]"#));
    let list = index(&[named(entry(MANIFEST, &blobs[0]), "v1")]);
    ground.file("b.tar", gzip(&layout(&list, &blobs)));
    ground.file("c.tar", layout(&list, &blobs));
    fs::create_dir_all(ground.path("work/folder/blobs/sha256")).unwrap();
    ground.file("folder/oci-layout", "{}");
    ground.file("folder/index.json", &list);
    for blob in &blobs {
        ground.file(&format!("folder/blobs/sha256/{}", hash(blob)), blob);
    }
    let all = [
        "docker-archive:a.tar",
        "docker-archive:a.tar:made:1",
        "./b.tar",
        "oci-archive:c.tar",
        "./folder",
        "oci:folder:v1",
    ];
    for source in all {
        assert_eq!(ground.ok(["run", "--rm", source]), "new\nold\n", "{source}");
    }
    let before = ground.images().len();
    assert_eq!(ground.ok(["run", "--rm", "./b.tar", "ls", "/data"]), "new\nold\n");
    assert_eq!(ground.images().len(), before);
    let out = outcome(&mut ground.lc(["run", "--rm", "oci:folder:v9", "true"]));
    assert_error(&out, 125, &["it has no image \"v9\""]);
}
