//! Pulls that are killed, that come all at once, that find no room.

use super::{
    journey::{AS_IT_IS, raw, upload},
    layout::{Layer, Layout, Packed, own, programs},
    real::Real,
    support::{
        Ground,
        Need::{Program, Root},
        outcome, program,
    },
    tree::place,
};
use serde_json::Value;
use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Numbers that look random: xorshift.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// What does not pack well.
    fn layer(&mut self, name: &str, size: usize) -> Vec<u8> {
        let content: Vec<u8> = (0..size / 8).flat_map(|_| self.next().to_le_bytes()).collect();
        let mut layer = Layer::new().folder("data", 0o755);
        // Several files, so that a layer can be cut between two.
        for (at, part) in content.chunks(size / 4).enumerate() {
            layer = layer.file(format!("data/{name}-{at}"), part, 0o644);
        }
        layer.bytes()
    }
}

/// An image in the registry, of noise layers of these sizes; its name and the digests of its layers.
fn heavy(ground: &Ground, real: &Real, sizes: &[usize], wide: usize) -> (String, Vec<String>) {
    let (mut noise, mut layout) = (Noise(42), Layout::new(place(ground, "layout")));
    let mut layers = vec![(programs(&ground.rootfs()), Packed::Gzip)];
    for (at, size) in sizes.iter().enumerate() {
        let packed = [Packed::Zstd, Packed::Gzip, Packed::Plain][at % 3];
        layers.push((noise.layer(&format!("noise-{at}"), *size), packed));
    }
    // Last of all, for its packed form is the smallest: what unpacks to more than anybody would guess from that.
    if wide > 0 {
        layers.push((Layer::new().file("data/wide", vec![b'x'; wide], 0o644).bytes(), Packed::Zstd));
    }
    layout.image("heavy", own(), &layers);
    let name = real.name("heavy:v1");
    upload(ground, &layout, "heavy", &name, AS_IT_IS);
    let manifest: Value = serde_json::from_slice(&raw(ground, &format!("docker://{name}"))).unwrap();
    let digest = |layer: &Value| layer["digest"].as_str().unwrap().to_owned();
    (name, manifest["layers"].as_array().unwrap().iter().map(digest).collect())
}

/// Of a store of a ground that its name is in every command line: who comes from it is found.
fn pull(ground: &Ground, name: &str) -> Command {
    let mut command = ground.lc(["--store"]);
    command.arg(ground.store()).args(["pull", "-q", name]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What no store has that is at rest.
fn unfinished(ground: &Ground) -> Vec<String> {
    let name = |path: std::path::PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let half = |name: &String| {
        name.ends_with(".part") || [".new-", ".lock-", ".tmp-", ".old-"].iter().any(|start| name.starts_with(start))
    };
    ["blobs/sha256", "layers", "images", ""]
        .iter()
        .flat_map(|folder| fs::read_dir(ground.store().join(folder)).into_iter().flatten().flatten())
        .map(|entry| name(entry.path()))
        .filter(half)
        .collect()
}

fn rounds() -> u32 {
    std::env::var("LITTLE_CONTAINER_TEST_ROUNDS").ok().map_or(15, |text| text.parse().unwrap())
}

/// `LITTLE_CONTAINER_TEST_ROUNDS` says how often; 15 times unless told.
#[test]
fn a_pull_that_is_killed_at_any_moment() {
    let ground = ground!(Program("docker-registry"), Program("skopeo"));
    let real = Real::start(&ground);
    let (name, _) = heavy(&ground, &real, &[4 << 20; 5], 0);
    let begun = Instant::now();
    let out = outcome(&mut pull(&ground, &name));
    assert_eq!(out.status, 0, "{out:?}");
    let whole = begun.elapsed();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let mut noise = Noise(u64::from(seed) | 1);
    let mut early = 0;
    for round in 0..rounds() {
        ground.ok(["rmi", "-f", &name]);
        let moment = Duration::from_micros(noise.next() % u64::try_from(whole.as_micros()).unwrap());
        let mut child = pull(&ground, &name).spawn().unwrap();
        thread::sleep(moment);
        early += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let told = format!("round {round}, killed after {moment:?} of {whole:?}");
        let out = outcome(&mut pull(&ground, &name));
        assert_eq!(out.status, 0, "{told}: {out:?}");
        let out = ground.end(["system", "check"]);
        assert_eq!(out.status, 0, "{told}: {out:?}");
        assert_eq!(unfinished(&ground), Vec::<String>::new(), "{told}");
        let mut left = ground.left_processes();
        left.retain(|line| !line.contains("docker-registry"));
        assert_eq!(left, Vec::<String>::new(), "{told}");
    }
    eprintln!("{} rounds, {early} of them killed before their end; a whole pull takes {whole:?}", rounds());
    assert!(early * 3 >= rounds(), "{early}");
    let sums = ground.ok(["run", "--rm", &name, "sh", "-c", "busybox cat /data/noise-* | busybox wc -c"]);
    assert_eq!(sums.trim(), (20 << 20).to_string());
}

#[test]
fn ten_pulls_at_once() {
    let ground = ground!(Program("docker-registry"), Program("skopeo"));
    let real = Real::start(&ground);
    let (name, layers) = heavy(&ground, &real, &[1 << 20; 5], 0);
    let all: Vec<_> = (0..10).map(|_| pull(&ground, &name).spawn().unwrap()).collect();
    for child in all {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    let fetched: Vec<usize> = layers.iter().map(|digest| real.fetched(digest)).collect();
    assert_eq!(fetched, [1; 6]);
    ground.ok(["system", "check"]);
    assert_eq!(unfinished(&ground), Vec::<String>::new());
}

#[test]
fn a_pull_without_room() {
    let ground = ground!(Root, Program("docker-registry"), Program("skopeo"), Program("setpriv"), Program("unshare"));
    let real = Real::start(&ground);
    let (name, layers) = heavy(&ground, &real, &[3 << 20, 100_000, 100_000, 100_000], 40 << 20);
    let store = place(&ground, "store");
    fs::create_dir(&store).unwrap();
    ground.own(&store);
    let ids = format!("uid={0},gid={1}", ground.user.uid, ground.user.gid);
    let script = format!(
        "lc() {{ setpriv --reuid {0} --regid {1} --clear-groups \"$0\" --store store \"$@\"; }}
        mount -t tmpfs -o {ids},mode=755,size=3m x store
        lc pull -q {name} && exit 9; echo >&2
        mount -o remount,size=30m store
        lc pull -q {name} && exit 9
        (cd store/blobs/sha256 && ls | grep -v '[.]'); echo now; lc images -q
        mount -o remount,size=90m store
        lc pull -q {name}; lc system check >/dev/null",
        ground.user.uid, ground.user.gid
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &script]).arg(program()).env_clear().current_dir(ground.path("work"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", ground.path("home"));
    let out = outcome(command.env("XDG_RUNTIME_DIR", ground.path("run")));
    assert_eq!(out.status, 0, "{out:?}");
    let (foretold, met) = out.stderr.split_once("\n\n").unwrap();
    for part in ["no room in the store", "tmpfs", "are needed, packed", "\n  fix ("] {
        assert!(foretold.contains(part), "{foretold}");
    }
    for part in ["no room in the store", "packed and more than that unpacked are needed", "\n  fix ("] {
        assert!(met.contains(part), "{met}");
    }
    // What was whole is kept, and not fetched again.
    let (kept, named) = out.stdout.split_once("now\n").unwrap();
    assert_eq!(named.lines().count(), 1, "{out:?}");
    let kept: Vec<String> = kept.lines().map(|hex| format!("sha256:{hex}")).collect();
    let kept: Vec<&String> = layers.iter().filter(|layer| kept.contains(layer)).collect();
    assert!(!kept.is_empty(), "{out:?}");
    for layer in kept {
        assert_eq!(real.fetched(layer), 1, "{layer}: {out:?}");
    }
}
