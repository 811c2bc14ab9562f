//! The console pages in `tests/cli/`: documentation for people, and every example in it is run.
//!
//! A page is Markdown. In a block marked `console`, a line `$ COMMAND` is run by `sh` as a plain user, in a folder where
//! `./rootfs` is a root file system with busybox; a line `> …` goes on with the command. What it prints, on either stream,
//! must be the lines below it: `[..]` stands for any text within a line, a line `...` for any lines, and `? N` at the end
//! for an exit status other than 0. `<!-- needs: fuse -->` names what a page needs of the machine besides a range of ids.
//! A flag has the page of its name, or one that says `<!-- also: memory-swap -->`.
//!
//! `PAGE=volume cargo test --test console` plays one page.

#[macro_use]
mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{self, Read},
    path::Path,
    process::Stdio,
    sync::Mutex,
    thread,
};
use support::{Ground, Need, outcome, program};

/// One command of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Example {
    /// The line of the page, from 1.
    line: usize,
    command: String,
    output: Vec<String>,
    status: i32,
}

struct Page {
    name: String,
    text: String,
}

impl Page {
    /// The words of its line `<!-- KEY: … -->`.
    fn says(&self, key: &str) -> impl Iterator<Item = &str> {
        let start = format!("<!-- {key}: ");
        let line = self.text.lines().find_map(|l| l.strip_prefix(&start)?.strip_suffix(" -->"));
        line.unwrap_or_default().split_whitespace()
    }

    fn is_of(&self, flag: &str) -> bool {
        self.name == flag || self.says("also").any(|other| other == flag)
    }
}

fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let read = |entry: io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().strip_suffix(".md")?.to_owned();
        Some(Page { name, text: fs::read_to_string(&path).unwrap() })
    };
    let mut all: Vec<Page> = fs::read_dir(folder).unwrap().filter_map(read).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn examples(text: &str) -> Vec<Example> {
    let mut all: Vec<Example> = Vec::new();
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            all.push(Example { line: n + 1, command: command.into(), ..Example::default() });
        } else if let Some(example) = all.last_mut().filter(|_| inside) {
            match (line.strip_prefix("> "), line.strip_prefix("? ").and_then(|s| s.parse().ok())) {
                (Some(more), _) if example.output.is_empty() => example.command.extend(["\n", more]),
                (_, Some(status)) => example.status = status,
                _ => example.output.push(line.into()),
            }
        }
    }
    all
}

/// Whether the lines are what is expected of them.
fn is_match<A: AsRef<str>, B: AsRef<str>>(expected: &[A], lines: &[B]) -> bool {
    match (expected, lines) {
        ([], rest) => rest.is_empty(),
        ([any, more @ ..], _) if any.as_ref() == "..." => (0..=lines.len()).any(|n| is_match(more, &lines[n..])),
        ([_, ..], []) => false,
        ([first, more @ ..], [line, rest @ ..]) => is_line(first.as_ref(), line.as_ref()) && is_match(more, rest),
    }
}

fn is_line(expected: &str, line: &str) -> bool {
    let Some((head, tail)) = expected.split_once("[..]") else { return expected == line };
    let Some(rest) = line.strip_prefix(head) else { return false };
    (0..=rest.len()).filter(|n| rest.is_char_boundary(*n)).any(|n| is_line(tail, &rest[n..]))
}

/// Runs one; what is wrong with it, if anything is.
fn fault(ground: &Ground, page: &Page, example: &Example) -> Option<String> {
    let (mut reader, writer) = io::pipe().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", program().parent().unwrap().display());
    let mut command = ground.command("timeout");
    command.args(["-k", "5", "60", "sh", "-c", &example.command]).env("PATH", path);
    let mut child = command.stdout(writer.try_clone().unwrap()).stderr(Stdio::from(writer)).spawn().unwrap();
    // The command keeps the other end open as long as it holds it itself.
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    let status = child.wait().unwrap().code().unwrap_or(-1);
    let text = String::from_utf8_lossy(&bytes).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    if status == example.status && is_match(&example.output, &lines) {
        return None;
    }
    let mut told = format!("tests/cli/{}.md:{}: $ {}\n", page.name, example.line, example.command);
    let (expected, got) = (example.output.iter().map(String::as_str), lines.iter().copied());
    let same = expected.clone().zip(got.clone()).take_while(|(e, g)| *e != "..." && is_line(e, g)).count();
    got.clone().take(same).for_each(|line| told.push_str(&format!("    {line}\n")));
    expected.skip(same).for_each(|line| told.push_str(&format!("  - {line}\n")));
    got.skip(same).for_each(|line| told.push_str(&format!("  + {line}\n")));
    if status != example.status {
        told.push_str(&format!("  - ? {}\n  + ? {status}\n", example.status));
    }
    Some(told)
}

/// What `<!-- needs: … -->` says. Without a range of ids each run has a note about it, which no page shows.
fn needs(page: &Page) -> Vec<Need> {
    let need = |word| match word {
        "fuse" => Need::Fuse,
        other => panic!("{}.md: the need {other} is unknown", page.name),
    };
    [Need::Range].into_iter().chain(page.says("needs").map(need)).collect()
}

#[test]
fn every_page_is_true() {
    let wanted = env::var("PAGE").ok();
    let todo = Mutex::new(pages().into_iter().filter(|p| wanted.as_ref().is_none_or(|w| *w == p.name)));
    let faults = Mutex::new(Vec::new());
    let player = || {
        loop {
            let Some(page) = todo.lock().unwrap().next() else { return };
            faults.lock().unwrap().extend(play(&page));
        }
    };
    // More than there are processors: a page mostly waits for processes.
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(player))));
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Runs a page on a ground of its own; what is wrong with it.
fn play(page: &Page) -> Vec<String> {
    let Some(ground) = Ground::new(&needs(page)) else { return Vec::new() };
    fs::rename(ground.rootfs(), ground.path("work/rootfs")).unwrap();
    let mut faults: Vec<_> = examples(&page.text).iter().filter_map(|e| fault(&ground, page, e)).collect();
    let left = ground.left_processes();
    faults.extend((!left.is_empty()).then(|| format!("tests/cli/{}.md leaves processes: {left:?}", page.name)));
    faults
}

#[test]
fn pages_are_well_formed() {
    for page in pages() {
        let lines: Vec<&str> = page.text.lines().collect();
        assert!(lines[0].starts_with("# "), "{}.md has no title", page.name);
        assert!(lines.iter().skip(1).any(|l| l.ends_with('.')), "{}.md has no sentence", page.name);
        assert!(!examples(&page.text).is_empty(), "{}.md has no example", page.name);
        let typed = examples(&page.text).into_iter().map(|e| e.command);
        assert!(typed.into_iter().all(|c| c.chars().count() <= 140), "{}.md has a command too long to type", page.name);
        assert_eq!(lines.iter().filter(|l| l.starts_with("```")).count() % 2, 0, "{}.md: an open block", page.name);
    }
}

// ---- no flag without a page ----

/// The verbs in the help of the program.
fn verbs() -> Vec<String> {
    let help = help(&[]);
    let list = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let first = |l: &str| l.strip_prefix("  ")?.split(' ').next().filter(|w| !w.is_empty()).map(String::from);
    list.filter_map(first).filter(|v| v != "help").collect()
}

/// The long flags in a help text, without `--help` and `--version`.
fn flags(help: &str) -> BTreeSet<String> {
    let of_line = |line: &str| {
        let word = line.split_whitespace().take(2).find_map(|w| w.strip_prefix("--"))?;
        Some(word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>())
    };
    let lines = help.lines().filter(|l| l.trim_start().starts_with('-'));
    lines.filter_map(of_line).filter(|f| !["help", "version"].contains(&f.as_str())).collect()
}

fn help(words: &[&str]) -> String {
    let mut command = std::process::Command::new(program());
    let done = outcome(command.args(words).arg("--help").env("COLUMNS", "200"));
    assert_eq!(done.status, 0, "{}", done.stderr);
    done.stdout
}

/// Whether a command of the pages has all these words. `--flag=value` has the word `--flag`.
fn is_shown(commands: &[String], words: &[&str]) -> bool {
    let has = |command: &str, word: &str| command.split([' ', '=', '\n', '\'', '"', ';', ')']).any(|w| w == word);
    commands.iter().any(|command| words.iter().all(|word| has(command, word)))
}

#[test]
fn every_flag_and_verb_has_its_page() {
    let pages = pages();
    let commands = |name: &str| -> Vec<String> {
        let of_name = pages.iter().filter(|p| name.is_empty() || p.is_of(name));
        of_name.flat_map(|p| examples(&p.text)).map(|e| e.command).collect()
    };
    let (all, global) = (commands(""), flags(&help(&[])));
    let mut missing = Vec::new();
    for verb in verbs() {
        // `rm` is the page of run's flag.
        let page = if verb == "rm" { "rm-verb" } else { &verb };
        missing
            .extend((!is_shown(&commands(page), &["little-container", &verb])).then(|| format!("{page}.md: {verb}")));
        for flag in flags(&help(&[&verb])) {
            let long = format!("--{flag}");
            let shown = match verb.as_str() {
                _ if global.contains(&flag) => is_shown(&commands(&flag), &[&long]),
                "run" => is_shown(&commands(&flag), &["run", &long]),
                _ => is_shown(&all, &[&verb, &long]),
            };
            missing.extend((!shown).then(|| format!("{verb} {long}")));
        }
    }
    assert!(missing.is_empty(), "no example shows:\n  {}", missing.join("\n  "));
}

#[test]
fn the_readme_names_every_verb_and_flag() {
    let Ok(readme) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")) else { return };
    let words: BTreeSet<&str> = readme.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    let flags = flags(&help(&["run"])).into_iter().map(|f| format!("--{f}"));
    let missing: Vec<String> = flags.chain(verbs()).filter(|word| !words.contains(word.as_str())).collect();
    assert_eq!(missing, [""; 0], "not in README.md");
}

// ---- the runner itself ----

#[test]
fn lines_match() {
    let yes = |expected: &[&str], lines: &[&str]| assert!(is_match(expected, lines), "{expected:?} {lines:?}");
    let no = |expected: &[&str], lines: &[&str]| assert!(!is_match(expected, lines), "{expected:?} {lines:?}");
    yes(&[], &[]);
    yes(&["a [..] c", "..."], &["a bä c", "x", "y"]);
    yes(&["...", "b", "..."], &["b"]);
    yes(&["[..]"], &[""]);
    yes(&["[..]:[..]"], &["a:b:c"]);
    no(&["a"], &["a", "b"]);
    no(&["a", "b"], &["a"]);
    no(&["...", "b"], &["b", "a"]);
    no(&["a [..] c"], &["a b"]);
    no(&["a"], &["a "]);
}

#[test]
fn pages_are_read() {
    let text = "# T\n```console\n$ a \\\n> b\nout\n> more\n? 3\n$ c\n```\n$ not this\n```sh\n$ nor this\n```\n";
    let first = Example { line: 3, command: "a \\\nb".into(), output: vec!["out".into(), "> more".into()], status: 3 };
    assert_eq!(examples(text), [first, Example { line: 8, command: "c".into(), ..Example::default() }]);
}

#[test]
fn a_help_text_is_read() {
    let text =
        "Options:\n  -i, --interactive[=<BOOL>]\n          Hand --it on\n      --env-file <FILE>  Read\n  -h, --help\n";
    assert_eq!(flags(text).into_iter().collect::<Vec<_>>(), ["env-file", "interactive"]);
    assert!(is_shown(&["lc run --user=1 x".into()], &["run", "--user"]));
    assert!(!is_shown(&["lc run --userns x".into()], &["run", "--user"]));
}
