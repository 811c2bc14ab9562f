//! `login` and `logout`: what docker and podman keep, kept where they find it.

use super::{Context, registries, table};
use crate::{
    registry::{
        Client,
        credentials::{self, files},
    },
    say,
    spec::reference,
};
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

/// The longest password that is read, in bytes.
const MAX_PASSWORD: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub struct Login {
    /// The user; asked for where it is not given
    #[arg(short, long, value_name = "USER")]
    username: Option<String>,
    /// The password, which then stands in the list of processes and the shell's history
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Trust these certificates (PEM), too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = reference::DOCKER)]
    registry: String,
}

#[derive(Debug, clap::Args)]
pub struct Logout {
    /// Forget the logins for all registries
    #[arg(short, long, conflicts_with = "registry")]
    all: bool,
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = reference::DOCKER)]
    registry: String,
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// Checks the login with the registry, then keeps it.
pub fn login(flags: &Login, context: &Context) -> Result<u8> {
    let host = host(&flags.registry)?;
    let (user, password) = (user(flags, &host)?, password(flags, &host)?);
    if user.is_empty() || user.contains(':') || password.is_empty() {
        bail!("log in to {host}: a user has a name without \":\", and a password");
    }
    let settings = registries::settings(context, flags.ca.as_deref());
    Client::check_login(&host, &user, &password, &settings)?;
    let file = files::to_write(&host, &variable).with_context(nowhere)?;
    match files::helper_for(&file, &host)? {
        Some(helper) => {
            let key = credentials::server_key(&host);
            credentials::store(&helper, key, &user, &password).map_err(anyhow::Error::msg)?;
            files::put(&file, &host, None)?;
        }
        None => {
            files::put(&file, &host, Some((&user, &password)))?;
            say::info(&format!("the password is kept in {}, readable by you alone", file.display()));
        }
    }
    table::print("Login Succeeded\n")
}

/// Takes the login out of every file that has it.
pub fn logout(flags: &Logout) -> Result<u8> {
    let host = if flags.all { None } else { Some(host(&flags.registry)?) };
    let mut gone = Vec::new();
    for file in files::to_read(&variable).iter().filter(|file| file.exists()) {
        gone.extend(forget(file, host.as_deref())?);
    }
    gone.sort();
    gone.dedup();
    match host {
        _ if !gone.is_empty() => {
            let lines = gone.iter().map(|host| format!("Removed the login for {host}\n"));
            table::print(&lines.collect::<String>())
        }
        Some(host) => table::print(&format!("Not logged in to {host}\n")),
        None => table::print("Not logged in to any registry\n"),
    }
}

/// From one file and the helper that it names.
fn forget(file: &Path, host: Option<&str>) -> Result<Vec<String>> {
    let mut gone = files::take(file, host)?;
    let asked = match host {
        Some(host) => vec![host.to_owned()],
        None => gone.clone(),
    };
    for host in asked {
        let Some(helper) = files::helper_for(file, &host)? else { continue };
        match credentials::erase(&helper, credentials::server_key(&host)) {
            Ok(()) if !gone.contains(&host) => gone.push(host),
            Ok(()) => {}
            Err(why) => say::note(&why),
        }
    }
    Ok(gone)
}

/// `docker.io` for all of its names; without the scheme and the path that people copy along.
fn host(text: &str) -> Result<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.split('/').next().unwrap_or_default();
    let host = if bare == "registry-1.docker.io" { reference::DOCKER } else { bare };
    // What is a host is known where references are.
    match format!("{host}/a/b").parse::<reference::Reference>() {
        Ok(reference) if reference.repository == "a/b" => Ok(reference.host),
        _ => bail!("log in or out: {text:?} is no registry; a name is meant as in registry.example:5000"),
    }
}

fn nowhere() -> &'static str {
    "keep the login: no home of yours is known\n  fix (you): set HOME, or REGISTRY_AUTH_FILE to a file"
}

fn user(flags: &Login, host: &str) -> Result<String> {
    if let Some(user) = &flags.username {
        return Ok(user.clone());
    }
    check_terminal(host)?;
    io::stderr().write_all(format!("User for {host}: ").as_bytes())?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn password(flags: &Login, host: &str) -> Result<String> {
    if let Some(password) = &flags.password {
        say::note("a password on the command line can be seen by others; --password-stdin hides it");
        return Ok(password.clone());
    }
    if flags.password_stdin {
        let mut text = String::new();
        io::stdin().take(MAX_PASSWORD).read_to_string(&mut text).context("read the password from standard input")?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
    check_terminal(host)?;
    rpassword::prompt_password(format!("Password for {host}: ")).context("read the password from the terminal")
}

fn check_terminal(host: &str) -> Result<()> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    bail!(
        "log in to {host}\n  cause: there is no terminal to ask for user and password on\n  \
         fix (you): little-container login -u USER --password-stdin {host} <FILE"
    )
}
