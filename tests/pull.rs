//! `pull`: images from a registry that misbehaves on command.

#[macro_use]
mod support;
#[path = "support/images.rs"]
mod images;
#[path = "support/kit.rs"]
mod kit;
#[path = "support/registry.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod stub;

use images::{Draft, Packed, Put, foreign, own, put_index};
use kit::{Archive, assert_advice, assert_error};
use serde_json::json;
use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use stub::{Fault, Registry};
use support::{Ground, Outcome, outcome};

/// Quick about trying again.
fn pull(ground: &Ground, words: &[&str]) -> Command {
    let mut command = ground.lc(["pull"]);
    command.args(words).env("LITTLE_CONTAINER_RETRY_PAUSE", "1");
    command
}

fn pulled(ground: &Ground, words: &[&str]) -> Outcome {
    outcome(&mut pull(ground, words))
}

/// The programs, and above them a file that says which image this is.
fn small(ground: &Ground, which: &str) -> Draft {
    Draft::new().layer(&programs(ground), Packed::Gzip).layer(&named(which), Packed::Zstd)
}

fn programs(ground: &Ground) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.programs(&ground.rootfs());
    archive.bytes()
}

fn named(which: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    archive.folder("etc", 0o755, (0, 0)).file("etc/which", format!("{which}\n").as_bytes(), 0o644, (0, 0));
    archive.bytes()
}

/// What does not pack well: some megabytes.
fn large() -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let content: Vec<u8> = (0..3 << 20).map(|_| noise()).collect();
    let mut archive = Archive::new();
    archive.file("large", &content, 0o644, (0, 0));
    archive.bytes()
}

/// What the store has of blobs and layers that are not whole.
fn unfinished(ground: &Ground) -> Vec<String> {
    let mut all = vec![];
    for folder in ["blobs/sha256", "layers"] {
        for entry in fs::read_dir(ground.store().join(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.ends_with(".part") || name.starts_with('.') {
                all.push(name);
            }
        }
    }
    all
}

fn which(ground: &Ground, image: &str) -> String {
    ground.ok(["run", "--rm", "--image", image, "cat", "/etc/which"])
}

#[test]
fn every_packing_and_what_runs() {
    let ground = ground!();
    let registry = Registry::start();
    let put = small(&ground, "first").layer(&large(), Packed::Plain).put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    let out = pulled(&ground, &[&name]);
    assert_eq!(out.status, 0, "{out:?}");
    let id = put.config.trim_start_matches("sha256:");
    assert!(out.stdout.starts_with(&format!("{name}  {id}  ")), "{out:?}");
    assert!(out.stderr.contains(&format!("pulling {name}: 3 layers, 3 to fetch, ")), "{out:?}");
    assert_eq!(which(&ground, &name), "first\n");
    assert_eq!(ground.ok(["run", "--rm", &name, "cat", "/etc/which"]), "first\n");
    assert_eq!(unfinished(&ground), Vec::<String>::new());

    let asked = || registry.count("*", "/app/");
    let before = asked();
    let out = pulled(&ground, &[&name]);
    assert!(out.status == 0 && out.stderr.contains("is up to date"), "{out:?}");
    assert_eq!((asked() - before, registry.count("HEAD", "")), (1, 2), "one HEAD, nothing else");
    let quiet = outcome(pull(&ground, &[&name]).arg("-q"));
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), (format!("{id}\n").as_str(), ""));
}

#[test]
fn a_tag_that_moves_brings_only_what_is_new() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "old").put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    assert_eq!(pulled(&ground, &[&name]).status, 0);
    small(&ground, "new").put(&registry, "app", "v1");
    let before = registry.count("GET", "/blobs/");
    let out = pulled(&ground, &[&name]);
    assert!(out.stderr.contains("2 layers, 1 to fetch"), "{out:?}");
    assert_eq!(registry.count("GET", "/blobs/") - before, 2, "a configuration and a layer");
    assert_eq!(which(&ground, &name), "new\n");

    small(&ground, "new").put(&registry, "app", "v2");
    let before = registry.count("GET", "/app/");
    let other = format!("{}/app:v2", registry.address());
    assert!(pulled(&ground, &[&other]).stderr.contains("is up to date"));
    assert_eq!(registry.count("GET", "/app/"), before);
    assert_eq!(which(&ground, &other), "new\n");
}

#[test]
fn an_index_and_platforms() {
    let ground = ground!();
    let registry = Registry::start();
    let ours = small(&ground, "ours").put(&registry, "app", "a");
    let theirs = small(&ground, "theirs").architecture(foreign()).put(&registry, "app", "b");
    let index = put_index(&registry, "app", "v1", &[(foreign(), "", &theirs), (own(), "", &ours)]);
    let name = format!("{}/app:v1", registry.address());
    assert_eq!(pulled(&ground, &[&name]).status, 0);
    assert_eq!(which(&ground, &name), "ours\n");
    // By the digest of the index it is found, too, and nobody is asked.
    let exact = format!("{}/app@{index}", registry.address());
    let before = registry.count("*", "");
    assert_eq!(ground.ok(["run", "--rm", &exact, "cat", "/etc/which"]), "ours\n");
    assert!(pulled(&ground, &[&exact]).stderr.contains("up to date"));
    assert_eq!(registry.count("*", ""), before);
    assert!(pulled(&ground, &[&name]).stderr.contains("up to date"));

    let out = pulled(&ground, &["--platform", foreign(), &name]);
    assert_eq!(out.status, 0, "{out:?}");
    let out = ground.end(["run", "--rm", "--image", &name, "true"]);
    assert_error(&out, 125, &[&format!("is for {}", foreign()), "binfmt_misc"]);
    let out = pulled(&ground, &["--platform", "riscv64", &name]);
    let there = format!("only for linux/{}, linux/{}", foreign(), own());
    assert_advice(&out, 1, &["there is no image for linux/riscv64", &there, "--platform"]);
    let single = format!("{}/app:b", registry.address());
    let out = pulled(&ground, &["--platform", own(), &single]);
    assert_advice(&out, 1, &[&format!("only for linux/{}", foreign())]);
    assert_advice(&pulled(&ground, &["--platform", "windows/amd64", &name]), 1, &["do not run on Linux"]);
}

/// Nothing is recorded, and nothing wrong is kept.
fn refused(faulty: &str, fault: fn(&Put) -> Fault, told: &[&str]) {
    let ground = ground!();
    let registry = Registry::start();
    let put = small(&ground, "good").put(&registry, "app", "v1");
    let path = match faulty {
        "manifest" => "/manifests/".to_owned(),
        "config" => put.config.clone(),
        _ => put.layers[0].clone(),
    };
    registry.fault("GET", &path, 9, fault(&put));
    let name = format!("{}/app:v1", registry.address());
    let out = pulled(&ground, &[&name]);
    assert_eq!(out.status, 1, "{out:?}");
    for part in told {
        assert!(out.stderr.contains(part), "{part:?} is not in {out:?}");
    }
    assert_eq!(ground.images(), Vec::<serde_json::Value>::new());
    assert_eq!(unfinished(&ground), Vec::<String>::new());
}

#[test]
fn a_manifest_that_is_not_the_one() {
    refused("manifest", |_| Fault::Instead(b"{\"schemaVersion\":2}".to_vec()), &["its digest is", "promised"]);
}

#[test]
fn a_configuration_that_is_not_the_one() {
    refused("config", |_| Fault::Instead(b"{}".to_vec()), &["its configuration", "fix ("]);
}

#[test]
fn a_layer_that_is_not_the_one() {
    // As long as announced, and something else.
    refused("layer", |_| Fault::Instead(vec![7; 4 << 20]), &["the layer sha256:", "hashes to"]);
}

#[test]
fn what_breaks_is_taken_up_where_it_broke() {
    let ground = ground!();
    let registry = Registry::start();
    let put = small(&ground, "good").layer(&large(), Packed::Plain).put(&registry, "app", "v1");
    registry.fault("GET", &put.layers[2], 2, Fault::Cut(1 << 20));
    registry.fault("GET", &put.layers[0], 3, Fault::Status(500, vec![]));
    registry.fault("GET", "/manifests/", 1, Fault::Status(503, vec![]));
    let name = format!("{}/app:v1", registry.address());
    let out = pulled(&ground, &[&name]);
    assert_eq!(out.status, 0, "{out:?}");
    assert!(out.stderr.contains("trying again"), "{out:?}");
    let asked = registry.requests();
    let ranges: Vec<_> =
        asked.iter().filter(|a| a.path.contains(&put.layers[2])).map(|a| a.headers.get("range")).collect();
    assert!(ranges.len() == 3 && ranges[0].is_none() && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    assert_eq!(which(&ground, &name), "good\n");
    assert_eq!(unfinished(&ground), Vec::<String>::new());
}

#[test]
fn an_interrupted_pull_goes_on() {
    let ground = ground!();
    let registry = Registry::start();
    let put = small(&ground, "good").layer(&large(), Packed::Plain).put(&registry, "app", "v1");
    registry.fault("GET", &put.layers[2], 1, Fault::Stall(1 << 20, Duration::from_secs(20)));
    let name = format!("{}/app:v1", registry.address());
    let mut child = pull(&ground, &[&name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let part =
        ground.store().join("blobs/sha256").join(put.layers[2].trim_start_matches("sha256:")).with_extension("part");
    let begun = Instant::now();
    while fs::metadata(&part).map_or(0, |m| m.len()) < 1 << 20 {
        assert!(begun.elapsed() < Duration::from_secs(15), "nothing came");
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert_eq!(told.matches("what has come is kept").count(), 1, "{told}");
    assert_eq!(fs::metadata(&part).unwrap().len(), 1 << 20);

    let out = pulled(&ground, &[&name]);
    assert_eq!(out.status, 0, "{out:?}");
    let asked = registry.requests();
    let last = asked.iter().rfind(|a| a.path.contains(&put.layers[2])).unwrap();
    assert_eq!(last.headers.get("range").map(String::as_str), Some("bytes=1048576-"));
    assert_eq!(which(&ground, &name), "good\n");
}

#[test]
fn two_at_once_fetch_a_layer_once() {
    let ground = ground!();
    let registry = Registry::start();
    let put = small(&ground, "good").put(&registry, "app", "v1");
    registry.fault("GET", &put.layers[0], 1, Fault::Late(Duration::from_secs(2)));
    let name = format!("{}/app:v1", registry.address());
    ground.ok(["images"]);
    let spawn = || pull(&ground, &[&name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (one, two) = (spawn(), spawn());
    let (one, two) = (one.wait_with_output().unwrap(), two.wait_with_output().unwrap());
    let told = format!("{}{}", String::from_utf8_lossy(&one.stderr), String::from_utf8_lossy(&two.stderr));
    assert!(one.status.success() && two.status.success(), "{told}");
    assert_eq!(told.matches("another process is at it").count(), 1, "{told}");
    assert_eq!(registry.count("GET", &put.layers[0]), 1, "{told}");
    assert_eq!(which(&ground, &name), "good\n");
}

#[test]
fn a_registry_that_limits() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "good").put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    let wait = |seconds: &str| Fault::Status(429, vec![("Retry-After".into(), seconds.into())]);
    registry.fault("*", "/manifests/", 1, wait("18720"));
    let out = pulled(&ground, &[&name]);
    assert_advice(&out, 1, &["429", "little-container login", "mirror"]);
    registry.fault("*", "/manifests/", 2, wait("0"));
    assert_eq!(pulled(&ground, &[&name]).status, 0);

    registry.fault("*", "/manifests/", 1, wait("18720"));
    let out = pulled(&ground, &[&name]);
    assert_eq!(out.status, 0, "{out:?}");
    let told = "limits this address (429, retry in 5h12m); using the local copy from ";
    assert!(out.stderr.contains(told), "{out:?}");
    registry.fault("*", "/manifests/", 9, Fault::Close);
    let out = pulled(&ground, &[&name]);
    assert!(out.status == 0 && out.stderr.contains("using the local copy from "), "{out:?}");
    // Another content was asked for: the local copy is none of it.
    let other = format!("{}/app@sha256:{}", registry.address(), "a".repeat(64));
    assert_eq!(pulled(&ground, &[&other]).status, 1);
}

#[test]
fn what_is_not_there() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "good").put(&registry, "app", "v1");
    let out = pulled(&ground, &[&format!("{}/app:v2", registry.address())]);
    assert_advice(&out, 1, &["404", "check the name"]);
    let out = pulled(&ground, &["Not An Image"]);
    assert_error(&out, 1, &["is no name of an image"]);
    // Nobody listens there.
    let address = registry.address();
    drop(registry);
    std::thread::sleep(Duration::from_millis(100));
    let out = pulled(&ground, &[&format!("{address}/app:v1")]);
    assert_advice(&out, 1, &[&address, "refused"]);
}

/// `run` that may ask a registry.
fn run(ground: &Ground, words: &[&str]) -> Outcome {
    outcome(
        ground
            .lc(["run", "--rm"])
            .args(words)
            .env("LITTLE_CONTAINER_RETRY_PAUSE", "1")
            .env_remove("LITTLE_CONTAINER_PULL"),
    )
}

#[test]
fn run_fetches_what_is_missing() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "one").put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    assert_error(&ground.end(["run", "--rm", &name, "true"]), 125, &["--pull never"]);
    let out = run(&ground, &[&name, "cat", "/etc/which"]);
    assert_eq!((out.status, out.stdout.as_str()), (0, "one\n"), "{out:?}");
    assert!(out.stderr.contains("pulling "), "{out:?}");
    // It is here now.
    let before = registry.count("*", "");
    small(&ground, "two").put(&registry, "app", "v1");
    let out = run(&ground, &[&name, "cat", "/etc/which"]);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str(), registry.count("*", "") - before), ("one\n", "", 0));
    let out = run(&ground, &["--pull", "always", &name, "cat", "/etc/which"]);
    assert_eq!(out.stdout, "two\n", "{out:?}");
    registry.fault("*", "/app/manifests/", 9, Fault::Status(429, vec![]));
    let out = run(&ground, &["--pull", "always", &name, "cat", "/etc/which"]);
    assert!(out.stdout == "two\n" && out.stderr.contains("using the local copy"), "{out:?}");

    let missing = format!("{}/gone:v1", registry.address());
    let out = run(&ground, &[&missing, "true"]);
    assert_advice(&out, 125, &[&format!("no image is called {missing:?} here"), "404"]);
    // A name that is nearly that of an image which is here was mistyped: nobody is asked.
    ground.image("mybox");
    let out = run(&ground, &["--image", "myboxx", "true"]);
    assert_advice(&out, 125, &["did you mean mybox?", "little-container pull myboxx"]);
}

#[test]
fn run_for_another_platform() {
    let ground = ground!();
    let registry = Registry::start();
    let ours = small(&ground, "ours").put(&registry, "app", "a");
    let theirs = small(&ground, "theirs").architecture(foreign()).put(&registry, "app", "b");
    put_index(&registry, "app", "v1", &[(foreign(), "", &theirs), (own(), "", &ours)]);
    let name = format!("{}/app:v1", registry.address());
    let out = run(&ground, &["--platform", &format!("linux/{}", foreign()), &name, "true"]);
    assert_error(&out, 125, &[&format!("is for {}, and this machine is {}", foreign(), own()), "binfmt_misc"]);
    assert_eq!(registry.count("*", ""), 0, "nothing is fetched that could not run");
    assert_eq!(run(&ground, &["--platform", own(), &name, "cat", "/etc/which"]).stdout, "ours\n");
    let single = format!("{}/app:b", registry.address());
    let out = run(&ground, &[&single, "true"]);
    assert!(out.status == 125 && out.stderr.contains("note: ") && out.stderr.contains("binfmt_misc"), "{out:?}");
}

#[test]
fn what_an_image_says_of_its_containers() {
    let ground = ground!();
    let registry = Registry::start();
    let image = small(&ground, "good").runs("Labels", json!({"a.b": "c"})).runs("StopSignal", json!("SIGINT"));
    let image = image.runs("Volumes", json!({"/data/deep": {}, "/proc/x": {}, "../y": {}}));
    image.runs("ExposedPorts", json!({"80/tcp": {}})).put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    assert_eq!(pulled(&ground, &[&name]).status, 0);
    ground.ok(["run", "--name", "one", &name, "sh", "-c", "stat -c %a /data/deep && echo x > /data/deep/x"]);
    let told: serde_json::Value = serde_json::from_str(&ground.ok(["inspect", "one"])).unwrap();
    let config = &told[0]["Config"];
    assert_eq!(config["Labels"]["a.b"], "c");
    assert_eq!((&config["StopSignal"], &config["ExposedPorts"]["80/tcp"]), (&json!("SIGINT"), &json!({})));
    ground.ok(["rm", "one"]);
    let write = "echo x > /data/deep/x && cat /data/deep/x; echo y 2>/dev/null > /data/y || echo refused";
    assert_eq!(ground.ok(["run", "--rm", "--read-only", &name, "sh", "-c", write]), "x\nrefused\n");
    let mounted = "cat /data/deep/file";
    let file = ground.file("volume/file", "mine\n");
    let volume = format!("{}:/data", file.parent().unwrap().display());
    let script = "cat /data/file; ls /data";
    assert_eq!(ground.ok(["run", "--rm", "--read-only", "-v", &volume, &name, "sh", "-c", script]), "mine\nfile\n");
    let volume = format!("{}:/data/deep", file.parent().unwrap().display());
    assert_eq!(ground.ok(["run", "--rm", "-v", &volume, &name, "sh", "-c", mounted]), "mine\n");
}

#[test]
fn the_longest_name_is_recorded() {
    let ground = ground!();
    let registry = Registry::start();
    let repository = format!("a{}/b", "/abcdefghij".repeat(20));
    let tag = "t".repeat(128);
    small(&ground, "good").put(&registry, &repository, &tag);
    let name = format!("{}/{repository}:{tag}", registry.address());
    assert_eq!(pulled(&ground, &[&name]).status, 0);
    assert_eq!(which(&ground, &name), "good\n");
    assert_eq!(ground.ok(["images", "-q"]), format!("{name}\n"));
    ground.ok(["rmi", &name]);
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "good").put(&registry, "app", "v1");
    let (media_type, manifest) = registry.manifest("app", "v1").unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["size"] = json!(1_u64 << 60);
    registry.put_manifest("app", "v1", &media_type, manifest.to_string().as_bytes());
    let out = pulled(&ground, &[&format!("{}/app:v1", registry.address())]);
    assert_eq!(out.status, 1, "{out:?}");
    for part in ["no room in the store", " free, and ", "TB are needed", "image prune", "store move", "--store DIR"] {
        assert!(out.stderr.contains(part), "{part:?} is not in {out:?}");
    }
    assert_eq!(registry.count("GET", "/blobs/"), 1, "the configuration alone");
}

#[test]
fn a_narrow_terminal() {
    let ground = ground!();
    let registry = Registry::start();
    small(&ground, "good").layer(&large(), Packed::Plain).put(&registry, "app", "v1");
    let name = format!("{}/app:v1", registry.address());
    for columns in [0, 1, 20, 300] {
        let size = nix::pty::Winsize { ws_row: 10, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = nix::pty::openpty(Some(&size), None).unwrap();
        let mut command = pull(&ground, &[&name]);
        let mut child = command.env("TERM", "xterm").stdout(Stdio::null()).stderr(ends.slave).spawn().unwrap();
        drop(command);
        let mut text = Vec::new();
        let mut outer = fs::File::from(ends.master);
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = std::io::Read::read(&mut outer, &mut buffer) {
            text.extend(&buffer[..n]);
        }
        let text = String::from_utf8_lossy(&text);
        assert!(child.wait().unwrap().success(), "{text}");
        assert!(columns < 300 || text.contains("unpacked"), "{text}");
        ground.ok(["rmi", &name]);
    }
}

#[test]
fn what_a_registry_says_does_no_harm_to_a_terminal() {
    let ground = ground!();
    let registry = Registry::start();
    let words = br#"{"errors":[{"code":"DENIED","message":"\u001b[2Jgone\u0007"}]}"#.to_vec();
    registry.fault("*", "/manifests/", 9, Fault::Answer(403, vec![], words));
    let out = pulled(&ground, &[&format!("{}/app:v1", registry.address())]);
    assert!(out.status == 1 && !out.stderr.contains(['\u{1b}', '\u{7}']), "{out:?}");
}
