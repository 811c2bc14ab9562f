//! The exec: only ever a file of the container, and that as the kernel would run it.

use super::{
    compile,
    elf::{elf, own_machine},
    kit::{assert_error, wait_for},
    own_program, put, soon,
    support::{Ground, Need, Outcome, outcome},
};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const EVIL: &str = include_str!("evil.c");
const LOADER: &str = include_str!("loader.c");

/// The loader that the program names; none where it is static.
fn loader_of(program: &Path) -> Option<PathBuf> {
    let content = fs::read(program).unwrap();
    let at = content.windows(4).position(|part| part == b"/lib")?;
    let name: Vec<u8> = content[at..].iter().copied().take_while(|b| *b != 0).collect();
    String::from_utf8(name).ok().filter(|n| n.contains("ld-") && n.len() < 100).map(PathBuf::from)
}

/// A root with a loader of its own, which tries to get at the program that it loads.
pub fn evil_root(ground: &Ground) -> PathBuf {
    let root = ground.rootfs();
    compile(ground, EVIL, &[], &root.join("bin/evil"));
    if let Some(loader) = loader_of(super::support::program()) {
        let place = root.join(loader.strip_prefix("/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        compile(ground, LOADER, &["-nostdlib"], &place);
        assert_eq!(Command::new(&place).current_dir("/").output().unwrap().stdout, b"loader\n");
    }
    symlink("/proc/self/exe", root.join("bin/exe-link")).unwrap();
    symlink("exe-link", root.join("bin/exe-link-2")).unwrap();
    symlink("/proc/self", root.join("self")).unwrap();
    put(ground, &root.join("bin/evil-script"), "#!/proc/self/exe\n", 0o755);
    put(ground, &root.join("bin/by-link"), "#!/bin/exe-link run x\n", 0o755);
    put(ground, &root.join("bin/by-folder"), "#! /self/exe\n", 0o755);
    put(ground, &root.join("bin/by-thread"), "#!/proc/thread-self/exe\n", 0o755);
    put(ground, &root.join("bin/by-script"), "#!/bin/evil-script\n", 0o755);
    put(ground, &root.join("bin/by-number"), "#!/proc/1/exe\n", 0o755);
    put(ground, &root.join("bin/elf"), elf(own_machine(), "/proc/self/exe"), 0o755);
    root
}

/// Runs it; where the loader has come to run, the way is made free for it: nobody may hold the program any more.
fn attack(ground: &Ground, own: &Path, words: &[&str]) -> Outcome {
    let root = ground.rootfs();
    let (out, err) = (ground.path("work/out"), ground.path("work/err"));
    let mut command = ground.command(own);
    command.args(["run", "--rm", "--rootfs"]).arg(root).args(words);
    command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if fs::read_to_string(&out).unwrap().contains("evil") || start.elapsed() > Duration::from_secs(10) {
            for line in ground.left_processes() {
                let pid = line.split(' ').next().unwrap().parse().unwrap();
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
            let status = child.wait().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    Outcome {
        status: status.code().or(signal.map(|s| 128 + s)).unwrap(),
        stdout: fs::read_to_string(out).unwrap(),
        stderr: fs::read_to_string(err).unwrap(),
    }
}

#[test]
fn the_program_itself_is_never_run_inside() {
    let ground = ground!(Need::Program("cc"));
    evil_root(&ground);
    let own = own_program(&ground);
    let before = fs::read(&own).unwrap();
    let commands = [
        "/proc/self/exe",
        "/proc/1/exe",
        "/proc/thread-self/exe",
        "/proc/self/task/1/exe",
        "/self/exe",
        "exe-link",
        "/bin/exe-link",
        "exe-link-2",
        "evil-script",
        "by-link",
        "by-folder",
        "by-thread",
        "by-script",
        "by-number",
        "bin/../bin/evil-script",
    ];
    let ways: [&[&str]; 3] = [&[], &["--init"], &["-w", "/proc/self"]];
    for (n, command) in commands.iter().enumerate() {
        for flags in ways.iter().take(if n % 4 == 0 { 3 } else { 1 }) {
            let out = attack(&ground, &own, &[*flags, &[command, "a"]].concat());
            assert_eq!(out.stdout, "", "{flags:?} {command}: the loader of the image ran on the machine's program");
            assert!(matches!(out.status, 126 | 127), "{flags:?} {command}: {out:?}");
            assert_error(&out, out.status, &[]);
            assert!(!out.stderr.contains("not executable"), "{command}: {}", out.stderr);
        }
        assert!(fs::read(&own).unwrap() == before, "{command} has written to the machine's program");
    }
    // Words of a relative path from where the magic links are.
    for command in ["./exe", "exe"] {
        let out = attack(&ground, &own, &["-w", "/proc/self", "-e", "PATH=", command]);
        assert_eq!(out.stdout, "", "{command}: the loader of the image ran on the machine's program");
        assert_ne!(out.status, 0);
    }
    // As the loader of a program it is mapped, and does not get far.
    let out = attack(&ground, &own, &["elf"]);
    assert_eq!(out.stdout, "", "{out:?}");
    assert_ne!(out.status, 0, "{out:?}");
    assert!(fs::read(&own).unwrap() == before);
    wait_for("the end of all", || ground.left_processes().is_empty());
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn process_1_of_init_is_closed() {
    let ground = ground!();
    let look = "for n in exe cwd root; do readlink /proc/1/$n; done; cat /proc/1/exe | wc -c; cat /proc/1/environ /proc/1/mem; \
                ls /proc/1/fd; exec /proc/1/exe --version";
    let out = ground.sh(&["--init"], look);
    assert_eq!((out.status, out.stdout.as_str()), (126, "0\n"), "{out:?}");
}

const SHOW: &str = "#!/bin/sh\ntr '\\0' '\\n' < /proc/1/cmdline\npwd\n";

#[test]
fn scripts_run_as_the_kernel_runs_them() {
    let ground = ground!();
    let root = ground.rootfs();
    let bin = root.join("bin");
    put(&ground, &bin.join("show"), SHOW, 0o755);
    put(&ground, &bin.join("two"), "#!/bin/show -x  y \n", 0o755);
    symlink("../bin/show", bin.join("link-show")).unwrap();
    symlink("/bin/s", bin.join("link-s")).unwrap();
    symlink("bin", root.join("folder")).unwrap();
    let long = format!("#!/bin/show {}\n", "a".repeat(300));
    let lines = [
        "#!/bin/sh /bin/show\n",
        "#!/bin/show\n",
        "#! /bin/show -e\n",
        "#!\t /bin/show \t one  two \t\n",
        "#!bin/show\n",
        "#!./bin/show -e",
        "#!/bin/../folder/show a\n",
        "#!/bin/link-show -e -u\n",
        "#!/bin/two -q\n",
        &long,
    ];
    // The same by a shell inside, which leaves it to the kernel.
    let by_shell = ["sh", "-c", "exec \"$0\" \"$@\""];
    for line in lines {
        put(&ground, &bin.join("s"), line, 0o755);
        for name in ["/bin/s", "s", "./bin/s", "bin/s", "/bin/link-s", "/folder/s"] {
            let words = [name, "", "a b", "-c"];
            let direct = outcome(&mut ground.run(words));
            let kernel = outcome(&mut ground.run(by_shell.iter().chain(&words)));
            assert_eq!(direct.stdout, kernel.stdout, "{line:?} {name}: {direct:?}");
            assert_eq!(direct.status, kernel.status, "{line:?} {name}: {direct:?} {kernel:?}");
        }
    }
    // From a folder that is not the root.
    put(&ground, &bin.join("s"), "#!../bin/show z\n", 0o755);
    for name in ["../../bin/two", "../../../../bin/two"] {
        let out = outcome(&mut ground.run(["-w", "/home/web", name, "it"]));
        assert_eq!(out.stdout, format!("/bin/sh\n/bin/show\n-x  y\n{name}\nit\n/home/web\n"), "{out:?}");
    }
    assert_error(&outcome(&mut ground.run(["-w", "/home/web", "../bin/two"])), 127, &["the image has no ../bin/two"]);
    let out = outcome(&mut ground.run(["-w", "/tmp", "s"]));
    assert_eq!(out.stdout, "/bin/sh\n../bin/show\nz\n/bin/s\n/tmp\n", "{out:?}");
}

#[test]
fn scripts_of_scripts_have_an_end() {
    let ground = ground!();
    let bin = ground.rootfs().join("bin");
    put(&ground, &bin.join("d1"), "#!/bin/sh\necho \"$@\"\n", 0o755);
    for n in 2..8 {
        put(&ground, &bin.join(format!("d{n}")), format!("#!/bin/d{}\n", n - 1), 0o755);
    }
    put(&ground, &bin.join("self"), "#!/bin/self\n", 0o755);
    for (name, output) in [("d1", "x\n"), ("d2", "/bin/d2 x\n"), ("d5", "/bin/d2 /bin/d3 /bin/d4 /bin/d5 x\n")] {
        let out = outcome(&mut ground.run([name, "x"]));
        assert_eq!((out.status, out.stdout.as_str()), (0, output), "{out:?}");
    }
    for name in ["d6", "d7", "self"] {
        let out = outcome(&mut ground.run([name, "x"]));
        assert_error(&out, 126, &[name]);
    }
}

#[test]
fn programs_keep_their_names() {
    let ground = ground!(Need::Range);
    let bin = ground.rootfs().join("bin");
    fs::copy(bin.join("busybox"), bin.join("busybox-hidden")).unwrap();
    fs::set_permissions(bin.join("busybox-hidden"), fs::Permissions::from_mode(0o111)).unwrap();
    ground.own(&bin.join("busybox-hidden"));
    symlink("/bin/busybox-hidden", bin.join("busybox-link")).unwrap();
    put(&ground, &bin.join("a-script"), "#!/bin/sh\ncat /proc/1/comm\n", 0o755);
    for name in ["busybox-hidden", "/bin/busybox-hidden", "busybox-link", "./bin/busybox-link"] {
        for user in ["root", "web"] {
            let out = outcome(&mut ground.run(["-u", user, name, "cat", "/proc/1/comm", "/proc/1/cmdline"]));
            let (comm, words) = out.stdout.split_once('\n').unwrap_or_default();
            assert!(comm == "busybox-hidden" || comm == "busybox-link", "{name} {user}: {out:?}");
            assert_eq!(words, format!("{name}\0cat\0/proc/1/comm\0/proc/1/cmdline\0"), "{name} {user}");
        }
    }
    let out = outcome(&mut ground.run(["a-script"]));
    assert!(["a-script\n", "sh\n", "busybox\n"].contains(&out.stdout.as_str()), "{out:?}");
    let out = outcome(&mut ground.run(["ls", "-l", "/proc/1/exe"]));
    assert!(out.stdout.ends_with(" -> /bin/busybox\n"), "{out:?}");
    // The last one is that of the folder itself.
    assert_eq!(outcome(&mut ground.run(["ls", "/proc/self/fd"])).stdout, "0\n1\n2\n3\n");
}

#[test]
fn scripts_that_cannot_run_say_why() {
    let ground = ground!();
    let bin = ground.rootfs().join("bin");
    let says = |line: &str, mode: u32| {
        put(&ground, &bin.join("s"), line, mode);
        let mut command = ground.run(["s"]);
        soon(&mut command)
    };
    assert_error(&says("#!/bin/sh\r\necho\r\n", 0o755), 126, &["/bin/s ends with a carriage return"]);
    assert_error(&says("#!/no/such -x\n", 0o755), 126, &["/bin/s needs /no/such, which the image does not have"]);
    assert_error(&says("#!/etc/passwd\n", 0o755), 126, &["/bin/s"]);
    assert_error(&says("#!/etc\n", 0o755), 126, &["/bin/s"]);
    assert_error(&says("#!\n", 0o755), 126, &["/bin/s"]);
    assert_error(&says("#!", 0o755), 126, &["/bin/s"]);
    assert_error(&says(&format!("#!/{}\n", "x".repeat(300)), 0o755), 126, &["/bin/s"]);
    // What the kernel does not read to its end it does not run.
    assert_error(&says(&format!("#!/bin/{}sh-and-more\n", "/".repeat(246)), 0o755), 126, &["/bin/s"]);
    assert_error(&says("#!/bin/sh\n", 0o644), 126, &["/bin/s is not executable"]);
    // What fails is the interpreter of the interpreter.
    put(&ground, &bin.join("broken"), "#!/no/such\n", 0o755);
    assert_error(&says("#!/bin/broken\n", 0o755), 126, &["/bin/s"]);
}

#[test]
fn what_is_no_file_is_no_command() {
    let ground = ground!();
    let bin = ground.rootfs().join("bin");
    nix::unistd::mkfifo(&bin.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o777)).unwrap();
    fs::set_permissions(bin.join("pipe"), fs::Permissions::from_mode(0o777)).unwrap();
    ground.own(&bin.join("pipe"));
    let socket = std::os::unix::net::UnixListener::bind(bin.join("socket")).unwrap();
    fs::set_permissions(bin.join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
    ground.own(&bin.join("socket"));
    drop(socket);
    symlink("pipe", bin.join("pipe-link")).unwrap();
    for name in ["pipe", "/bin/pipe", "pipe-link", "socket", "/dev/null", "/dev/zero", "/dev/tty", "/dev/ptmx"] {
        for flags in [&[][..], &["-t"]] {
            let out = soon(ground.run(flags.iter().chain(&[name])).stdin(Stdio::null()));
            let place = if name.starts_with('/') { name.into() } else { format!("/bin/{name}") };
            assert_eq!(out.status, 126, "{name} {out:?}");
            let said = format!("{}{}", out.stdout, out.stderr);
            assert!(said.contains(&place) && !said.contains("chmod"), "{name}: {out:?}");
        }
    }
    for interpreter in ["/bin/pipe", "/dev/zero", "/bin/socket"] {
        put(&ground, &bin.join("a-script"), format!("#!{interpreter}\n"), 0o755);
        assert_error(&soon(&mut ground.run(["a-script"])), 126, &["/bin/a-script"]);
    }
    // Nor where files of the image are read.
    fs::remove_file(ground.rootfs().join("etc/passwd")).unwrap();
    fs::rename(bin.join("pipe"), ground.rootfs().join("etc/passwd")).unwrap();
    let out = soon(&mut ground.run(["-u", "web", "true"]));
    assert_error(&out, 125, &["web"]);
}

#[test]
fn a_path_with_dots_is_found_whatever_others_do() {
    let ground = ground!();
    let root = ground.rootfs();
    symlink("../../../bin", root.join("home/web/bin")).unwrap();
    put(&ground, &root.join("bin/dots"), "#!/home/web/bin/../bin/sh\necho said\n", 0o755);
    // The kernel gives up a look-up with `..` when anything is renamed or mounted meanwhile (openat2(2), EAGAIN).
    let (folder, stop) = (ground.path("work/names"), AtomicBool::new(false));
    fs::create_dir_all(folder.join("a")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::rename(folder.join("a"), folder.join("b"));
                let _ = fs::rename(folder.join("b"), folder.join("a"));
                // Not so fast that nobody else comes to anything.
                std::thread::sleep(Duration::from_micros(1));
            }
        });
        let all: Vec<Outcome> = (0..40)
            .map(|_| outcome(&mut ground.run(["-w", "/home/web/bin/../web", "/home/web/bin/../bin/dots"])))
            .collect();
        stop.store(true, Ordering::Relaxed);
        let wrong: Vec<_> = all.iter().filter(|out| out.stdout != "said\n").collect();
        assert!(wrong.is_empty(), "{} of 40: {:?}", wrong.len(), wrong[0]);
    });
}
