//! Why an exchange with a registry failed: for programs a [`Kind`], for people the object, the cause and a remedy.

use std::{fmt, time::Duration};

/// What kind of failure it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The registry has no such image or blob (404), or says so to those whom it does not know.
    NotFound,
    /// It wants to know who asks, and is not content with what it was told (401).
    Unauthorized,
    /// It knows who asks and refuses (403).
    Denied,
    /// It has been asked too often (429).
    TooManyRequests {
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It is not to be reached or not well: 5xx, no such host, connection refused, silence, a connection that broke.
    Unavailable,
    /// It is not who it should be, or speaks no TLS that we do.
    Tls,
    /// It sent what no registry should.
    Protocol,
    /// The network was not to be used.
    Offline,
}

/// A failure; found in an [`anyhow::Error`] by `downcast_ref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind.
    pub kind: Kind,
    /// The registry, as in a reference.
    pub host: String,
    pub(super) step: String,
    pub(super) cause: String,
    pub(super) remedy: String,
}

impl Error {
    /// Whether the same may go well a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::TooManyRequests { .. } | Kind::Unavailable)
    }

    /// The one sentence about why, without step and remedy.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  cause: {}", self.step, self.cause)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n  fix (you): {}", self.remedy) }
    }
}

impl std::error::Error for Error {}

/// A failure before it is known what it was about.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: Kind,
    pub cause: String,
    /// Instead of the remedy that the kind suggests.
    pub remedy: Option<String>,
}

impl Fault {
    pub fn new(kind: Kind, cause: impl Into<String>) -> Fault {
        Fault { kind, cause: cause.into(), remedy: None }
    }

    pub fn protocol(cause: impl Into<String>) -> Fault {
        Fault::new(Kind::Protocol, cause)
    }

    /// With what was wanted of whom.
    pub fn told(self, host: &str, step: String) -> Error {
        let remedy = self.remedy.unwrap_or_else(|| remedy(&self.kind, host));
        Error { kind: self.kind, host: host.to_owned(), step, cause: self.cause, remedy }
    }
}

fn remedy(kind: &Kind, host: &str) -> String {
    match kind {
        Kind::NotFound => {
            format!("check the name; if the image is private, log in with: little-container login {host}")
        }
        Kind::Unauthorized => format!("log in with: little-container login {host}"),
        Kind::Denied => format!("ask for access, or log in as another user with: little-container login {host}"),
        Kind::TooManyRequests { .. } => format!(
            "wait and try again; logged in (little-container login {host}) more is allowed; a mirror helps, too"
        ),
        Kind::Unavailable => {
            "try again; if this network needs a proxy, set HTTPS_PROXY; a mirror can be set in config.toml".to_owned()
        }
        Kind::Tls => "if the registry has a certificate of your organisation's, name it with --ca FILE".to_owned(),
        Kind::Protocol => {
            "check that the host is a registry, and what stands between: a proxy, a login page".to_owned()
        }
        Kind::Offline => "take `offline = true` out of config.toml".to_owned(),
    }
}

/// What somebody else wrote, fit to be shown: its control characters escaped, at most `max` characters.
pub(super) fn tame(text: &str, max: usize) -> String {
    let odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let mut out = String::new();
    for (n, c) in text.trim().chars().enumerate() {
        if n == max {
            out.push('…');
            break;
        }
        if odd(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_tamed() {
        assert_eq!(tame(" a\u{1b}[31mb\nc\u{202e}d ", 100), "a\\u{1b}[31mb\\nc\\u{202e}d");
        assert_eq!(tame("abcdef", 3), "abc…");
    }

    #[test]
    fn step_cause_remedy() {
        let error = Fault::new(Kind::Denied, "no").told("a.example", "pull a.example/x".into());
        let text = error.to_string();
        assert!(text.starts_with("pull a.example/x\n  cause: no\n  fix (you): ask for access"), "{text}");
        assert!(!error.is_transient());
    }
}
