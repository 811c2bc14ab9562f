use super::*;
use crate::spec::limits::Amount;

/// What the page of a plan cannot show: that nothing is looked at where nothing was asked for.
#[test]
fn no_limit_no_word() {
    let chosen = choose(&Spec::default(), &Facts::default()).unwrap();
    assert!(chosen.before.is_empty() && chosen.ask.is_empty() && chosen.join.is_empty() && !chosen.grouped);
    assert!(chosen.choice.is_none() && chosen.notes.is_empty() && chosen.limited.is_empty());
}

/// However it comes out, every limit that was asked for is in the list, once, with what holds it.
#[test]
fn no_limit_is_forgotten() {
    let mut spec = Spec::default();
    spec.limits.memory = Some(Amount::Of(64 << 20));
    spec.limits.pids = Some(Amount::Of(50));
    spec.limits.strictness = Strictness::BestEffort;
    let mut facts = Facts::default();
    let flags = |facts: &Facts| {
        let chosen = choose(&spec, facts).unwrap();
        chosen.limited.iter().map(|l| (l.flag.clone(), l.how)).collect::<Vec<_>>()
    };
    assert_eq!(flags(&facts), [("--memory".into(), How::None), ("--pids-limit".into(), How::None)]);
    facts.uid = 1000;
    facts.limits.nproc_per_namespace = true;
    assert_eq!(flags(&facts), [("--memory".into(), How::None), ("--pids-limit".into(), How::Rlimit)]);
}
