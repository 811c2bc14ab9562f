//! `run`, as a user meets it: what the words mean, how they reach the program, the exit status.

#[macro_use]
mod support;
#[path = "support/kit.rs"]
mod kit;

use kit::{assert_advice, assert_error, with_stderr_terminal};
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    process::Stdio,
};
use support::{Ground, outcome};

#[test]
fn the_command_is_process_1_and_root() {
    let ground = ground!();
    let out = ground.sh(&[], "echo $$; id -u; id -g; exit 3");
    assert_eq!((out.status, out.stdout.as_str()), (3, "1\n0\n0\n"), "{}", out.stderr);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn every_exit_status_passes() {
    let ground = ground!();
    for status in [0, 1, 2, 77, 125, 126, 127, 128, 255] {
        let out = outcome(&mut ground.run(["sh", "-c", &format!("exit {status}")]));
        // A status of the command's own is no error of ours.
        assert_eq!((out.status, out.stderr.as_str()), (status, ""));
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    let ground = ground!();
    for (name, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("USR1", 138)] {
        let out = ground.sh(&["--init"], &format!("kill -{name} $$; exit 1"));
        assert_eq!((out.status, out.stderr.as_str()), (status, ""), "{name}");
    }
}

#[test]
fn the_first_word_names_an_image() {
    let ground = ground!();
    ground.image("mybox");
    ground.image("lab/box:1.2");
    let which = |words: &[&str]| ground.ok(["run", "--rm"].iter().chain(words).chain(&["cat", "/etc/which"]));
    assert_eq!(which(&["mybox"]), "mybox\n");
    assert_eq!(which(&["mybox:latest"]), "mybox\n");
    assert_eq!(which(&["lab/box:1.2"]), "lab/box:1.2\n");
    assert_eq!(which(&["--image", "lab/box:1.2"]), "lab/box:1.2\n");
    // By --image the next word is the command, image or not.
    let out = ground.end(["run", "--rm", "--image", "mybox", "mybox"]);
    assert_error(&out, 127, &["the image has no command mybox"]);
    let out = outcome(&mut ground.run(["mybox"]));
    assert_error(&out, 127, &["the image has no command mybox"]);
}

#[test]
fn the_beginning_of_an_id_is_an_image_by_flag_only() {
    let ground = ground!();
    ground.image("mybox");
    let id = ground.images()[0]["id"].as_str().unwrap()[..12].to_owned();
    assert_eq!(ground.ok(["run", "--rm", "--image", &id, "cat", "/etc/which"]), "mybox\n");
    ground.config("default_image = \"mybox\"\n");
    assert_error(&ground.end(["run", "--rm", &id]), 127, &[&format!("no command {id}")]);
}

#[test]
fn references_and_well_known_names_are_images_even_where_there_is_none() {
    let ground = ground!();
    let by_digest = format!("x@sha256:{}", "0".repeat(64));
    for word in ["alpine", "ubuntu:22.04", "a/b", "ghcr.io/a/b:c", &by_digest, "python", "node", "debian", "fedora"] {
        let out = ground.end(["run", "--rm", word, "true"]);
        assert_advice(&out, 125, &[&format!("no image is called {word:?}"), "was never imported", "import "]);
        assert_eq!(out.stdout, "");
    }
}

#[test]
fn other_words_are_the_command() {
    let ground = ground!();
    ground.image("mybox");
    ground.config("default_image = \"mybox\"\n");
    assert_eq!(ground.ok(["run", "--rm", "cat", "/etc/which"]), "mybox\n");
    assert_eq!(ground.ok(["run", "--rm", "/bin/cat", "/etc/which"]), "mybox\n");
    for word in ["bash", "zsh", "fish", "dash"] {
        assert_error(&ground.end(["run", "--rm", word]), 127, &[&format!("the image has no command {word}")]);
    }
    // A path that starts with a dot or a slash is no reference; a script of the machine is no archive.
    let script = ground.file("tool.sh", "#!/bin/sh\n");
    assert_error(&ground.end(["run", "--rm", "./tool.sh"]), 127, &["the image has no ./tool.sh"]);
    assert_error(&ground.end([OsStr::new("run"), script.as_os_str()]), 127, &["the image has no /"]);
    assert_error(&ground.end(["run", "--rm", "/nowhere/at-all:1"]), 127, &["the image has no /nowhere/at-all:1"]);
}

#[test]
fn the_first_word_may_be_the_path_of_a_folder_or_an_archive() {
    let ground = ground!();
    let root = ground.other_root("mine");
    for word in ["./mine", "./mine/", "../work/mine", root.to_str().unwrap()] {
        assert_eq!(ground.ok(["run", "--rm", word, "cat", "/etc/which"]), "mine\n", "{word}");
    }
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    archive.append_dir_all(".", &root).unwrap();
    let plain = archive.into_inner().unwrap();
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipped.write_all(&plain).unwrap();
    ground.file("plain.tar", plain);
    // What it is is read from its bytes, not from its name.
    ground.file("noname", zipped.finish().unwrap());
    for word in ["./plain.tar", "./noname"] {
        assert_eq!(ground.ok(["run", "--rm", word, "cat", "/etc/which"]), "mine\n", "{word}");
    }
    // Twice the same file is one image.
    assert_eq!(ground.ok(["run", "--rm", "./noname", "cat", "/etc/which"]), "mine\n");
    assert_eq!(ground.images().len(), 2);
}

#[test]
fn a_word_without_a_slash_is_no_path() {
    let ground = ground!();
    ground.image("mybox");
    ground.config("default_image = \"mybox\"\n");
    ground.other_root("ls");
    assert!(ground.ok(["run", "--rm", "ls", "/etc"]).contains("which\n"));
}

#[test]
fn run_alone_starts_a_shell() {
    let ground = ground!();
    ground.image("mybox");
    ground.config("default_image = \"mybox\"\n");
    for words in [&["run", "--rm"][..], &["run", "--rm", "mybox"]] {
        let mut child = ground.lc(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"cat /etc/which\necho $0\nexit 9\n").unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!((out.status.code(), &*out.stdout), (Some(9), &b"mybox\n/bin/sh\n"[..]));
    }
}

#[test]
fn with_no_default_image_the_machine_itself_is_used_with_one_note() {
    let ground = ground!();
    let note = "little-container: note: no default image is set, so this machine's own programs are used (image host)";
    let out = ground.end(["run", "--rm", "cat", "/proc/self/comm"]);
    assert_eq!((out.status, out.stdout.as_str()), (0, "cat\n"), "{}", out.stderr);
    assert!(out.stderr.starts_with(note), "{}", out.stderr);
    assert_eq!(out.stderr.matches("note: ").count(), 1, "{}", out.stderr);
    // Chosen by name it is no surprise, so that nothing is said.
    for words in [&["run", "--rm", "host", "true"][..], &["run", "--rm", "--image", "host", "true"]] {
        let out = ground.end(words);
        assert_eq!((out.status, out.stderr.as_str()), (0, ""));
    }
    ground.config("default_image = \"gone\"\n");
    let out = ground.end(["run", "--rm", "true"]);
    assert!(out.stderr.contains("the default image \"gone\" is not in the store, so this machine's own"), "{out:?}");
    assert_eq!(ground.end(["run", "--rm", "-q", "true"]).stderr, "");
}

#[test]
fn the_default_image_is_told_on_a_terminal_only() {
    let ground = ground!();
    ground.image("mybox");
    ground.config("default_image = \"mybox\"\n");
    let words = ["run", "--rm", "cat", "/etc/which"];
    let (status, stdout, told) = with_stderr_terminal(&mut ground.lc(words));
    assert_eq!((status, stdout.as_str()), (0, "mybox\n"));
    assert_eq!(told, "little-container: note: running cat in the default image, mybox\n");
    let out = ground.end(words);
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("mybox\n", ""));
    let (_, _, told) = with_stderr_terminal(&mut ground.lc(["-q", "run", "--rm", "true"]));
    assert_eq!(told, "");
    let (_, _, told) = with_stderr_terminal(&mut ground.lc(["run", "--rm", "mybox", "true"]));
    assert_eq!(told, "");
}

/// What `printf` of the words looks like that the program was given.
fn received(ground: &Ground, words: &[&[u8]]) -> Vec<u8> {
    let mut command = ground.run(["sh", "-c", r#"printf '%s\0' "$@""#, "name"]);
    command.args(words.iter().map(|w| OsStr::from_bytes(w)));
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

#[test]
fn words_reach_the_program_byte_for_byte() {
    let ground = ground!();
    let every: Vec<u8> = (1..=255).collect();
    let words: &[&[u8]] = &[
        b"-x",
        b"--rm",
        b"--",
        b"",
        b"-",
        b"--image=x",
        b"a b",
        b"line\nline",
        b"\xff\xfe",
        b"$HOME",
        b"'\"\\",
        b"",
        b"--help",
        b"-e",
        b"--",
        &every,
    ];
    let expected: Vec<u8> = words.iter().flat_map(|w| [*w, b"\0"].concat()).collect();
    assert_eq!(received(&ground, words), expected);
    assert_eq!(received(&ground, &[b"--", b"--", b"--rm"]), b"--\0--\0--rm\0");
}

#[test]
fn two_dashes_end_the_flags() {
    let ground = ground!();
    assert_eq!(outcome(&mut ground.run(["--", "echo", "--", "-n"])).stdout, "-- -n\n");
    assert_error(&outcome(&mut ground.run(["--", "-x"])), 127, &["the image has no command -x"]);
    ground.image("mybox");
    assert_eq!(ground.ok(["run", "--rm", "--", "mybox", "echo", "--", "--rm"]), "-- --rm\n");
    // The word after the image is the command, whatever it looks like.
    assert_error(&ground.end(["run", "--rm", "mybox", "--rm"]), 127, &["the image has no command --rm"]);
    assert_error(&ground.end(["run", "--rm", "mybox", "-x"]), 127, &["the image has no command -x"]);
}

#[test]
fn an_empty_command_is_an_error_of_ours() {
    let ground = ground!();
    assert_advice(&outcome(&mut ground.run([""])), 125, &["the command is an empty word"]);
}

#[test]
fn statuses_of_a_command_that_does_not_start() {
    let ground = ground!();
    let root = ground.rootfs();
    fs::write(root.join("bin/data"), "text").unwrap();
    fs::set_permissions(root.join("bin/data"), fs::Permissions::from_mode(0o644)).unwrap();
    let status = |word: &str| {
        let out = outcome(&mut ground.run([word]));
        assert!(out.stderr.starts_with("little-container: error: "), "{out:?}");
        assert_eq!(out.stdout, "");
        out.status
    };
    assert_eq!([status("nothing"), status("/bin/nothing"), status("./nothing")], [127; 3]);
    assert_eq!([status("data"), status("/bin/data"), status("/etc")], [126; 3]);
    assert_eq!(ground.leftovers(), [""; 0]);
}

#[test]
fn a_flag_that_cannot_be_had_is_125_with_a_line() {
    let ground = ground!();
    for flags in [
        &["--user", "a b"][..],
        &["--name", "a/b"],
        &["--hostname", "a/b"],
        &["-v", "nothing"],
        &["-v", "/tmp:relative"],
        &["--tmpfs", "/x:suid"],
        &["-e", "=x"],
        &["--env-file", "/nowhere"],
        &["--image", "gone"],
    ] {
        let mut command = ground.lc(["run", "--rm"]);
        if flags[0] != "--image" {
            command.arg("--rootfs").arg(ground.rootfs());
        }
        let out = outcome(command.args(flags).arg("true"));
        assert_error(&out, 125, &[flags[1].split(':').next_back().unwrap()]);
    }
    let out = ground.end(["run", "--rm", "--rootfs", "/nowhere", "true"]);
    assert_advice(&out, 125, &["open the root file system /nowhere"]);
    let out = ground.end(["run", "--rm", "--rootfs", "/", "true"]);
    assert_advice(&out, 125, &["must not be the machine's own /", "--image host"]);
    let file = ground.file("file", "x");
    let out = ground.end([OsStr::new("run"), "--rootfs".as_ref(), file.as_os_str(), "true".as_ref()]);
    assert_advice(&out, 125, &["is not a folder", "import NAME"]);
}

#[test]
fn a_mistake_in_the_command_line_is_125_with_a_line() {
    let ground = ground!();
    for words in [&["run", "--bad"][..], &["--quiet", "run", "--storage", "zfs"], &["--store", "x", "run", "--bad"]] {
        let out = ground.end(words);
        assert_eq!((out.status, out.stdout.as_str()), (125, ""), "{words:?}: {out:?}");
        assert!(out.stderr.contains("little-container: error: the command line cannot be understood"), "{out:?}");
    }
    for words in [&["import", "--bad"][..], &["ps", "run", "--bad"], &["--store", "run", "images", "--bad"], &["fly"]] {
        assert_eq!(ground.end(words).status, 2, "{words:?}");
    }
    assert_eq!(ground.end(["run", "--help"]).status, 0);
}

#[test]
fn a_word_near_an_image_is_said_to_be_near_it() {
    let ground = ground!();
    ground.image("mybox");
    ground.config("default_image = \"mybox\"\n");
    let out = ground.end(["run", "mybux"]);
    assert_advice(&out, 127, &["no image is called mybux either", "fix (you): did you mean the image mybox?"]);
    // Nothing began, so that nothing is kept, not even without --rm.
    assert_eq!(ground.containers().len(), 0);
}
