//! Programs that keep secrets: `docker-credential-NAME get|store|erase` (docker-credential-helpers).

use super::Secret;
use crate::sys::helper;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use std::{env, io, path::PathBuf};

/// What a helper has for a server.
///
/// # Errors
/// It is not there, or failed: one line that names it, without its output, which may be a secret.
pub(super) fn get(name: &str, server: &str) -> Result<Option<Secret>, String> {
    check(name)?;
    let only_it = serde_json::json!({ "credsStore": name }).to_string();
    match docker_credential::get_credential_from_reader(only_it.as_bytes(), server) {
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Secret::Identity(token))),
        Ok(DockerCredential::UsernamePassword(user, _)) if user.is_empty() => Ok(None),
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(Secret::Password { user, password })),
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("not found") => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { .. }) => Err(format!("docker-credential-{name} has failed")),
        Err(CredentialRetrievalError::HelperCommunicationError) => {
            Err(format!("docker-credential-{name} cannot be started: is it installed and in PATH?"))
        }
        Err(_) => Err(format!("docker-credential-{name} gave no answer that could be understood")),
    }
}

/// Gives a helper a secret to keep.
///
/// # Errors
/// It is not there, or failed.
pub fn store(name: &str, server: &str, user: &str, secret: &str) -> Result<(), String> {
    let message = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": secret });
    ask(name, "store", message.to_string().as_bytes())
}

/// Has a helper forget what it keeps for a server.
///
/// # Errors
/// It is not there, or failed.
pub fn erase(name: &str, server: &str) -> Result<(), String> {
    ask(name, "erase", server.as_bytes())
}

fn ask(name: &str, what: &str, message: &[u8]) -> Result<(), String> {
    check(name)?;
    let program = program(name).ok_or_else(|| format!("docker-credential-{name} is not installed, or not in PATH"))?;
    let told = |e: io::Error| format!("docker-credential-{name} {what}: {}", crate::say::words(&e));
    let ended = helper::told(&program, [what], message).map_err(told)?;
    if ended.success() { Ok(()) } else { Err(format!("docker-credential-{name} {what} has failed: {ended}")) }
}

fn program(name: &str) -> Option<PathBuf> {
    helper::find(&format!("docker-credential-{name}"), env::var_os("PATH").as_deref())
}

/// A part of a program's name, and no path.
fn check(name: &str) -> Result<(), String> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if good {
        Ok(())
    } else {
        Err(format!("{:?} is no name of a credential helper", super::super::error::tame(name, 80)))
    }
}
