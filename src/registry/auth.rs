//! Being let in: from a challenge to what the `Authorization` header says (docker's token authentication, and Basic).
//!
//! Where secrets go: to the registry itself, and to the token server it names, if the registry named it over a connection
//! that can be trusted: HTTPS with a certificate that was checked, this machine, or a host that the user has called
//! insecure and so accepts. A token server must speak HTTPS, or be on this machine, or be the insecure host itself. A
//! mirror is a registry of its own here, with its own secrets.

use super::{
    address::{Address, Origin, escaped},
    challenge::{self, Challenge},
    credentials::{Found, Secret},
    error::{Fault, Kind, tame},
    net::{self, Answer, Net, Payload},
    server::refusal,
};
use crate::say;
use base64::Engine as _;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use ureq::http::{Method, StatusCode};

/// The largest answer of a token server, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// The longest token, in bytes; it has to go into a header.
const MAX_TOKEN: usize = 48 << 10;
/// How long a token is good where nothing is said (docker's specification), and the least that is believed.
const LEAST: Duration = Duration::from_secs(60);
/// It is renewed so long before its end.
const EARLY: Duration = Duration::from_secs(10);

/// What is known of how to be let in by one server.
#[derive(Debug, Default)]
pub(super) struct Auth {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Option<Found>,
    /// Whether it is the secret that is in question, so that without it there is nothing to ask for.
    insist: bool,
    /// The value of the header by scope, and until when it is good.
    headers: HashMap<String, (Header, Option<Instant>)>,
}

/// The value of `Authorization`, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Header(pub String);

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Header(…)")
    }
}

impl Auth {
    pub fn new(found: Option<Found>) -> Auth {
        Auth { state: Mutex::new(State { found, ..State::default() }) }
    }

    /// To find out whether a secret is good.
    pub fn insisting(found: Found) -> Auth {
        Auth { state: Mutex::new(State { found: Some(found), insist: true, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens are asked for anew from now on; whether there were any.
    pub fn forget(&self) -> bool {
        let mut state = self.state();
        let tokens = state.headers.values().any(|(_, end)| end.is_some());
        state.headers.clear();
        tokens
    }

    /// Where the secret comes from that is in use.
    pub fn place(&self) -> Option<String> {
        self.state().found.as_ref().map(|found| found.place.clone())
    }

    /// What the header says for a scope, if that is known and good for a while.
    pub fn header(&self, scope: &str) -> Option<Header> {
        let state = self.state();
        let (header, end) = state.headers.get(scope)?;
        end.is_none_or(|end| Instant::now() < end).then(|| header.clone())
    }

    /// What the header must say, after an answer that was a 401 to `refused`. Threads that ask at once get the same.
    pub fn answer_to(
        &self,
        net: &Net,
        server: &Origin,
        answer: &Answer,
        scope: &str,
        refused: Option<&Header>,
    ) -> Result<Option<Header>, Fault> {
        let mut state = self.state();
        if let Some((header, _)) = state.headers.get(scope)
            && Some(header) != refused
        {
            return Ok(Some(header.clone()));
        }
        state.headers.remove(scope);
        let challenges = challenges(answer, server)?;
        if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer") {
            let (header, good) = state.token(net, server, bearer, scope)?;
            let end = Instant::now() + good.max(LEAST).saturating_sub(EARLY);
            state.headers.insert(scope.to_owned(), (header.clone(), Some(end)));
            return Ok(Some(header));
        }
        let basic = challenges.iter().any(|c| c.scheme == "basic");
        let Some(Found { secret: Secret::Password { user, password }, .. }) = state.found.as_ref().filter(|_| basic)
        else {
            return Ok(None);
        };
        let header = basic_header(user, password);
        if !may_have_secrets(net, server) || refused == Some(&header) {
            return Ok(None);
        }
        state.headers.insert(scope.to_owned(), (header.clone(), None));
        Ok(Some(header))
    }
}

fn basic_header(user: &str, password: &str) -> Header {
    Header(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))))
}

fn challenges(answer: &Answer, server: &Origin) -> Result<Vec<Challenge>, Fault> {
    let mut all = Vec::new();
    for value in answer.headers().get_all("www-authenticate").iter().take(16) {
        let text = value.to_str().map_err(|_| "it is no text".to_owned());
        let read = text.and_then(challenge::parse);
        all.extend(read.map_err(|why| {
            Fault::protocol(format!(
                "{} asks for a login in a way that cannot be understood: {why}",
                server.authority()
            ))
        })?);
    }
    Ok(all)
}

/// Whether secrets may go to a server, or by its word.
fn may_have_secrets(net: &Net, server: &Origin) -> bool {
    server.is_loopback() || net.is_insecure(server) || server.https
}

/// The token server that a challenge names.
fn realm(net: &Net, server: &Origin, bearer: &Challenge) -> Result<Address, Fault> {
    let name = bearer.param("realm").unwrap_or_default();
    let realm = Address::parse(name)
        .map_err(|why| Fault::protocol(format!("{} names a token server that cannot be: {why}", server.authority())))?;
    let own = net.is_insecure(server) && realm.origin.host == server.host;
    if realm.origin.https || realm.origin.is_loopback() || net.is_insecure(&realm.origin) || own {
        return Ok(realm);
    }
    Err(Fault::protocol(format!("{} names a token server without https: {}", server.authority(), realm.origin)))
}

impl State {
    /// A token with the secret, if there is one; where that is refused, one without, once and for all.
    fn token(
        &mut self,
        net: &Net,
        server: &Origin,
        bearer: &Challenge,
        scope: &str,
    ) -> Result<(Header, Duration), Fault> {
        let realm = realm(net, server, bearer)?;
        let scope = if scope.is_empty() { bearer.param("scope").unwrap_or_default() } else { scope };
        let service = bearer.param("service").unwrap_or_default();
        let found = self.found.clone().filter(|_| may_have_secrets(net, server));
        let answer = ask_for_token(net, &realm, service, scope, found.as_ref().map(|found| &found.secret))?;
        let refused =
            matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST);
        let answer = match found {
            Some(found) if refused && !self.insist => {
                say::note(&format!(
                    "{} does not accept the login from {}; going on without one",
                    server.authority(),
                    found.place
                ));
                self.found = None;
                ask_for_token(net, &realm, service, scope, None)?
            }
            _ => answer,
        };
        if answer.status() != StatusCode::OK {
            return Err(refusal(answer, &realm.origin));
        }
        read_token(answer, &realm.origin)
    }
}

fn ask_for_token(
    net: &Net,
    realm: &Address,
    service: &str,
    scope: &str,
    secret: Option<&Secret>,
) -> Result<Answer, Fault> {
    if let Some(Secret::Identity(token)) = secret {
        let form = [
            ("grant_type", "refresh_token"),
            ("service", service),
            ("client_id", "little-container"),
            ("scope", scope),
            ("refresh_token", token),
        ];
        let body = form.map(|(name, value)| format!("{name}={}", escaped(value))).join("&");
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        return net.exchange(&Method::POST, realm, &headers, Payload::Bytes(body.as_bytes()));
    }
    let mut to = realm.clone();
    if !service.is_empty() {
        to = to.with_query("service", service);
    }
    for one in scope.split(' ').filter(|one| !one.is_empty()) {
        to = to.with_query("scope", one);
    }
    let mut headers = vec![];
    if let Some(Secret::Password { user, password }) = secret {
        to = to.with_query("account", user);
        headers.push(("authorization", basic_header(user, password).0));
    }
    net.exchange(&Method::GET, &to, &headers, Payload::None)
}

#[derive(serde::Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn read_token(answer: Answer, server: &Origin) -> Result<(Header, Duration), Fault> {
    let bytes = net::body(answer, MAX_ANSWER, &server.authority())?;
    let wrong = |what: &str| Fault::protocol(format!("the token server {} sent {what}", server.authority()));
    let granted: Granted = serde_json::from_slice(&bytes).map_err(|_| wrong("no answer that can be understood"))?;
    let token = granted.token.or(granted.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| wrong("no token"))?;
    if token.len() > MAX_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong("a token that no header can hold"));
    }
    Ok((Header(format!("Bearer {token}")), Duration::from_secs(granted.expires_in.unwrap_or(0).min(86_400))))
}

/// What a 401 means that is left after all this.
pub(super) fn not_let_in(mut fault: Fault, auth: &Auth, host: &str) -> Fault {
    if fault.kind == Kind::Unauthorized
        && let Some(place) = auth.place()
    {
        let place = tame(&place, 300);
        fault.remedy =
            Some(format!("the login from {place} was not enough; log in again with: little-container login {host}"));
    }
    fault
}
