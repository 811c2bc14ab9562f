//! The command: its words, its environment, its user.

use super::{facts::Facts, hostname, security, step::InitStep};
use crate::spec::{Raw, Spec, User, env};
use anyhow::{Context, Result, bail};

/// The terminal or what stands in for it.
pub fn terminal(spec: &Spec, facts: &Facts) -> Option<InitStep> {
    if spec.terminal {
        return Some(InitStep::OpenTerminal { size: facts.window, stderr: true });
    }
    (!spec.stdin).then_some(InitStep::NoInput)
}

/// Everything from the new root to the exec. `limits`: what bounds the process; last, so that it bounds nothing of ours.
pub fn steps(spec: &Spec, facts: &Facts, default_user: &User, limits: Vec<InitStep>) -> Result<Vec<InitStep>> {
    let mut steps = vec![InitStep::WorkDir { path: workdir(spec, facts) }];
    if spec.read_only {
        steps.push(InitStep::ReadOnlyRoot);
    }
    steps.push(InitStep::LimitCapabilities { keep: security::default_capabilities() });
    steps.push(InitStep::Become { user: user(spec, facts, default_user)? });
    steps.push(InitStep::NoNewPrivs);
    steps.push(security::refused_calls());
    steps.extend(limits);
    if spec.init {
        steps.push(InitStep::Reaper);
    }
    steps.push(InitStep::Exec {
        args: args(spec, facts)?,
        env: environment(spec, facts),
        foreign: facts.image.foreign,
    });
    Ok(steps)
}

/// `-w`, else the image's, else `/`. A relative one is taken from `/`.
fn workdir(spec: &Spec, facts: &Facts) -> Raw {
    let wanted = spec.workdir.as_ref().unwrap_or(&facts.image.working_dir);
    std::path::Path::new("/").join(wanted.path()).into()
}

fn user(spec: &Spec, facts: &Facts, default: &User) -> Result<User> {
    match &spec.user {
        Some(user) => Ok(user.clone()),
        None if facts.image.user.is_empty() => Ok(default.clone()),
        None => facts
            .image
            .user
            .parse()
            .map_err(anyhow::Error::msg)
            .context("the image's own user cannot be read\n  fix (you): say who to run as with --user"),
    }
}

/// Entrypoint and command, as docker joins them: `--entrypoint` takes the image's command away as well.
fn args(spec: &Spec, facts: &Facts) -> Result<Vec<Raw>> {
    let mut args = match &spec.entrypoint {
        Some(word) if word.is_empty() => Vec::new(),
        Some(word) => vec![word.clone()],
        None => facts.image.entrypoint.clone(),
    };
    if !spec.command.is_empty() {
        args.extend(spec.command.iter().cloned());
    } else if spec.entrypoint.is_none() {
        args.extend(facts.image.cmd.iter().cloned());
    }
    if args.is_empty() {
        args.push("/bin/sh".into());
    }
    if args[0].is_empty() {
        bail!("the command is an empty word\n  fix (you): name a program, as in `little-container run bash`");
    }
    Ok(args)
}

/// The image's variables, then `-e`, then what every program expects. HOME is set when the user is known.
fn environment(spec: &Spec, facts: &Facts) -> Vec<Raw> {
    let mut all = Vec::new();
    for variable in facts.image.env.iter().chain(&spec.env) {
        env::set(&mut all, variable.clone());
    }
    env::set_default(&mut all, format!("PATH={}", env::DEFAULT_PATH).into());
    env::set_default(&mut all, format!("HOSTNAME={}", hostname(spec, facts)).into());
    if let Some(term) = spec.terminal.then_some(facts.term.as_ref()).flatten() {
        let mut whole = b"TERM=".to_vec();
        whole.extend(term.bytes());
        env::set_default(&mut all, whole.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(spec: &Spec, facts: &Facts) -> Vec<String> {
        args(spec, facts).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn entrypoint_and_command() {
        let mut facts = Facts::default();
        assert_eq!(words(&Spec::default(), &facts), ["/bin/sh"]);
        facts.image.entrypoint = vec!["/entry".into(), "-x".into()];
        facts.image.cmd = vec!["serve".into()];
        assert_eq!(words(&Spec::default(), &facts), ["/entry", "-x", "serve"]);
        let spec = Spec { command: vec!["a".into(), "".into()], ..Spec::default() };
        assert_eq!(words(&spec, &facts), ["/entry", "-x", "a", "''"]);
        let spec = Spec { entrypoint: Some("/bin/cat".into()), ..Spec::default() };
        assert_eq!(words(&spec, &facts), ["/bin/cat"]);
        let spec = Spec { entrypoint: Some("".into()), command: vec!["ls".into()], ..Spec::default() };
        assert_eq!(words(&spec, &facts), ["ls"]);
    }

    #[test]
    fn an_empty_command_is_refused() {
        let spec = Spec { command: vec!["".into()], ..Spec::default() };
        assert!(args(&spec, &Facts::default()).is_err());
    }

    #[test]
    fn workdirs() {
        let mut facts = Facts::default();
        assert_eq!(workdir(&Spec::default(), &facts), "/".into());
        facts.image.working_dir = "srv".into();
        assert_eq!(workdir(&Spec::default(), &facts), "/srv".into());
        let spec = Spec { workdir: Some("/tmp".into()), ..Spec::default() };
        assert_eq!(workdir(&spec, &facts), "/tmp".into());
    }
}
