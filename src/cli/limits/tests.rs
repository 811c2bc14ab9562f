//! Every flag for limits, as it is typed.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flags: RunFlags,
    #[arg(long)]
    rm: bool,
}

fn read(words: &[&str]) -> Result<Limits> {
    let line = Line::try_parse_from(["run"].iter().chain(words)).unwrap();
    limits(&line.flags, &Config::default())
}

#[test]
fn every_flag_reaches_its_field() {
    let typed = "--memory 64m --memory-reservation 32m --memory-swap -1 --cpus 0.5 --cpu-weight 7 --cpuset-cpus 0-1 \
        --pids-limit -1 --io-weight 8 --device-read-bps /dev/a:1k --device-write-bps /dev/a:2k --device-read-iops /dev/a:3 \
        --device-write-iops /dev/a:4 --cgroup-conf memory.high=1 --oom-score-adj -5 --ulimit core=0:0";
    let all = read(&typed.split_whitespace().collect::<Vec<_>>()).unwrap();
    let again: Vec<String> = all.requested().iter().map(|(flag, value)| format!("{flag} {value}")).collect();
    let typed = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(again.join(" "), typed.replace(" -1 ", " max "));
    let short = read(&["-m", "64m", "-c", "2048"]).unwrap();
    assert_eq!((short.memory, short.cpu_shares), (Some(Amount::Of(64 << 20)), Some(2048)));
    let more = read(&["--limits", "best-effort", "--cgroups", "systemd", "--cgroup-parent", "-.slice"]).unwrap();
    assert_eq!((more.strictness, more.cgroups), (Strictness::BestEffort, Cgroups::Systemd));
    assert_eq!(more.cgroup_parent, Some("-.slice".into()));
    assert_eq!(read(&["--rm"]).unwrap(), Limits::default());
}

#[test]
fn every_refusal_names_the_flag_and_a_remedy() {
    for (flag, value) in [
        ("--memory", "-1g"),
        ("--memory", "--rm"),
        ("--memory-reservation", "0"),
        ("--memory-swap", "-2"),
        ("--cpus", "-1"),
        ("--cpu-weight", "0"),
        ("--cpu-shares", "-5"),
        ("--cpuset-cpus", "-1"),
        ("--pids-limit", "0"),
        ("--io-weight", "10001"),
        ("--device-read-bps", "-"),
        ("--device-write-bps", "/dev/sda"),
        ("--device-read-iops", "/dev/sda:1k"),
        ("--device-write-iops", "-1"),
        ("--cgroup-conf", "-x"),
        ("--oom-score-adj", "-1001"),
        ("--ulimit", "-1"),
        ("--cgroup-parent", "-x"),
    ] {
        let said = read(&[flag, value]).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{flag} {value}: ")), "{said}");
        let fix = said.split_once("\n  fix (you): give ").unwrap().1;
        assert!(fix.contains(flag) && !fix.contains("FLAG"), "{said}");
    }
}

#[test]
fn what_is_advised_is_accepted() {
    for arg in <Line as clap::CommandFactory>::command().get_arguments() {
        let flag = format!("--{}", arg.get_long().unwrap());
        if ["--rm", "--limits", "--cgroups"].contains(&flag.as_str()) {
            continue;
        }
        let advice = remedy(&flag);
        let from = advice.split_whitespace().skip_while(|w| !w.starts_with("--"));
        let count = if flag == "--memory-swap" { 4 } else { 2 };
        let example: Vec<&str> = from.take(count).map(|w| w.trim_end_matches(',')).collect();
        assert!(example.contains(&flag.as_str()), "{example:?}");
        assert!(read(&example).is_ok(), "{:?}: {:?}", example, read(&example));
    }
}

#[test]
fn a_value_is_shown_as_far_as_it_can_be_read() {
    let said = read(&["--memory", &"9".repeat(100_000)]).unwrap_err().to_string();
    assert!(said.starts_with("--memory 9999") && said.contains("9…: ") && said.len() < 300, "{said}");
    let said = read(&["--cpus", "1\n\u{1b}[2J"]).unwrap_err().to_string();
    assert!(said.starts_with(r"--cpus $'1\x0a\x1b[2J': "), "{said}");
    assert!(read(&["--memory", ""]).unwrap_err().to_string().starts_with("--memory '': the value is empty"));
}

#[test]
fn relations_are_checked_when_everything_is_read() {
    assert!(read(&["--memory-swap", "64m", "--memory", "64m"]).is_ok());
    assert!(read(&["--memory-swap", "64m"]).unwrap_err().to_string().starts_with("--memory-swap 64m: "));
}

#[test]
fn a_change_takes_the_place_of_what_was() {
    let mut now = read(&["--memory", "64m", "--cpu-weight", "5", "--pids-limit", "9"]).unwrap();
    let line = Line::try_parse_from(["update", "--memory", "1g", "--cpu-shares", "2"]).unwrap();
    line.flags.changeable.apply(&mut now).unwrap();
    let shown: Vec<String> = now.requested().iter().map(|(flag, value)| format!("{flag} {value}")).collect();
    assert_eq!(shown, ["--memory 1g", "--cpu-shares 2", "--pids-limit 9"]);
}
