//! One exchange with a server: the connection, its time limits, and what can go wrong with it.

use super::{
    Settings,
    address::{Address, Origin},
    error::{Fault, Kind, tame},
    proxy,
    tls::{self, Tls},
};
use std::{
    collections::HashSet,
    io::{self, Read},
    time::Duration,
};
use ureq::{
    Agent, Proxy, ProxyProtocol, SendBody,
    http::{self, Method, Request, Response},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, TcpConnector},
    },
};

/// Until there is a connection, with TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// Without a byte from the server, or one that it takes. There is no limit for the whole: blobs are large.
const STALL: Duration = Duration::from_secs(60);
/// The headers of an answer, in bytes.
const MAX_HEADERS: usize = 64 << 10;

pub(super) type Answer = Response<ureq::Body>;

/// What is sent along.
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// It can be read only once.
    Stream(&'a mut dyn Read, u64),
}

/// What connections are made with.
#[derive(Debug)]
pub(super) struct Net {
    agent: Agent,
    /// `HOST:PORT` of those that may speak plain HTTP or have any certificate.
    insecure: HashSet<String>,
}

impl Net {
    /// For these registries, as references name them.
    ///
    /// # Errors
    /// The file of `--ca` cannot be used.
    pub fn new(settings: &Settings, hosts: &[&str]) -> anyhow::Result<Net> {
        let both = |host: &String| [Origin::parse(true, host), Origin::parse(false, host)];
        let insecure: HashSet<String> = settings.insecure.iter().flat_map(both).flatten().map(|o| key(&o)).collect();
        let mut extra = settings.ca.as_deref().map(tls::read).transpose()?.unwrap_or_default();
        extra.extend(hosts.iter().flat_map(|host| tls::for_host(host)));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("little-container/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .accept_encoding("identity")
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .timeout_recv_response(Some(STALL))
            .max_response_header_size(MAX_HEADERS)
            .build();
        let connector = ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default());
        let connector = connector.chain(Tls::new(extra, insecure.clone()));
        Ok(Net { agent: Agent::with_parts(config, connector, DefaultResolver::default()), insecure })
    }

    /// Whether the user has said that this server need not be who it says.
    pub fn is_insecure(&self, server: &Origin) -> bool {
        self.insecure.contains(&key(server))
    }

    /// Sends a request and waits for the head of the answer, whatever its status is.
    pub fn exchange(
        &self,
        method: &Method,
        to: &Address,
        headers: &[(&'static str, String)],
        payload: Payload<'_>,
    ) -> Result<Answer, Fault> {
        let mut request = Request::builder().method(method).uri(to.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let length = match &payload {
            Payload::None => None,
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Stream(_, size) => Some(*size),
        };
        if let Some(length) = length.or((method == Method::POST).then_some(0)) {
            request = request.header(http::header::CONTENT_LENGTH, length);
        }
        let proxy = proxy_for(&to.origin)?;
        let answer = match payload {
            Payload::None => self.run(request, SendBody::none(), proxy),
            Payload::Bytes(mut bytes) => self.run(request, SendBody::from_reader(&mut bytes), proxy),
            Payload::Stream(reader, _) => self.run(request, SendBody::from_reader(reader), proxy),
        };
        answer.map_err(|e| fault_of(e, to))
    }

    fn run(
        &self,
        request: http::request::Builder,
        body: SendBody<'_>,
        proxy: Option<Proxy>,
    ) -> Result<Answer, ureq::Error> {
        let request = request.body(body)?;
        match proxy {
            None => self.agent.run(request),
            proxy => self.agent.run(self.agent.configure_request(request).proxy(proxy).build()),
        }
    }
}

/// `HOST:PORT`
fn key(server: &Origin) -> String {
    format!("{}:{}", server.host, server.port)
}

fn proxy_for(server: &Origin) -> Result<Option<Proxy>, Fault> {
    let Some(address) = proxy::of(server, &|name| std::env::var(name).ok()) else { return Ok(None) };
    let proxy =
        Proxy::new(&address).ok().filter(|p| matches!(p.protocol(), ProxyProtocol::Http | ProxyProtocol::Https));
    // The address may hold a password.
    let wrong = || Fault {
        remedy: Some("set https_proxy to http://HOST:PORT, or name the registry in no_proxy".to_owned()),
        ..Fault::protocol(format!("the proxy that the environment names for {} is none of HTTP", server.authority()))
    };
    proxy.map(Some).ok_or_else(wrong)
}

/// What a failed exchange means.
pub(super) fn fault_of(e: ureq::Error, to: &Address) -> Fault {
    let server = to.origin.authority();
    let unavailable = |cause: String| Fault::new(Kind::Unavailable, cause);
    match e {
        ureq::Error::Io(e) => fault_of_io(&e, &server),
        ureq::Error::HostNotFound => unavailable(format!("no address is known for {server}")),
        ureq::Error::Timeout(what) => unavailable(format!("{server} was silent for too long ({what})")),
        ureq::Error::ConnectionFailed => unavailable(format!("no connection to {server}")),
        ureq::Error::Rustls(e) => Fault::new(Kind::Tls, format!("{server}: {}", tls::words(&e))),
        ureq::Error::ConnectProxyFailed(why) => {
            unavailable(format!("the proxy makes no connection to {server}: {}", tame(&why, 200)))
        }
        ureq::Error::Tls(e) => Fault::new(Kind::Tls, format!("{server}: {e}")),
        e => Fault::protocol(format!("{server}: {}", tame(&e.to_string(), 200))),
    }
}

/// The same, of an error while a body is read, too.
pub(super) fn fault_of_io(e: &io::Error, server: &str) -> Fault {
    if let Some(e) = tls::in_io(e) {
        return Fault::new(Kind::Tls, format!("{server}: {}", tls::words(e)));
    }
    Fault::new(Kind::Unavailable, format!("{server}: {}", tame(&crate::say::words(e), 200)))
}

/// A header of an answer, if it is text.
pub(super) fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// The whole body, if it has at most `max` bytes.
pub(super) fn body(answer: Answer, max: u64, server: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut reader = answer.into_body().into_with_config().limit(u64::MAX).reader().take(max + 1);
    reader.read_to_end(&mut bytes).map_err(|e| fault_of_io(&e, server))?;
    if bytes.len() as u64 > max {
        return Err(Fault::protocol(format!("{server} sent more than {max} bytes")));
    }
    Ok(bytes)
}
