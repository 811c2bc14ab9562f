//! What callers use: one repository of one registry.

mod push;

use super::{
    MAX_MANIFEST, Settings,
    address::{Address, Origin},
    auth::Auth,
    credentials,
    error::{Error, Fault, Kind, tame},
    net::{self, Answer, Net, Payload},
    server::{Ask, Server, refusal},
};
use crate::{
    say,
    spec::{Digest, Reference, digest::Algorithm, reference::DOCKER},
};
use anyhow::Result;
use std::{fmt, io::Read, sync::atomic::Ordering};
use ureq::http::{Method, StatusCode};

/// The registry that [`crate::spec::reference::DOCKER`] means.
const DOCKER_SERVER: &str = "registry-1.docker.io";

/// How often an answer may point elsewhere.
const MAX_REDIRECTS: usize = 5;

/// One repository of one registry, and its mirrors. Threads may share it.
#[derive(Debug)]
pub struct Client {
    host: String,
    repository: String,
    /// The mirrors, then the registry itself.
    servers: Vec<Server>,
    offline: bool,
    net: Net,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// As sent.
    pub bytes: Vec<u8>,
    /// Its `Content-Type`, without parameters; empty where there was none.
    pub media_type: String,
    /// Of the bytes; it is the wanted one where one was wanted.
    pub digest: Digest,
}

/// A blob that is on its way. Nothing has looked at its content.
pub struct Body {
    /// The content. Its errors are connections that broke or fell silent.
    pub reader: Box<dyn Read + Send>,
    /// Where in the blob it begins, in bytes: what was asked for, or 0.
    pub start: u64,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("start", &self.start).finish_non_exhaustive()
    }
}

impl Client {
    /// For the repository of `reference`. Credentials are read here; the network is not used yet.
    ///
    /// # Errors
    /// A mirror's address or the file of certificates cannot be understood.
    pub fn new(reference: &Reference, settings: &Settings) -> Result<Client> {
        let host = reference.host.as_str();
        let known = |host: &str| Auth::new(credentials::find(host, &reference.repository));
        let bad = |why: String| Fault::protocol(why).told(host, format!("reach {host}"));
        let mut servers = Vec::new();
        for mirror in settings.mirrors.iter().filter(|mirror| mirror.host == host) {
            servers.push(
                Server::mirror(&mirror.url, &settings.insecure, known)
                    .map_err(|why| anyhow::anyhow!("use the mirror {} of {host}: {why}", tame(&mirror.url, 200)))?,
            );
        }
        servers.push(Server::new(host, server_name(host), &settings.insecure, known(host)).map_err(bad)?);
        let hosts: Vec<&str> = servers.iter().map(|server| server.host.as_str()).collect();
        let net = Net::new(settings, &hosts)?;
        let (host, repository) = (reference.host.clone(), reference.repository.clone());
        Ok(Client { host, repository, servers, offline: settings.offline, net })
    }

    /// Asks a registry whether it knows this user and password.
    ///
    /// # Errors
    /// An [`Error`]: [`Kind::Unauthorized`] where it does not.
    pub fn check_login(host: &str, user: &str, password: &str, settings: &Settings) -> Result<()> {
        let step = || format!("log in to {host}");
        let failed = |fault: Fault| fault.told(host, step());
        if settings.offline {
            return Err(failed(Fault::new(Kind::Offline, "the network is not to be used")).into());
        }
        let secret = credentials::Secret::Password { user: user.to_owned(), password: password.to_owned() };
        let auth = Auth::insisting(credentials::Found { secret, place: "the command line".to_owned() });
        let server = Server::new(host, server_name(host), &settings.insecure, auth);
        let server = server.map_err(|why| failed(Fault::protocol(why)))?;
        let net = Net::new(settings, &[host])?;
        let ask = Ask { method: Method::GET, headers: vec![], payload: Payload::None, scope: "" };
        let answer = server.settle(&net).and_then(|_| server.ask(&net, &server.at(""), ask)).map_err(|mut fault| {
            fault.remedy = fault.remedy.or((fault.kind == Kind::Unauthorized).then(wrong_login));
            failed(fault)
        })?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            _ => {
                let mut fault = refusal(answer, server.origin());
                fault.remedy = (fault.kind == Kind::Unauthorized).then(wrong_login);
                Err(failed(fault).into())
            }
        }
    }

    /// The registry, as in a reference.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in it.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// A manifest or an index by its tag or digest, in one of the media types `accept`: at most [`MAX_MANIFEST`] bytes,
    /// compared with the digest that was wanted, or the one that the registry names.
    ///
    /// # Errors
    /// An [`Error`].
    pub fn manifest(&self, wanted: &str, accept: &[&str]) -> Result<Document> {
        let path = format!("{}/manifests/{wanted}", self.repository);
        let headers = vec![("accept", accept.join(", "))];
        let step = || format!("get the manifest of {}", self.named(wanted));
        let document = self.each(step, |server| {
            let answer = self.get(server, Method::GET, &path, headers.clone())?;
            if answer.status() != StatusCode::OK {
                return Err(server.refused(answer));
            }
            document(answer, wanted, server.origin())
        })?;
        Ok(document)
    }

    /// The digest, the media type and the size in bytes of a manifest, where there is one.
    ///
    /// # Errors
    /// An [`Error`].
    pub fn head_manifest(&self, wanted: &str) -> Result<Option<(Digest, String, u64)>> {
        let path = format!("{}/manifests/{wanted}", self.repository);
        let step = || format!("look for the manifest of {}", self.named(wanted));
        let headers = vec![("accept", ALL_MANIFESTS.to_owned())];
        let found = self.each(step, |server| {
            let answer = self.get(server, Method::HEAD, &path, headers.clone())?;
            match answer.status() {
                StatusCode::OK => head(&answer, wanted).map(Some),
                _ => Err(server.refused(answer)),
            }
        });
        absent_is_none(found)
    }

    /// A blob of `size` bytes from the byte `from` on.
    ///
    /// # Errors
    /// An [`Error`].
    pub fn blob(&self, digest: &Digest, from: u64, size: u64) -> Result<Body> {
        let path = format!("{}/blobs/{digest}", self.repository);
        let step = || format!("get the blob {digest} of {}/{}", self.host, self.repository);
        let headers = if from > 0 { vec![("range", format!("bytes={from}-"))] } else { vec![] };
        let body = self.each(step, |server| {
            let answer = self.get(server, Method::GET, &path, headers.clone())?;
            let start = match answer.status() {
                StatusCode::OK => 0,
                StatusCode::PARTIAL_CONTENT => check_range(&answer, from, server.origin())?,
                _ => return Err(server.refused(answer)),
            };
            let reader = answer.into_body().into_with_config().limit(u64::MAX).reader();
            Ok(Body { reader: Box::new(reader.take(size.saturating_sub(start).saturating_add(1))), start })
        })?;
        Ok(body)
    }

    /// Whether the registry has a blob.
    ///
    /// # Errors
    /// An [`Error`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let path = format!("{}/blobs/{digest}", self.repository);
        let step = || format!("look for the blob {digest} in {}/{}", self.host, self.repository);
        let found = self.own(step, |server| {
            let answer = self.get(server, Method::HEAD, &path, vec![])?;
            if answer.status() == StatusCode::OK { Ok(Some(())) } else { Err(server.refused(answer)) }
        });
        absent_is_none(found).map(|found| found.is_some())
    }

    /// Asks no mirror any more: for when the content of a blob was not what its digest says.
    pub fn distrust_mirrors(&self) {
        let (_, mirrors) = self.servers.split_last().unzip();
        mirrors.into_iter().flatten().for_each(|mirror: &Server| mirror.is_out.store(true, Ordering::Relaxed));
    }

    fn named(&self, wanted: &str) -> String {
        let mark = if wanted.contains(':') { '@' } else { ':' };
        format!("{}/{}{mark}{wanted}", self.host, self.repository)
    }

    /// One server after the other, until one has it.
    fn each<T>(&self, step: impl Fn() -> String, ask: impl Fn(&Server) -> Result<T, Fault>) -> Result<T, Error> {
        let (own, mirrors) = self.servers.split_last().ok_or_else(|| self.failed(&step, nothing()))?;
        self.check_online(&step)?;
        for mirror in mirrors.iter().filter(|mirror| !mirror.is_out.load(Ordering::Relaxed)) {
            match ask(mirror) {
                Ok(found) => return Ok(found),
                Err(fault) => {
                    // It may lack one thing and have the next. One that is not there would be waited for each time.
                    let is_out = matches!(fault.kind, Kind::Unavailable | Kind::Tls | Kind::Protocol);
                    mirror.is_out.fetch_or(is_out, Ordering::Relaxed);
                    say::info(&format!("the mirror {} has failed: {}", mirror.origin(), fault.cause));
                }
            }
        }
        ask(own).map_err(|fault| self.failed(&step, fault))
    }

    /// The registry itself and no mirror.
    fn own<T>(&self, step: impl Fn() -> String, ask: impl FnOnce(&Server) -> Result<T, Fault>) -> Result<T, Error> {
        self.check_online(&step)?;
        let own = self.servers.last().ok_or_else(|| self.failed(&step, nothing()))?;
        ask(own).map_err(|fault| self.failed(&step, fault))
    }

    fn check_online(&self, step: &impl Fn() -> String) -> Result<(), Error> {
        let fault = || Fault::new(Kind::Offline, "the network is not to be used");
        if self.offline { Err(self.failed(step, fault())) } else { Ok(()) }
    }

    fn failed(&self, step: &impl Fn() -> String, fault: Fault) -> Error {
        fault.told(&self.host, step())
    }

    /// GET or HEAD, and wherever that leads.
    fn get(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Answer, Fault> {
        server.settle(&self.net)?;
        let mut to = server.at(path);
        let scope = format!("repository:{}:pull", self.repository);
        for _ in 0..=MAX_REDIRECTS {
            let ask = Ask { method: method.clone(), headers: headers.clone(), payload: Payload::None, scope: &scope };
            let answer = if to.origin == *server.origin() {
                server.ask(&self.net, &to, ask)?
            } else {
                self.net.exchange(&method, &to, &headers, Payload::None)?
            };
            let Some(next) = redirect(&answer, &to)? else { return Ok(answer) };
            to = next;
        }
        Err(Fault::protocol(format!("{} redirects more than {MAX_REDIRECTS} times", server.origin().authority())))
    }
}

/// Every media type that a manifest may have.
const ALL_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// The server behind the host of a reference.
fn server_name(host: &str) -> &str {
    if host == DOCKER { DOCKER_SERVER } else { host }
}

fn wrong_login() -> String {
    "check user and password; where there is a second factor, make an access token and take it for the password"
        .to_owned()
}

fn nothing() -> Fault {
    Fault::protocol("there is no server to ask")
}

fn absent_is_none<T>(found: Result<Option<T>, Error>) -> Result<Option<T>> {
    match found {
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        found => Ok(found?),
    }
}

/// Where an answer leads, if elsewhere; never from HTTPS to plain HTTP, but on this machine.
fn redirect(answer: &Answer, from: &Address) -> Result<Option<Address>, Fault> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let server = from.origin.authority();
    let location = net::header(answer, "location")
        .ok_or_else(|| Fault::protocol(format!("{server} redirects and does not say where to")))?;
    let to = from.join(location).map_err(|why| Fault::protocol(format!("{server} redirects to {why}")))?;
    if from.origin.https && !to.origin.https && !to.origin.is_loopback() {
        return Err(Fault::protocol(format!("{server} redirects from https to plain http: {}", to.origin)));
    }
    Ok(Some(to))
}

/// The byte at which a part begins, if it is the wanted one (RFC 9110, 14.4).
fn check_range(answer: &Answer, from: u64, server: &Origin) -> Result<u64, Fault> {
    let range = net::header(answer, "content-range").unwrap_or_default();
    let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next()?.parse().ok());
    if start == Some(from) {
        return Ok(from);
    }
    Err(Fault::protocol(format!("{} sends another part than the one that begins at byte {from}", server.authority())))
}

fn media_type(answer: &Answer) -> String {
    let whole = net::header(answer, "content-type").unwrap_or_default();
    whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The digest that is wanted, or that the registry says it sends.
fn promised(answer: &Answer, wanted: &str) -> Option<Digest> {
    wanted.parse().ok().or_else(|| net::header(answer, "docker-content-digest")?.parse().ok())
}

fn document(answer: Answer, wanted: &str, server: &Origin) -> Result<Document, Fault> {
    let (media_type, promised) = (media_type(&answer), promised(&answer, wanted));
    let bytes = net::body(answer, MAX_MANIFEST, &server.authority())?;
    let algorithm = promised.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let digest = digest_of(algorithm, &bytes)?;
    match promised {
        Some(promised) if promised != digest => Err(Fault::protocol(format!(
            "{} sent something else: its digest is {digest}, and {promised} was promised",
            server.authority()
        ))),
        _ => Ok(Document { bytes, media_type, digest }),
    }
}

fn head(answer: &Answer, wanted: &str) -> Result<(Digest, String, u64), Fault> {
    let digest = promised(answer, wanted).ok_or_else(|| Fault::protocol("the registry does not name the digest"))?;
    let size = net::header(answer, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    Ok((digest, media_type(answer), size))
}

/// The digest of `bytes`.
pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Result<Digest, Fault> {
    let with = match algorithm {
        Algorithm::Sha256 => &ring::digest::SHA256,
        Algorithm::Sha512 => &ring::digest::SHA512,
    };
    let hash = ring::digest::digest(with, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{hex}", algorithm.name()).parse().map_err(Fault::protocol)
}
