//! `login`, `logout`, and what the client makes of docker's and podman's files.

#[macro_use]
mod support;
#[path = "support/alive.rs"]
mod alive;
#[path = "support/kit.rs"]
mod kit;
#[path = "support/pty.rs"]
mod pty;
#[path = "support/registry.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod stub;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};
use stub::{Access, Registry};
use support::{Ground, Outcome, outcome};

fn guarded(access: Access) -> Registry {
    let registry = Registry::start();
    registry.require(access);
    registry
}

fn token_for(user: &str, password: &str) -> Access {
    Access::Token { user: Some((user.into(), password.into())) }
}

/// Runs it with this on its standard input.
fn told(command: &mut Command, text: &str) -> Outcome {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { status: out.status.code().unwrap(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

fn login(ground: &Ground, registry: &Registry, password: &str) -> Outcome {
    told(ground.lc(["login", "-u", "me", "--password-stdin"]).arg(registry.address()), password)
}

#[test]
fn a_login_that_is_right_is_kept_and_taken_out_again() {
    let ground = ground!();
    for access in [Access::Basic("me".into(), "s3cret".into()), token_for("me", "s3cret")] {
        let registry = guarded(access);
        let done = login(&ground, &registry, "s3cret\n");
        assert_eq!((done.status, done.stdout.as_str()), (0, "Login Succeeded\n"), "{}", done.stderr);
        let file = ground.path("home/.docker/config.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(&registry.address()) && !text.contains("s3cret"), "{text}");
        let done = outcome(ground.lc(["logout"]).arg(registry.address()));
        assert_eq!(done.stdout, format!("Removed the login for {}\n", registry.address()));
        assert!(!fs::read_to_string(&file).unwrap().contains(&registry.address()));
    }
}

#[test]
fn a_login_that_is_wrong_is_not_kept() {
    let ground = ground!();
    for access in [Access::Basic("me".into(), "s3cret".into()), token_for("me", "s3cret")] {
        let registry = guarded(access);
        let done = login(&ground, &registry, "other");
        assert_eq!((done.status, done.stdout.as_str()), (1, ""));
        assert!(done.stderr.contains("fix (you): check user and password"), "{}", done.stderr);
        assert!(!done.stderr.contains("other"), "{}", done.stderr);
        assert!(!ground.path("home/.docker/config.json").exists());
    }
}

#[test]
fn the_file_that_has_the_host_is_the_one() {
    let ground = ground!();
    let registry = guarded(token_for("me", "s3cret"));
    let podman = ground.path("home/.config/containers/auth.json");
    fs::create_dir_all(podman.parent().unwrap()).unwrap();
    fs::write(&podman, format!("{{\"auths\":{{\"{}\":{{}}}},\"x\":1}}", registry.address())).unwrap();
    for path in ["home/.config", "home/.config/containers", "home/.config/containers/auth.json"] {
        ground.own(&ground.path(path));
    }
    assert_eq!(login(&ground, &registry, "s3cret").status, 0);
    assert!(fs::read_to_string(&podman).unwrap().contains("\"x\": 1"));
    assert!(!ground.path("home/.docker").exists());
}

/// A helper that keeps what it is told in a file.
fn helper(ground: &Ground) -> String {
    let bin = ground.path("work/bin");
    let script = "#!/bin/sh\nif [ $1 = get ]; then cat >/dev/null; cat $HOME/kept || { echo 'credentials not found'; exit 1; }\n\
                  elif [ $1 = store ]; then cat >$HOME/kept\nelse cat >$HOME/erased; rm $HOME/kept; fi\n";
    let file = ground.file("bin/docker-credential-stub", script);
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(ground.path("home/.docker")).unwrap();
    fs::write(ground.path("home/.docker/config.json"), "{\"credsStore\":\"stub\"}").unwrap();
    for path in ["home/.docker", "home/.docker/config.json"] {
        ground.own(&ground.path(path));
    }
    format!("{}:/usr/bin:/bin", bin.display())
}

#[test]
fn a_helper_keeps_it() {
    let ground = ground!();
    let registry = guarded(token_for("me", "s3cret"));
    let path = helper(&ground);
    let words = ["login", "-u", "me", "--password-stdin"];
    let done = told(ground.lc(words).arg(registry.address()).env("PATH", &path), "s3cret");
    assert_eq!(done.status, 0, "{}", done.stderr);
    let kept = fs::read_to_string(ground.path("home/kept")).unwrap();
    assert!(kept.contains("\"Username\":\"me\"") && kept.contains("s3cret"), "{kept}");
    let text = fs::read_to_string(ground.path("home/.docker/config.json")).unwrap();
    assert!(!text.contains("\"auth\"") && text.contains(&registry.address()), "{text}");
    let done = outcome(ground.lc(["logout"]).arg(registry.address()).env("PATH", &path));
    assert_eq!(done.status, 0, "{}", done.stderr);
    assert_eq!(fs::read_to_string(ground.path("home/erased")).unwrap(), registry.address());
    assert!(!ground.path("home/kept").exists());
}

#[test]
fn a_helper_that_is_missing_is_named() {
    let ground = ground!();
    let registry = guarded(token_for("me", "s3cret"));
    helper(&ground);
    let done = login(&ground, &registry, "s3cret");
    assert_eq!(done.status, 1);
    assert!(done.stderr.contains("docker-credential-stub is not installed"), "{}", done.stderr);
}

#[test]
fn a_file_that_is_broken_is_named_and_stays() {
    let ground = ground!();
    let registry = guarded(token_for("me", "s3cret"));
    let file = ground.file("auth.json", "{ broken s3cret");
    let words = ["login", "-u", "me", "--password-stdin"];
    let done = told(ground.lc(words).arg(registry.address()).env("REGISTRY_AUTH_FILE", &file), "s3cret");
    assert_eq!(done.status, 1);
    assert!(done.stderr.contains("auth.json") && !done.stderr.contains("s3cret"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ broken s3cret");
}

#[test]
fn a_terminal_is_asked_without_echo() {
    let ground = ground!();
    let registry = guarded(token_for("me", "s3cret"));
    let mut command = pty::at_terminal(&ground);
    let mut pty = pty::Pty::start(command.arg(support::program()).arg("login").arg(registry.address()));
    pty.output.await_text("User for ");
    let with_echo = pty.modes();
    pty.type_in("me\r");
    pty.output.await_text("Password for ");
    alive::until("no echo", || pty.modes() != with_echo);
    pty.type_in("s3cret\r");
    pty.end_with(0, "Login Succeeded\r\n");
    assert!(!pty.output.text().contains("s3cret"));
}
