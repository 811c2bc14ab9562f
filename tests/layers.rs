//! What holds the code together, read from its text: who may name whom, what stays behind the fence, how long files are.
//!
//! If a test here stops you, move the code, not the rule.

#[path = "layers/source.rs"]
mod source;

use source::{Token, rooms_named, starts_with, tokens, without_tests};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which rooms each room may name, besides itself. The table in `src/lib.rs` says what they are for.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("spec", &[]),
    ("sys", &[]),
    ("say", &[]),
    ("plan", &["spec"]),
    ("sync", &["sys"]),
    ("userns", &["spec", "plan", "sys", "say"]),
    ("init", &["spec", "plan", "sync", "sys", "say"]),
    ("host", &["spec", "plan", "sys", "say", "userns"]),
    ("cgroup", &["spec", "plan", "sys"]),
    ("oci", &["spec"]),
    ("registry", &["spec", "oci", "sys", "say"]),
    ("store", &["spec", "oci", "plan", "sys", "say", "userns", "host", "cgroup"]),
    ("image", &["sys"]),
    ("transfer", &["spec", "oci", "plan", "sys", "say", "userns", "host", "registry", "store", "image"]),
    ("launch", &["spec", "plan", "sys", "say", "sync", "userns", "init", "store", "image", "cgroup"]),
    (
        "cli",
        &[
            "spec", "oci", "plan", "sys", "say", "sync", "userns", "init", "host", "registry", "store", "image",
            "transfer", "cgroup", "launch",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

const LONGEST_FILE: usize = 700;
const MEDIAN_FILE: usize = 250;

/// A file, by its path below `src/`.
struct File {
    name: String,
    text: String,
}

impl File {
    /// The modules it is in: `src/init/user.rs` is `init::user`, `src/init/mod.rs` is `init`.
    fn module(&self) -> Vec<&str> {
        let path = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').collect()
    }

    fn is_test(&self) -> bool {
        self.module().contains(&"tests")
    }

    fn is_in_fence(&self) -> bool {
        self.module()[0] == "sys"
    }
}

fn read(folder: &str) -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(file(&path, &top));
            }
        }
    }
    assert!(files.len() > 2, "the sources are there");
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn file(path: &PathBuf, top: &Path) -> File {
    File { name: path.strip_prefix(top).unwrap().display().to_string(), text: fs::read_to_string(path).unwrap() }
}

fn all_hold(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

// ---- who may name whom ----

fn faults_of_graph(file: &File) -> Vec<String> {
    let module = file.module();
    let own = module[0];
    let at = |line| format!("src/{}:{line}", file.name);
    let Some((_, allowed)) = MAY_NAME.iter().find(|(room, _)| *room == own) else {
        return vec![format!("{}: the room {own} is not in the table of tests/layers.rs", at(1))];
    };
    let module = if ["lib", "main"].contains(&own) { &[] } else { &module[..] };
    let named = rooms_named(&tokens(&file.text), module);
    let wrong = named.into_iter().filter(|(name, _)| {
        let known = name == own || allowed.contains(&name.as_str());
        !known && !(name.starts_with("EXIT_"))
    });
    wrong.map(|(name, line)| format!("{}: {own} names {name}", at(line))).collect()
}

#[test]
fn rooms_name_only_the_rooms_below() {
    all_hold(read("src").iter().flat_map(faults_of_graph).collect());
}

#[test]
fn the_table_has_no_circle() {
    let mut done = vec![];
    let mut left: Vec<_> = MAY_NAME.iter().collect();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|(room, needs)| {
            let ready = needs.iter().all(|n| done.contains(n));
            if ready {
                done.push(room);
            }
            !ready
        });
        assert!(left.len() < before, "a circle among {left:?}");
    }
}

#[test]
fn every_way_to_name_a_room_is_seen() {
    let seen = |name: &str, text: &str| {
        let file = File { name: name.into(), text: text.into() };
        faults_of_graph(&file).iter().map(|f| f.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(seen("spec/raw.rs", "use crate::sys;"), ["sys"]);
    assert_eq!(seen("spec/raw.rs", "fn f() { crate::sys::tty::size() }"), ["sys"]);
    assert_eq!(
        seen("plan/mod.rs", "use crate::{\n  spec::{Raw, env},\n  store::{record::Record, sweep},\n};"),
        ["store"]
    );
    assert_eq!(seen("plan/ids.rs", "use super::super::host;"), ["host"]);
    assert_eq!(seen("plan/ids.rs", "use super::{super::{host, spec}, step};"), ["host"]);
    assert_eq!(seen("plan/ids.rs", "use super::step;\nuse crate::plan::facts;"), [""; 0]);
    assert_eq!(seen("say.rs", "mod tests { use super::super::cli; use super::*; }"), ["cli"]);
    assert_eq!(seen("image/mod.rs", "use crate::{self as all, *};"), ["*", "crate"]);
    assert_eq!(
        seen("image/a/b.rs", "const S: u8 = crate::EXIT_OURS; pub(crate) fn f() {} pub(super) fn g() {}"),
        [""; 0]
    );
    assert_eq!(seen("spec/a.rs", "// crate::sys\n/* crate::sys /* */ */ const S: &str = \"crate::sys\";"), [""; 0]);
    assert_eq!(
        seen("spec/a.rs", "const S: &str = r#\"\"crate::sys\"#; const C: char = '\"'; use crate::sys;"),
        ["sys"]
    );
    assert_eq!(seen("main.rs", "fn main() { little_container::launch::run() }"), ["launch"]);
    assert_eq!(seen("network/mod.rs", ""), ["tests/layers.rs"]);
}

// ---- the fence ----

fn faults_of_fence(file: &File) -> Vec<String> {
    let all = tokens(&file.text);
    let at = |line| format!("src/{}:{line}", file.name);
    if file.is_in_fence() {
        let lines: Vec<&str> = file.text.lines().collect();
        let bare = all.iter().filter(|t| t.text == "unsafe" && !is_explained(&lines, t.line));
        return bare.map(|t| format!("{}: unsafe without a `// SAFETY:` above", at(t.line))).collect();
    }
    let inside_only = |n: usize| match all[n].text.as_str() {
        "unsafe" | "nix" | "rustix" | "libc" => true,
        "process" => names_command(&all[n + 1..]),
        _ => false,
    };
    let crossed = (0..all.len()).filter(|n| inside_only(*n));
    crossed.map(|n| format!("{}: {} belongs into src/sys", at(all[n].line), all[n].text)).collect()
}

/// What follows `process`: `::Command`, `::*`, or a group with one of them.
fn names_command(after: &[Token]) -> bool {
    let wanted = |t: &Token| t.text == "Command" || t.text == "*";
    match after {
        [colons, next, ..] if colons.text == "::" && next.text == "{" => {
            after.iter().take_while(|t| t.text != "}").any(wanted)
        }
        [colons, next, ..] => colons.text == "::" && wanted(next),
        _ => false,
    }
}

/// Whether one of the three lines above, or the comment right above them, says `SAFETY:`.
fn is_explained(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev();
    let comment = above.clone().take_while(|l| l.trim_start().starts_with("//"));
    above.take(3).chain(comment).any(|l| l.trim_start().starts_with("// SAFETY:"))
}

#[test]
fn system_calls_and_programs_stay_in_sys() {
    all_hold(read("src").iter().flat_map(faults_of_fence).collect());
}

#[test]
fn the_fence_can_be_crossed_in_no_way() {
    let count = |name: &str, text: &str| faults_of_fence(&File { name: name.into(), text: text.into() }).len();
    for crossing in [
        "fn f() { unsafe { g() } }",
        "unsafe fn f() {}",
        "use nix::unistd;",
        "use nix as n;",
        "fn f() { libc::getpid() }",
        "use {rustix::fs, std::io};",
        "use std::process::Command;",
        "use std::{io, process::{self, Command, Stdio}};",
        "fn f() { std::process::Command::new(x) }",
        "use std::process::*;",
    ] {
        assert_eq!(count("host/mod.rs", crossing), 1, "{crossing}");
    }
    for harmless in
        ["use std::process::{self, ExitCode};", "#![deny(unsafe_code)] // unsafe", "const X: &str = \"nix\";"]
    {
        assert_eq!(count("host/mod.rs", harmless), 0, "{harmless}");
    }
    assert_eq!(count("sys/a.rs", "use nix::x;\nfn f() {\n    // SAFETY: why\n    let a = unsafe { g() };\n}"), 0);
    assert_eq!(count("sys/a.rs", "// SAFETY: far\n\n\n\nunsafe fn f() {}"), 1);
    assert_eq!(count("sys/a.rs", "// SAFETY: a\n// b\n// c\n// d\nunsafe fn f() {}"), 0);
}

// ---- how long ----

fn faults_of_length(lengths: &[(String, usize)]) -> Vec<String> {
    let mut faults: Vec<String> = lengths
        .iter()
        .filter(|(_, n)| *n > LONGEST_FILE)
        .map(|(name, n)| format!("{name}: {n} lines; {LONGEST_FILE} are allowed"))
        .collect();
    let mut sorted: Vec<usize> = lengths.iter().map(|(_, n)| *n).collect();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    faults.extend((median >= MEDIAN_FILE).then(|| format!("half of the files have {median} lines or more")));
    faults
}

#[test]
fn files_stay_short() {
    let lengths =
        |folder: &str| read(folder).iter().map(|f| (f.name.clone(), f.text.lines().count())).collect::<Vec<_>>();
    all_hold(faults_of_length(&lengths("src")));
    let tests = lengths("tests");
    all_hold(
        tests.iter().filter(|(_, n)| *n > LONGEST_FILE).map(|(name, n)| format!("tests/{name}: {n} lines")).collect(),
    );
}

#[test]
fn long_files_are_found() {
    let of = |all: &[usize]| faults_of_length(&all.iter().map(|n| ("x.rs".to_owned(), *n)).collect::<Vec<_>>()).len();
    assert_eq!((of(&[10, 20, 700]), of(&[10, 20, 701]), of(&[10, 250, 260])), (0, 1, 1));
}

// ---- words that are left behind ----

fn faults_of_words(file: &File, is_source: bool) -> Vec<String> {
    let all = tokens(&file.text);
    let mut faults = Vec::new();
    let mut look = |all: &[Token], unwanted: &[&[&str]]| {
        for n in 0..all.len() {
            let found = unwanted.iter().filter(|words| starts_with(&all[n..], words));
            faults.extend(found.map(|words| format!("{}:{}: {}", file.name, all[n].line, words.concat())));
        }
    };
    look(&all, &[&["todo", "!"], &["unimplemented", "!"], &["dbg", "!"], &["#", "[", "ignore"], &["include", "!"]]);
    if is_source {
        // Our words go by the room say, lists by cli::table.
        look(&all, &[&["println", "!"], &["eprintln", "!"], &["print", "!"], &["eprint", "!"]]);
    }
    if is_source && !file.is_test() {
        look(&without_tests(&all), &[&[".", "unwrap", "("], &[".", "expect", "("], &["panic", "!"]]);
    }
    faults
}

#[test]
fn nothing_is_left_undone() {
    let mut faults: Vec<_> = read("src").iter().flat_map(|f| faults_of_words(f, true)).collect();
    faults.extend(read("tests").iter().flat_map(|f| faults_of_words(f, false)));
    all_hold(faults);
}

#[test]
fn what_is_left_undone_is_found() {
    let count = |name: &str, text: &str| faults_of_words(&File { name: name.into(), text: text.into() }, true).len();
    for bad in [
        "fn f() { todo!() }",
        "fn f() { println!() }",
        "#[ignore = \"later\"] fn f() {}",
        "fn f() { a.unwrap(); }",
        "fn f() { a\n.expect(\"\"); }",
    ] {
        assert_eq!(count("a.rs", bad), 1, "{bad}");
    }
    let tested = "#[cfg(test)]\nmod tests { fn f() { a.unwrap(); { } } }\nfn g() { a.unwrap_or(1) }";
    assert_eq!(count("a.rs", tested), 0);
    assert_eq!(count("a.rs", &format!("{tested} fn h() {{ a.unwrap() }}")), 1);
    assert_eq!(count("a/tests/b.rs", "fn f() { a.unwrap() }"), 0);
    assert_eq!(count("a.rs", "#[cfg(test)] mod tests;\nfn f() { a.unwrap() }"), 1);
}
