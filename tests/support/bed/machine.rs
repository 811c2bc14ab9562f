//! The small machines of `../shared/vm`: started when first asked for, two at once at most, gone with this process.

use super::{Outcome, Who, within};
use nix::{
    sched::sched_getaffinity,
    unistd::{Pid, getuid},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub const ROOTFS: &str = "/opt/busybox-rootfs";
/// For all test processes of a user together: a machine takes a CPU and some 200 MB.
const SLOTS: usize = 2;
const WAITS: Duration = Duration::from_secs(600);
const WONDERS: Duration = Duration::from_secs(10);

/// Starts a machine and stops it when our end of its stdin is closed, which the kernel does however we end. It is no
/// member of our process group, so that no Ctrl-C ends it first.
const GUARD: &str = "trap '' HUP INT PIPE TERM; vm=$1 name=$2; shift 2
\"$vm\" --start \"$name\" \"$@\" 2>&1 || exit
echo up 2>/dev/null; read -r _; exec \"$vm\" --stop \"$name\" 2>/dev/null";
/// The root file system lies on a disk that is thrown away.
const FURNISH: &str = "echo web:x:33:34:web:/:/bin/sh >>/opt/busybox-rootfs/etc/passwd";

/// One that is up.
pub struct Machine {
    variant: String,
    name: String,
    guard: Child,
    _slot: fs::File,
}

static IDLE: Mutex<Vec<Machine>> = Mutex::new(vec![]);
static CHANGED: Condvar = Condvar::new();

fn vm_run() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vm/vm-run");
    std::env::var_os("LITTLE_CONTAINER_TEST_VM").map_or_else(own, PathBuf::from)
}

/// Whether there is a small machine that could be built.
pub fn is_known() -> bool {
    vm_run().exists()
}

/// Why there is no such machine.
pub fn refusal(variant: &str) -> Option<String> {
    let program = vm_run();
    if !program.exists() {
        return Some(format!("no {}", program.display()));
    }
    let cache = std::env::var("LC_VM_CACHE").unwrap_or("/var/cache/lc-vm".into());
    let image = Path::new(&cache).join(format!("current-{}", suite(variant)));
    (!image.join("ok").exists()).then(|| format!("no {}; build-vm --suite {}", image.display(), suite(variant)))
}

fn suite(variant: &str) -> String {
    let usual = || std::env::var("LC_VM_SUITE").unwrap_or("bookworm".into());
    if variant == "bullseye" { variant.into() } else { usual() }
}

/// vm-run's flags for a variant of ours.
fn flags(variant: &str) -> Vec<String> {
    let hybrid = |legacy: u8| {
        let words = ["unified_cgroup_hierarchy=0".into(), format!("legacy_systemd_cgroup_controller={legacy}")];
        words.iter().flat_map(|w| ["--append".to_string(), format!("systemd.{w}")]).collect()
    };
    match variant {
        "" => vec![],
        "hybrid" => hybrid(0),
        "legacy" => hybrid(1),
        "bullseye" => vec!["-V".into(), "debian".into()],
        _ => vec!["-V".into(), variant.into()],
    }
}

/// A machine for one test; waits until there may be one.
pub fn take(variant: &str) -> Machine {
    let mut idle = IDLE.lock().unwrap();
    let start = Instant::now();
    let mut has_told = false;
    loop {
        if let Some(at) = idle.iter().position(|m| m.variant == variant) {
            return idle.swap_remove(at);
        }
        if let Some((number, slot)) = free_slot() {
            drop(idle);
            return Machine::start(variant, number, slot);
        }
        if let Some(other) = idle.pop() {
            drop(other);
            continue;
        }
        assert!(start.elapsed() < WAITS, "{SLOTS} machines of other tests have been up for long: vm-run --list");
        if !has_told && start.elapsed() > WONDERS {
            eprintln!("waiting: {SLOTS} small machines are up for other tests, perhaps of another checkout");
            has_told = true;
        }
        idle = wait(idle);
    }
}

/// Other processes do not tell when they give one back, so not for ever.
fn wait(idle: MutexGuard<'static, Vec<Machine>>) -> MutexGuard<'static, Vec<Machine>> {
    CHANGED.wait_timeout(idle, Duration::from_millis(100)).unwrap().0
}

/// The next test may have it, unless it is spoilt.
pub fn give_back(machine: Machine, is_well: bool) {
    if is_well {
        IDLE.lock().unwrap().push(machine);
    } else {
        drop(machine);
    }
    CHANGED.notify_all();
}

fn free_slot() -> Option<(usize, fs::File)> {
    let open = |number| {
        let place = std::env::temp_dir().join(format!("little-container-bed-{}.{number}", getuid()));
        fs::File::options().create(true).append(true).open(place).unwrap()
    };
    (0..SLOTS).map(|n| (n, open(n))).find(|(_, file)| file.try_lock().is_ok())
}

impl Machine {
    fn start(variant: &str, number: usize, slot: fs::File) -> Machine {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("lc-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(vm_run()).args([&name, "--suite", &suite(variant)]);
        command.args(flags(variant)).args(pin(number));
        command.arg("-c").arg(format!("{}:/usr/local/bin/little-container", stripped().display()));
        let mut guard =
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("no shell");
        let mut said = String::new();
        let mut lines = BufReader::new(guard.stdout.take().unwrap());
        while !said.ends_with("up\n") {
            let length = lines.read_line(&mut said).unwrap();
            assert!(length > 0, "no small machine: {said}");
        }
        let machine = Machine { variant: variant.into(), name, guard, _slot: slot };
        let out = machine.execute(&["sh", "-c", FURNISH], Who::Root, 60);
        assert_eq!(out.status, 0, "{out:?}");
        machine
    }

    pub fn bring(&self, program: &Path, name: &str) -> String {
        let place = format!("/usr/local/bin/{name}");
        let mut command = Command::new(vm_run());
        command.args(["--vm", &self.name, "-u", "root", "--session", "none", "-c"]);
        command.arg(format!("{}:{place}", program.display())).args(["--", "test", "-x", &place]);
        let out = within::outcome(&mut command, 60);
        assert_eq!(out.status, 0, "{out:?}");
        place
    }

    pub fn execute(&self, words: &[&str], who: Who, seconds: u64) -> Outcome {
        let user = if who == Who::Root { "root" } else { "student" };
        let session = if who == Who::Sessionless { "none" } else { "login" };
        let mut command = Command::new(vm_run());
        command.args(["--vm", &self.name, "-u", user, "--session", session, "-t", &seconds.to_string()]);
        command.args(["-e", &format!("ROOTFS={ROOTFS}"), "--"]).args(words);
        let out = within::outcome(&mut command, seconds + 20);
        let lost = out.stderr.lines().find(|l| l.starts_with("vm-run: ") || l.starts_with("lc-agent: "));
        assert!(lost.is_none(), "{words:?}: {out:?}");
        out
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Each on a CPU of its own where there are two.
fn pin(number: usize) -> Vec<String> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let all: Vec<usize> = (0..nix::sched::CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or(false)).collect();
    all.get(number).map(|cpu| vec!["--pin".into(), cpu.to_string()]).unwrap_or_default()
}

/// The program without what a debugger needs, a tenth of the size: it is copied into every machine.
/// `LITTLE_CONTAINER_TEST_PROGRAM` names another build, such as a static one, which starts on every machine.
fn stripped() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        if let Some(other) = std::env::var_os("LITTLE_CONTAINER_TEST_PROGRAM") {
            return other.into();
        }
        let whole = Path::new(env!("CARGO_BIN_EXE_little-container"));
        let (place, draft) = (whole.with_extension("stripped"), whole.with_extension(std::process::id().to_string()));
        let made = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
        if made(&place) > made(whole) {
            return place;
        }
        let done = Command::new("strip").arg("-o").arg(&draft).arg(whole).stderr(Stdio::null()).status();
        let done = done.is_ok_and(|s| s.success()) && fs::rename(&draft, &place).is_ok();
        if done { place } else { whole.into() }
    })
}
