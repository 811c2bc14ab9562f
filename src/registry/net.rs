//! One exchange with a server: the connection, its time limits, and what can go wrong with it.

use super::{
    address::Address,
    error::{Fault, Kind, tame},
};
use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};
use ureq::{
    Agent, SendBody,
    http::{self, Method, Request, Response},
    tls::{RootCerts, TlsConfig},
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
}

impl Net {
    pub fn new() -> Net {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
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
        Net { agent: config.new_agent() }
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
        let answer = match payload {
            Payload::None => self.run(request, SendBody::none()),
            Payload::Bytes(mut bytes) => self.run(request, SendBody::from_reader(&mut bytes)),
            Payload::Stream(reader, _) => self.run(request, SendBody::from_reader(reader)),
        };
        answer.map_err(|e| fault_of(e, to))
    }

    fn run(&self, request: http::request::Builder, body: SendBody<'_>) -> Result<Answer, ureq::Error> {
        self.agent.run(request.body(body)?)
    }
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
        ureq::Error::Rustls(e) => Fault::new(Kind::Tls, format!("{server}: {e}")),
        ureq::Error::Tls(e) => Fault::new(Kind::Tls, format!("{server}: {e}")),
        e => Fault::protocol(format!("{server}: {}", tame(&e.to_string(), 200))),
    }
}

/// The same, of an error while a body is read, too.
pub(super) fn fault_of_io(e: &io::Error, server: &str) -> Fault {
    if let Some(tls) = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        return Fault::new(Kind::Tls, format!("{server}: {tls}"));
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
