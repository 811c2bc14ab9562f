//! Golden plans: a spec and the facts of a machine that never was go in, the plan comes out as text.
//!
//! One page a case in `tests/plan/`. `UPDATE_GOLDEN=1 cargo test --test plan` writes them anew; read the difference before
//! it is committed, for it is what every container does from then on.

#[path = "plan/cases.rs"]
mod cases;

use cases::{Case, all, facts};
use little_container::{
    plan::{HostStep, InitStep, Namespace, Plan, plan, step},
    spec::{Raw, Spec, Volume},
};
use std::{collections::BTreeSet, env, fs, path::Path};

/// The plan of a case; `Err` holds the error's text, the inner ones after the outer.
fn outcome(case: &Case) -> Result<Plan, String> {
    plan(&case.spec, &case.facts).map_err(|e| e.chain().map(|e| e.to_string()).collect::<Vec<_>>().join("\nbecause: "))
}

fn plans() -> Vec<Plan> {
    all().iter().filter_map(|case| outcome(case).ok()).collect()
}

/// What a golden page holds: what was decided, both lists, and what the lines of the steps leave out.
fn printed(case: &Case) -> String {
    let plan = match outcome(case) {
        Ok(plan) => plan,
        Err(text) => return format!("error: {text}\n"),
    };
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
            text.push_str(&format!("{title}:\n{lines}"));
        }
    };
    section("choices", plan.choices.clone());
    section("notes", plan.notes.clone());
    section("outside", plan.host.iter().map(ToString::to_string).collect());
    section("inside", plan.init.iter().map(ToString::to_string).collect());
    section("content of files", plan.init.iter().filter_map(content).collect());
    section("environment", plan.init.iter().flat_map(environment).map(ToString::to_string).collect());
    text
}

fn content(step: &InitStep) -> Option<String> {
    match step {
        InitStep::File { target, content } => Some(format!("{target} {content}")),
        _ => None,
    }
}

fn environment(step: &InitStep) -> &[Raw] {
    match step {
        InitStep::Exec { env, .. } => env,
        _ => &[],
    }
}

#[test]
fn plans_are_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let update = env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in all() {
        let path = folder.join(case.name).with_extension("txt");
        let now = printed(&case);
        if update {
            fs::write(&path, &now).unwrap();
            continue;
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if golden != now {
            wrong.push(format!("{}:\n{}", path.display(), difference(&golden, &now)));
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\nIf this is meant: UPDATE_GOLDEN=1 cargo test --test plan, and read `git diff`.",
        wrong.join("\n")
    );
}

/// Lines that only one of the two has, in order: `-` the golden page's, `+` today's.
fn difference(golden: &str, now: &str) -> String {
    let only = |of: &str, other: &str, sign| {
        let other: BTreeSet<&str> = other.lines().collect();
        of.lines().filter(|l| !other.contains(l)).map(|l| format!("{sign} {l}\n")).collect::<String>()
    };
    let lines = only(golden, now, '-') + &only(now, golden, '+');
    if lines.is_empty() { "the same lines in another order\n".into() } else { lines }
}

#[test]
fn no_page_without_a_case() {
    let known: BTreeSet<_> = all().iter().map(|case| format!("{}.txt", case.name)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let pages = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = pages.filter(|name| name.ends_with(".txt")).collect();
    assert_eq!(pages, known);
    assert_eq!(known.len(), all().len(), "two cases have one name");
}

#[test]
fn planning_twice_gives_the_same() {
    for case in all() {
        assert_eq!(outcome(&case), outcome(&case), "{}", case.name);
    }
}

#[test]
fn every_plan_survives_json() {
    for plan in plans() {
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

#[test]
fn words_that_are_not_utf8_survive_json() {
    let odd = |text: &[u8]| Raw::from(text.to_vec());
    let spec = Spec {
        command: vec![odd(b"a\xff\\x41"), odd(b""), odd(b"b\n\x01\\")],
        env: vec![odd(b"KEY=\xfe\xff")],
        workdir: Some(odd(b"/w\xc3")),
        volumes: vec![Volume { source: odd(b"/v\xff"), target: odd(b"/t\xff"), read_only: false }],
        ..Spec::default()
    };
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);

    let facts = cases::with_volumes(facts(), &[(odd(b"/v\xff"), true)]);
    let made = plan(&spec, &facts).unwrap();
    let back: Plan = serde_json::from_str(&serde_json::to_string(&made).unwrap()).unwrap();
    assert_eq!(back, made);
    let Some(InitStep::Exec { args, env, .. }) = back.init.last() else { panic!("a plan ends with exec") };
    assert_eq!(args, &spec.command);
    assert!(env.contains(&spec.env[0]));
    assert!(made.init.iter().all(|step| step.to_string().lines().count() == 1), "a newline in a word breaks no line");
}

#[test]
fn a_plan_of_another_format_is_refused() {
    assert!(serde_json::from_str::<HostStep>(r#"{"step":"no-such-step"}"#).is_err());
    assert!(serde_json::from_str::<Plan>("{}").is_err());
}

#[test]
fn every_step_prints_on_one_line_and_says_why() {
    let check = |line: String, why: &str| {
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(line.trim() == line && !line.ends_with('.'), "{line:?}");
        assert!(!why.is_empty() && why.lines().count() == 1 && !why.ends_with('.'), "{line}: {why:?}");
    };
    for plan in plans() {
        plan.host.iter().for_each(|step| check(step.to_string(), step.why()));
        plan.init.iter().for_each(|step| check(step.to_string(), step.why()));
        plan.choices.iter().chain(&plan.notes).for_each(|text| check(text.clone(), "-"));
    }
}

/// The name of a step's variant, and the names of all: a new variant does not compile until it is written down here.
macro_rules! variants {
    ($of:ident: $($name:ident)*) => {
        (|step: &$of| match step { $($of::$name { .. } => stringify!($name)),* }, BTreeSet::from([$(stringify!($name)),*]))
    };
}

#[test]
fn every_step_occurs_in_a_golden_plan() {
    let plans = plans();
    let (name, every) = variants!(HostStep: Mark MakeGroup AskScope JoinScope Limit Clone MapIds MakeFolder ClaimName Copy AwaitMaps Fuse Go Guard Record Sweep);
    let seen: BTreeSet<_> = plans.iter().flat_map(|p| &p.host).map(name).collect();
    assert_eq!(seen, every);

    let (name, every) = variants!(InitStep: PrivateMounts OwnNetwork OwnCgroup Affinity OomScoreAdj Rlimit AwaitGo MountOverlay AwaitFuse OwnMounts BindRoot EnterRoot MountTmpfs
        Device Link MountDevpts MountShm MountMqueue MountProc MountSys BindSys MountCgroup File Bind Folder OpenTerminal NoInput
        Mask ReadOnlyPath LeaveOldRoot ReadOnlyRoot Hostname Loopback WorkDir LimitCapabilities Become NoNewPrivs RefuseCalls Reaper
        Exec);
    let seen: BTreeSet<_> = plans.iter().flat_map(|p| &p.init).map(name).collect();
    assert_eq!(seen, every);
}

/// What holds for every plan, whatever was asked for; each line is a hole that was closed.
#[test]
fn the_order_is_safe() {
    for case in all() {
        let Ok(plan) = outcome(&case) else { continue };
        let host = |wanted: fn(&HostStep) -> bool| plan.host.iter().position(wanted).unwrap();
        let init = |wanted: fn(&InitStep) -> bool| plan.init.iter().position(wanted).unwrap();
        let last = |wanted: fn(&InitStep) -> bool| plan.init.iter().rposition(wanted).unwrap();
        assert!(host(|s| matches!(s, HostStep::Mark { .. })) < host(|s| matches!(s, HostStep::Clone { .. })));
        assert!(host(|s| matches!(s, HostStep::MapIds { .. })) < host(|s| matches!(s, HostStep::Go)));
        assert_eq!(init(|s| matches!(s, InitStep::PrivateMounts)), 0, "{}", case.name);
        let left = init(|s| matches!(s, InitStep::LeaveOldRoot));
        assert!(last(|s| matches!(s, InitStep::Mask { .. } | InitStep::Bind { .. })) < left, "{}", case.name);
        assert!(left < init(|s| matches!(s, InitStep::WorkDir { .. })), "no path of the machine is followed");
        let limit = init(|s| matches!(s, InitStep::LimitCapabilities { .. }));
        assert!(limit < init(|s| matches!(s, InitStep::Become { .. })));
        limits_are_in_force(&case, &plan);
        assert!(init(|s| matches!(s, InitStep::NoNewPrivs)) < init(|s| matches!(s, InitStep::Exec { .. })));
        assert!(matches!(plan.init.last(), Some(InitStep::Exec { .. })), "{}", case.name);
    }
}

/// Before the command's first instruction, and seen from inside as the root.
fn limits_are_in_force(case: &Case, plan: &Plan) {
    let place = |wanted: fn(&HostStep) -> bool| plan.host.iter().position(wanted);
    let last = plan.host.iter().rposition(|s| matches!(s, HostStep::Limit { .. }));
    assert!(last < place(|s| matches!(s, HostStep::Go)), "{}", case.name);
    let grouped = place(|s| matches!(s, HostStep::MakeGroup { .. } | HostStep::JoinScope { .. })).is_some();
    let own = plan.init.contains(&InitStep::OwnCgroup);
    assert_eq!(grouped, own, "{}: a cgroup namespace made before the group shows another root", case.name);
    let cloned = plan.host.iter().find_map(|s| match s {
        HostStep::Clone { namespaces, .. } => Some(namespaces.contains(&Namespace::Cgroup)),
        _ => None,
    });
    assert_eq!(cloned, Some(!own), "{}", case.name);
    for step in &plan.host {
        if let HostStep::MakeGroup { group, .. } | HostStep::JoinScope { group, .. } = step {
            assert!(group.link.to_string().ends_with(".group"), "{}", case.name);
        }
        if let HostStep::MakeGroup { group: step::Group { name, .. }, .. } | HostStep::AskScope { unit: name, .. } =
            step
        {
            assert!(name.starts_with(&cases::limits::own_name()), "{}: the sweep goes by the name", case.name);
        }
    }
}
