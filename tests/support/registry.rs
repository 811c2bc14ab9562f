//! A registry for tests: a small HTTP/1.1 server on a loopback port of its own, everything in memory, and faults on
//! command.
//!
//! ```text
//! let registry = Registry::start();                       // 127.0.0.1:PORT; ends when it is dropped
//! registry.address()                                      // "127.0.0.1:PORT", the host of a reference
//! registry.put_blob(b"…")                                 // its digest: "sha256:…"
//! registry.put_manifest("app", "tag", TYPE, b"…")         // its digest; found by tag and by digest
//! registry.blob(&digest), registry.manifest("app", "tag") // what is there now: Option<Vec<u8>>, Option<(type, bytes)>
//! registry.fault("GET", "/blobs/", 2, Fault::Status(503, vec![]))   // the next 2 such requests fail
//! registry.requests()                                     // all that was asked: method, path with query, headers, body size
//! registry.count("GET", "/blobs/")                        // how many of them
//! registry.require(Access::…)                             // from now on 401 to those who are not let in
//! ```
//!
//! The same is to be found below `/cache/v2/`, as at a mirror with a path.
//!
//! A fault belongs to requests whose method is the given one (`"*"`: any) and whose path contains the given text; it is
//! used up after so many of them. Blobs are one pool for all repositories. Mounts: by default 201 where the blob is
//! there; [`Registry::refuse_mounts`] starts an upload instead. Uploads: POST, PUT with `digest=`; PATCH is 405.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, these headers, and an `errors[]` that says "told to".
    Status(u16, Vec<(String, String)>),
    /// This answer: status, headers, body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed after so many bytes of the body, whose length was announced.
    Cut(usize),
    /// So many bytes of the body, then silence for so long, then the end.
    Stall(usize, Duration),
    /// Range is ignored: 200 and the whole.
    NoRange,
    /// The body has these bytes instead.
    Instead(Vec<u8>),
    /// The answer comes so much later.
    Late(Duration),
}

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody.
    Open,
    /// `Basic`, with this user and password.
    Basic(String, String),
    /// `Bearer`: tokens from `/token` of the server itself, for everybody, or for this user and password only.
    Token {
        /// Who gets one; nobody in particular where there is none.
        user: Option<(String, String)>,
    },
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    /// By `REPOSITORY:TAG` and `REPOSITORY@DIGEST`.
    manifests: HashMap<String, (String, Vec<u8>)>,
    faults: Vec<(String, String, usize, Fault)>,
    asked: Vec<Asked>,
    access: Option<Access>,
    tokens: Vec<String>,
    refuse_mounts: bool,
}

struct Shared {
    address: SocketAddr,
    state: Mutex<State>,
    stop: AtomicBool,
    tokens: AtomicUsize,
}

/// The server; it ends when this is dropped.
pub struct Registry(Arc<Shared>);

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.0.address));
    }
}

/// `sha256:…` of the bytes, by the program itself: the tests have no other hash.
pub fn digest(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    format!("sha256:{}", hash.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
}

impl Registry {
    pub fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            state: Mutex::default(),
            stop: AtomicBool::new(false),
            tokens: AtomicUsize::new(0),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), one) = (stream, Arc::clone(&ours)) else { continue };
                thread::spawn(move || one.serve(stream));
            }
        });
        Registry(shared)
    }

    pub fn address(&self) -> String {
        self.0.address.to_string()
    }

    pub fn put_blob(&self, bytes: &[u8]) -> String {
        let name = digest(bytes);
        self.0.state().blobs.insert(name.clone(), bytes.to_vec());
        name
    }

    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        self.0.state().put_manifest(repository, tag, media_type, bytes)
    }

    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.0.state().blobs.get(digest).cloned()
    }

    pub fn manifest(&self, repository: &str, wanted: &str) -> Option<(String, Vec<u8>)> {
        self.0.state().manifests.get(&key(repository, wanted)).cloned()
    }

    pub fn fault(&self, method: &str, path: &str, times: usize, fault: Fault) {
        self.0.state().faults.push((method.into(), path.into(), times, fault));
    }

    pub fn require(&self, access: Access) {
        self.0.state().access = Some(access);
    }

    /// Tokens that were given out are good for nothing from now on.
    pub fn forget_tokens(&self) {
        self.0.state().tokens.clear();
    }

    pub fn refuse_mounts(&self) {
        self.0.state().refuse_mounts = true;
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.0.state().asked.clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.requests().iter().filter(|a| (method == "*" || a.method == method) && a.path.contains(path)).count()
    }
}

fn key(repository: &str, wanted: &str) -> String {
    format!("{repository}{}{wanted}", if wanted.contains(':') { '@' } else { ':' })
}

impl State {
    fn put_manifest(&mut self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let name = digest(bytes);
        for wanted in [tag, &name] {
            self.manifests.insert(key(repository, wanted), (media_type.to_owned(), bytes.to_vec()));
        }
        name
    }

    fn take_fault(&mut self, asked: &Asked) -> Option<Fault> {
        let fits = |(method, path, times, _): &(String, String, usize, Fault)| {
            *times > 0 && (method == "*" || *method == asked.method) && asked.path.contains(path.as_str())
        };
        let found = self.faults.iter_mut().find(|fault| fits(fault))?;
        found.2 -= 1;
        Some(found.3.clone())
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn reply(status: u16) -> Reply {
    Reply { status, headers: vec![], body: vec![] }
}

impl Reply {
    fn with(mut self, name: &str, value: impl Into<String>) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }
}

fn failure(status: u16, code: &str, message: &str) -> Reply {
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}");
    reply(status).with("content-type", "application/json").body(body)
}

fn read_request(input: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Asked { method, path, headers, body: vec![] })
}

/// The body, of a known length or in chunks.
fn read_body(input: &mut BufReader<TcpStream>, asked: &mut Asked) -> Option<()> {
    if asked.headers.get("expect").is_some_and(|e| e == "100-continue") {
        input.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if asked.headers.get("transfer-encoding").is_some_and(|e| e == "chunked") {
        loop {
            let mut size = String::new();
            input.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            input.read_exact(&mut chunk).ok()?;
            if size == 0 {
                return Some(());
            }
            asked.body.extend(&chunk[..size]);
        }
    }
    let length = asked.headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    input.read_exact(&mut asked.body).ok()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        // Whoever speaks TLS here learns at once that nobody else does.
        let mut first = [0];
        if stream.peek(&mut first).ok()? == 1 && first[0] == 0x16 {
            return stream.shutdown(Shutdown::Both).ok();
        }
        let mut output = stream.try_clone().ok()?;
        let mut input = BufReader::new(stream);
        while !self.stop.load(Ordering::SeqCst) {
            let mut asked = read_request(&mut input)?;
            let refused = self.refuse(&asked);
            if refused.is_none() || !asked.headers.contains_key("expect") {
                read_body(&mut input, &mut asked)?;
            }
            let fault = {
                let mut state = self.state();
                state.asked.push(asked.clone());
                state.take_fault(&asked)
            };
            let reply = refused.unwrap_or_else(|| self.answer(&asked, matches!(fault, Some(Fault::NoRange))));
            if !send(&mut output, &asked, reply, fault)? {
                break;
            }
        }
        output.shutdown(Shutdown::Both).ok()
    }

    fn refuse(&self, asked: &Asked) -> Option<Reply> {
        let path = asked.path.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/cache").unwrap_or(path);
        if !path.starts_with("/v2") {
            return None;
        }
        let given = asked.headers.get("authorization").cloned().unwrap_or_default();
        let state = self.state();
        let challenge = match state.access.clone()? {
            Access::Open => return None,
            Access::Basic(user, password) if given == basic(&user, &password) => return None,
            Access::Basic(..) => "Basic realm=\"stub\"".to_owned(),
            Access::Token { .. } if state.tokens.iter().any(|t| given == format!("Bearer {t}")) => return None,
            Access::Token { .. } => {
                format!("Bearer realm=\"http://{}/token\",service=\"stub\",scope=\"repository:any:pull\"", self.address)
            }
        };
        Some(failure(401, "UNAUTHORIZED", "authentication required").with("www-authenticate", challenge))
    }

    fn answer(&self, asked: &Asked, no_range: bool) -> Reply {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let path = path.strip_prefix("/cache").unwrap_or(path);
        if path == "/token" {
            return self.token(asked);
        }
        let Some(rest) = path.strip_prefix("/v2/") else { return failure(404, "NOT_FOUND", "no such page") };
        if rest.is_empty() {
            return reply(200).body("{}");
        }
        let parts = ["/manifests/", "/blobs/uploads/", "/blobs/"].iter().find_map(|part| {
            let at = rest.find(part)?;
            Some((&rest[..at], *part, &rest[at + part.len()..]))
        });
        match parts {
            Some((repository, "/manifests/", wanted)) => self.manifest(asked, repository, wanted),
            Some((repository, "/blobs/uploads/", id)) => self.upload(asked, repository, id, query),
            Some((_, _, name)) => self.blob(asked, name, no_range),
            None => failure(404, "NAME_UNKNOWN", "no such repository"),
        }
    }

    fn token(&self, asked: &Asked) -> Reply {
        let mut state = self.state();
        let given = asked.headers.get("authorization").cloned();
        if let Some(Access::Token { user }) = &state.access {
            let form = String::from_utf8_lossy(&asked.body).into_owned();
            let good = match (user, &given) {
                (_, None) if form.contains("grant_type=refresh_token") => form.contains("refresh_token=identity"),
                (None, None) => true,
                (Some((user, password)), Some(given)) => *given == basic(user, password),
                _ => false,
            };
            if !good {
                return failure(401, "UNAUTHORIZED", "wrong user or password");
            }
        }
        let token = format!("token-{}", self.tokens.fetch_add(1, Ordering::SeqCst));
        state.tokens.push(token.clone());
        reply(200).body(format!("{{\"token\":\"{token}\",\"expires_in\":300}}"))
    }

    fn manifest(&self, asked: &Asked, repository: &str, wanted: &str) -> Reply {
        let mut state = self.state();
        if asked.method == "PUT" {
            let media_type = asked.headers.get("content-type").cloned().unwrap_or_default();
            let name = state.put_manifest(repository, wanted, &media_type, &asked.body);
            return reply(201).with("docker-content-digest", name);
        }
        match state.manifests.get(&key(repository, wanted)) {
            None => failure(404, "MANIFEST_UNKNOWN", "manifest unknown"),
            Some((media_type, bytes)) => reply(200)
                .with("content-type", media_type.as_str())
                .with("docker-content-digest", digest(bytes))
                .body(bytes.as_slice()),
        }
    }

    fn blob(&self, asked: &Asked, name: &str, no_range: bool) -> Reply {
        let state = self.state();
        let Some(bytes) = state.blobs.get(name) else { return failure(404, "BLOB_UNKNOWN", "blob unknown") };
        let from = asked
            .headers
            .get("range")
            .filter(|_| !no_range)
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            Some(from) if from >= bytes.len() => failure(416, "RANGE_INVALID", "range invalid"),
            Some(from) => reply(206)
                .with("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
                .body(&bytes[from..]),
            None => reply(200).with("content-type", "application/octet-stream").body(bytes.as_slice()),
        }
    }

    fn upload(&self, asked: &Asked, repository: &str, id: &str, query: &str) -> Reply {
        let value = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(|value| value.replace("%3A", ":").replace("%2F", "/"))
        };
        let mut state = self.state();
        match asked.method.as_str() {
            "POST" => {
                if value("mount").is_some_and(|name| state.blobs.contains_key(&name)) && !state.refuse_mounts {
                    return reply(201);
                }
                reply(202).with("location", format!("/v2/{repository}/blobs/uploads/1?state=kept"))
            }
            "PUT" if id == "1" && value("state").as_deref() == Some("kept") => {
                let name = digest(&asked.body);
                if value("digest").as_deref() != Some(&name) {
                    return failure(400, "DIGEST_INVALID", "the digest is another one");
                }
                state.blobs.insert(name, asked.body.clone());
                reply(201)
            }
            "DELETE" => reply(204),
            _ => failure(405, "UNSUPPORTED", "unsupported"),
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// Whether the connection goes on.
fn send(output: &mut TcpStream, asked: &Asked, reply: Reply, fault: Option<Fault>) -> Option<bool> {
    let own = |status, headers: Vec<(String, String)>| Reply { headers, ..failure(status, "TOLD", "told to") };
    let mut cut = None;
    let reply = match fault {
        Some(Fault::Close) => return Some(false),
        Some(Fault::Status(status, headers)) => own(status, headers),
        Some(Fault::Answer(status, headers, body)) => Reply { status, headers, body },
        Some(Fault::Instead(body)) => reply.body(body),
        Some(Fault::Cut(at)) => {
            cut = Some((at, Duration::ZERO));
            reply
        }
        Some(Fault::Stall(at, pause)) => {
            cut = Some((at, pause));
            reply
        }
        Some(Fault::Late(pause)) => {
            thread::sleep(pause);
            reply
        }
        Some(Fault::NoRange) | None => reply,
    };
    let mut head = format!("HTTP/1.1 {} Stub\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    output.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if asked.method == "HEAD" {
        return Some(true);
    }
    if let Some((at, pause)) = cut {
        output.write_all(&reply.body[..at.min(reply.body.len())]).ok()?;
        thread::sleep(pause);
        return Some(false);
    }
    output.write_all(&reply.body).ok()?;
    Some(true)
}
