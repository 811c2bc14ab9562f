//! Nonsense is refused on every machine, by the name of the flag, before anything is made.

use crate::{kit::assert_error, support::Outcome};

const NONSENSE: &[(&str, &str)] = &[
    ("--memory", "-1g"),
    ("--memory", "0.0"),
    ("--memory", "0"),
    ("--memory", ""),
    ("--memory", "64q"),
    ("--memory", "99999999999999999999g"),
    ("--memory-reservation", "-1m"),
    ("--cpus", "0.0"),
    ("--cpus", "-1"),
    ("--cpus", "100000"),
    ("--cpus", "nan"),
    ("--cpus", "inf"),
    ("--cpu-weight", "0"),
    ("--cpu-weight", "10001"),
    ("--cpuset-cpus", "4000"),
    ("--cpuset-cpus", "3-1"),
    ("--cpuset-cpus", "x"),
    ("--pids-limit", "0"),
    ("--pids-limit", "many"),
    ("--oom-score-adj", "1001"),
    ("--ulimit", "nofile"),
    ("--ulimit", "nothing=1"),
    ("--ulimit", "nofile=200:100"),
    ("--cgroups", "some"),
    ("--limits", "some"),
];

#[test]
fn nonsense_is_refused_by_the_name_of_its_flag() {
    let ground = ground!();
    for (flag, word) in NONSENSE {
        for flags in [vec![*flag, *word], vec!["--limits", "best-effort", *flag, *word]] {
            if *flag == "--limits" && flags.len() > 2 {
                continue;
            }
            let out = ground.sh(&flags, "echo ran");
            assert!(out.stderr.contains(flag), "{flags:?}: {out:?}");
            if ["--cgroups", "--limits"].contains(flag) {
                // One of a few words: the parser's own message lists them.
                assert!(out.status == 125 && out.stderr.contains("possible values"), "{flags:?}: {out:?}");
                continue;
            }
            assert_error(&Outcome { stdout: String::new(), ..out }, 125, &[]);
        }
    }
    assert_eq!(ground.leftovers(), [""; 0]);
    assert!(
        ground.store().join("containers").read_dir().is_ok_and(|mut e| e.next().is_none()) || !ground.store().exists()
    );
}

#[test]
fn limits_of_processes_work_everywhere() {
    let ground = ground!();
    assert_eq!(ground.says(&["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn"), "100\n200\n");
    assert_eq!(ground.says(&["--ulimit", "nofile=100"], "ulimit -Sn; ulimit -Hn"), "100\n100\n");
    assert_eq!(ground.says(&["--ulimit", "core=0", "--ulimit", "nofile=64"], "ulimit -c; ulimit -n"), "0\n64\n");
    assert_eq!(ground.says(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500\n");
    let out = ground.sh(&["--ulimit", "nofile=100:200", "--oom-score-adj", "500"], "true");
    assert_eq!((out.status, out.stderr.as_str()), (0, ""));
}

#[test]
fn what_only_root_may_have_is_refused_with_the_reason() {
    let ground = ground!();
    let script = format!(
        "ulimit -n 1000; exec {} run --rm --ulimit nofile=99999999 --rootfs {} echo ran",
        crate::support::program().display(),
        ground.rootfs().display()
    );
    let out = crate::support::outcome(ground.command("sh").args(["-c", &script]));
    assert_error(&out, 125, &["--ulimit", "nofile", "99999999", "1000"]);
    let out = ground.sh(&["--oom-score-adj", "-1000", "only root"], "echo ran");
    assert_error(&out, 125, &["--oom-score-adj", "-1000"]);
    assert_eq!(ground.leftovers(), [""; 0]);
}
