//! One server that is asked: a registry, or a mirror of one.

use super::{
    address::{Address, Origin},
    error::{Fault, Kind, tame},
    net::{self, Answer, Net, Payload},
};
use std::time::Duration;
use ureq::http::{Method, StatusCode};

/// What is read of an answer that says why not, in bytes.
const MAX_COMPLAINT: u64 = 64 << 10;

/// What is asked of a server.
pub(super) struct Ask<'a, 's> {
    pub method: Method,
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload<'a>,
    /// What the token must be good for.
    pub scope: &'s str,
}

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub origin: Origin,
    /// What stands before `/v2/`.
    pub prefix: String,
}

impl Server {
    /// A place below `/v2/`.
    pub fn at(&self, path: &str) -> Address {
        self.origin.at(format!("{}/v2/{path}", self.prefix))
    }

    /// Asks, with what it takes to be let in; the answer may be any.
    pub fn ask(&self, net: &Net, to: &Address, ask: Ask<'_, '_>) -> Result<Answer, Fault> {
        net.exchange(&ask.method, to, &ask.headers, ask.payload)
    }
}

/// What an answer means that is not the one that was hoped for.
pub(super) fn refusal(answer: Answer, server: &Origin) -> Fault {
    let status = answer.status();
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Denied,
        StatusCode::TOO_MANY_REQUESTS => {
            Kind::TooManyRequests { retry_after: net::header(&answer, "retry-after").and_then(retry_after) }
        }
        StatusCode::REQUEST_TIMEOUT => Kind::Unavailable,
        status if status.is_server_error() => Kind::Unavailable,
        _ => Kind::Protocol,
    };
    let said = net::body(answer, MAX_COMPLAINT, &server.host).ok().and_then(|body| complaint(&body));
    let cause = match said {
        Some(said) => format!("{} answered {}: {said}", server.authority(), shown(status)),
        None => format!("{} answered {}", server.authority(), shown(status)),
    };
    Fault::new(kind, cause)
}

fn shown(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The registry's own words (distribution-spec, "Error Codes").
fn complaint(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = value.get("errors")?.get(0)?;
    let text = |name: &str| first.get(name).and_then(|v| v.as_str()).filter(|s| !s.is_empty());
    text("message").or(text("code")).map(|said| tame(said, 300))
}
