//! One server that is asked: a registry, or a mirror of one.
//!
//! Registries speak HTTPS. Two sorts of hosts may speak plain HTTP: this machine (`localhost`, 127.0.0.0/8, `::1`), where it
//! is tried first, for that is what runs there nearly always; and those that the user calls insecure, where HTTPS is tried
//! first, with any certificate. Such a host is asked once, by `GET /v2/`, which of the two it speaks.

use super::{
    address::{Address, Origin},
    auth::{self, Auth},
    error::{Fault, Kind, tame},
    net::{self, Answer, Net, Payload},
};
use std::{
    io::{self, Read},
    sync::{OnceLock, atomic::AtomicBool},
    time::Duration,
};
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
    /// As in a reference.
    pub host: String,
    /// What it may be, the likelier one first.
    origins: Vec<Origin>,
    /// Which one it is.
    settled: OnceLock<Origin>,
    /// What stands before `/v2/`.
    prefix: String,
    pub auth: Auth,
    /// It is not asked again: a mirror that cannot be reached, or sends what it should not.
    pub is_out: AtomicBool,
}

impl Server {
    /// Of `authority`, which references call `host`.
    pub fn new(host: &str, authority: &str, insecure: &[String], auth: Auth) -> Result<Server, String> {
        let first = Origin::parse(true, authority)?;
        let plain = Origin::parse(false, authority)?;
        let origins = if first.is_loopback() {
            vec![plain, first]
        } else if insecure.iter().any(|i| i == host || i == authority) {
            vec![first, plain]
        } else {
            vec![first]
        };
        Ok(Server {
            host: host.to_owned(),
            origins,
            settled: OnceLock::new(),
            prefix: String::new(),
            auth,
            is_out: AtomicBool::new(false),
        })
    }

    /// A mirror: `HOST[:PORT][/PATH]`, or an address.
    pub fn mirror(url: &str, insecure: &[String], auth: impl FnOnce(&str) -> Auth) -> Result<Server, String> {
        let (authority, prefix, origin) = mirror_parts(url)?;
        let mut server = Server::new(&authority, &authority, insecure, auth(&authority))?;
        if let Some(origin) = origin {
            server.origins = vec![origin];
        }
        server.prefix = prefix;
        Ok(server)
    }

    /// The server, of which it is known by now what it is.
    pub fn origin(&self) -> &Origin {
        self.settled.get().unwrap_or(&self.origins[0])
    }

    /// Finds out what it is, where that has to be found out.
    pub fn settle(&self, net: &Net) -> Result<&Origin, Fault> {
        if let Some(origin) = self.settled.get() {
            return Ok(origin);
        }
        if let [only] = self.origins.as_slice() {
            return Ok(self.settled.get_or_init(|| only.clone()));
        }
        let mut faults = Vec::new();
        for origin in &self.origins {
            let to = origin.at(format!("{}/v2/", self.prefix));
            match net.exchange(&Method::GET, &to, &[], Payload::None) {
                // That is how servers of HTTPS answer plain HTTP.
                Ok(answer) if !origin.https && answer.status() == StatusCode::BAD_REQUEST => {
                    faults.push(refusal(answer, origin));
                }
                Ok(_) => return Ok(self.settled.get_or_init(|| origin.clone())),
                Err(fault) => faults.push(fault),
            }
        }
        // A certificate that is refused says more than a server that does not understand.
        let best = faults.iter().position(|fault| fault.kind == Kind::Tls).unwrap_or(0);
        Err(faults.swap_remove(best))
    }

    /// A place below `/v2/`.
    pub fn at(&self, path: &str) -> Address {
        self.origin().at(format!("{}/v2/{path}", self.prefix))
    }

    /// Asks, with what it takes to be let in; the answer may be any. [`Server::settle`] comes first.
    pub fn ask(&self, net: &Net, to: &Address, ask: Ask<'_, '_>) -> Result<Answer, Fault> {
        let Ask { method, headers, payload, scope } = ask;
        let mut known = self.auth.header(scope);
        let with = |header: &Option<auth::Header>| {
            let mut all = headers.clone();
            all.extend(header.as_ref().map(|header| ("authorization", header.0.clone())));
            all
        };
        let bytes = match payload {
            Payload::Stream(content, size) => return self.ask_once(net, to, &method, &with(&known), content, size),
            Payload::Bytes(bytes) => Some(bytes),
            Payload::None => None,
        };
        let again = || bytes.map_or(Payload::None, Payload::Bytes);
        let mut answer = net.exchange(&method, to, &with(&known), again())?;
        // Twice: what was known was too old, and what came for it without the secret may be too little.
        for _ in 0..2 {
            if answer.status() != StatusCode::UNAUTHORIZED {
                break;
            }
            let header = self.auth.answer_to(net, self.origin(), &answer, scope, known.as_ref())?;
            let Some(header) = header.filter(|header| known.as_ref() != Some(header)) else { break };
            let was_none = known.is_none();
            known = Some(header);
            answer = net.exchange(&method, to, &with(&known), again())?;
            if was_none {
                break;
            }
        }
        Ok(answer)
    }

    /// With what can be read only once. Where a token ends on the way, the same can be tried again with a new one.
    fn ask_once(
        &self,
        net: &Net,
        to: &Address,
        method: &Method,
        headers: &[(&'static str, String)],
        content: &mut dyn Read,
        size: u64,
    ) -> Result<Answer, Fault> {
        let mut counted = Counted { content, failed: None };
        let answer = net.exchange(method, to, headers, Payload::Stream(&mut counted, size));
        if let Some(why) = counted.failed {
            return Err(Fault::new(Kind::Protocol, format!("the content could not be read: {why}")));
        }
        let answer = answer?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.auth.forget() {
            return Err(Fault::new(Kind::Unavailable, format!("{} wants a new login meanwhile", self.host)));
        }
        Ok(answer)
    }

    /// What a refusal means, with the remedy for a login that was not enough.
    pub fn refused(&self, answer: Answer) -> Fault {
        auth::not_let_in(refusal(answer, self.origin()), &self.auth, &self.host)
    }
}

/// Authority, path and, where a scheme is given, the server.
fn mirror_parts(url: &str) -> Result<(String, String, Option<Origin>), String> {
    let address = match url.contains("://") {
        true => Address::parse(url)?,
        false => Address::parse(&format!("https://{url}"))?,
    };
    let path = address.path.trim_end_matches('/');
    let prefix = path.strip_suffix("/v2").unwrap_or(path).to_owned();
    if prefix.contains('?') {
        return Err(format!("{:?} has a query", tame(url, 200)));
    }
    Ok((address.origin.authority(), prefix, url.contains("://").then_some(address.origin)))
}

/// Remembers that it was the content that failed and not the connection.
struct Counted<'a> {
    content: &'a mut dyn Read,
    failed: Option<String>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.content.read(into).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(crate::say::words(e));
            }
        })
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
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or(Duration::ZERO))
}

/// The registry's own words (distribution-spec, "Error Codes").
fn complaint(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = value.get("errors")?.get(0)?;
    let text = |name: &str| first.get(name).and_then(|v| v.as_str()).filter(|s| !s.is_empty());
    text("message").or(text("code")).map(|said| tame(said, 300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_ask_again() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let far = retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(86_400));
        for bad in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(retry_after(bad), None, "{bad}");
        }
    }

    #[test]
    fn mirrors() {
        let parts = |url: &str| mirror_parts(url).map(|(authority, prefix, _)| (authority, prefix));
        let is = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(parts("m.example"), is("m.example", ""));
        assert_eq!(parts("https://m.example:5000/v2/"), is("m.example:5000", ""));
        assert_eq!(parts("http://m.example/cache/v2"), is("m.example", "/cache"));
        assert!(parts("ftp://x").is_err() && parts("m.example/?a=b").is_err());
    }

    #[test]
    fn words_of_a_registry() {
        let said = complaint(br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"}]}"#);
        assert_eq!(said.as_deref(), Some("no\\u{1b}[31m"));
        assert_eq!(complaint(br#"{"errors":[{"code":"DENIED"}]}"#).as_deref(), Some("DENIED"));
        assert_eq!(complaint(b"<html>"), None);
    }
}
