//! Whom to trust: the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set), those of `--ca`, and
//! those that docker and podman trust for a host: `/etc/docker/certs.d/HOST/*.crt`, `/etc/containers/certs.d/HOST/*.crt`,
//! `~/.config/containers/certs.d/HOST/*.crt`. Read when the first connection needs them.

mod issuer;

use super::error::tame;
use anyhow::{Context, Result, bail};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    collections::HashSet,
    env, fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// The largest file of certificates, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Makes connections into TLS connections where the address is one of HTTPS.
pub(super) struct Tls {
    extra: Vec<CertificateDer<'static>>,
    /// `HOST:PORT` of those that may have any certificate.
    lax: HashSet<String>,
    config: [OnceLock<Result<Arc<ClientConfig>, Error>>; 2],
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("extra", &self.extra.len()).field("lax", &self.lax).finish_non_exhaustive()
    }
}

impl Tls {
    pub fn new(extra: Vec<CertificateDer<'static>>, lax: HashSet<String>) -> Tls {
        Tls { extra, lax, config: [OnceLock::new(), OnceLock::new()] }
    }

    fn config(&self, lax: bool) -> Result<Arc<ClientConfig>, Error> {
        self.config[usize::from(lax)].get_or_init(|| self.make(lax)).clone()
    }

    fn make(&self, lax: bool) -> Result<Arc<ClientConfig>, Error> {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let inner = if lax {
            None
        } else {
            let extra = self.extra.iter().cloned();
            Some(rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&ring))?)
        };
        let schemes = ring.signature_verification_algorithms.supported_schemes();
        let config = ClientConfig::builder_with_provider(ring)
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { inner, schemes }))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, Secured>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        let port = details.uri.port_u16().unwrap_or(443);
        let config = self.config(self.lax.contains(&format!("{host}:{port}"))).map_err(ureq::Error::Rustls)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(bare).map_err(|_| ureq::Error::Tls("the host has a name that none may have"))?;
        let mut connection = ClientConnection::new(config, name).map_err(ureq::Error::Rustls)?;
        let boxed: Box<dyn Transport> = Box::new(transport);
        let mut socket = TransportAdapter::new(boxed, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(Secured { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

/// A connection with TLS.
pub(super) struct Secured {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured")
    }
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        self.stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// The system's judgement, with the name of who signed what was refused.
#[derive(Debug)]
struct Verifier {
    /// `None`: any certificate is good.
    inner: Option<rustls_platform_verifier::Verifier>,
    schemes: Vec<SignatureScheme>,
}

/// A certificate that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    why: String,
    issuer: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        self.issuer.as_ref().map_or(Ok(()), |issuer| write!(f, "; it was issued by {issuer:?}"))
    }
}

impl std::error::Error for Refused {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map_err(|e| {
            let refused = Refused { why: words(&e), issuer: issuer::of(end_entity).map(|name| tame(&name, 200)) };
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let any = || Ok(HandshakeSignatureValid::assertion());
        self.inner.as_ref().map_or_else(any, |inner| inner.verify_tls12_signature(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let any = || Ok(HandshakeSignatureValid::assertion());
        self.inner.as_ref().map_or_else(any, |inner| inner.verify_tls13_signature(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// What a TLS error means.
pub(super) fn words(e: &Error) -> String {
    let Error::InvalidCertificate(certificate) = e else { return tame(&e.to_string(), 200) };
    match certificate {
        CertificateError::UnknownIssuer => "its certificate was issued by somebody whom nobody here trusts".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is the clock right?".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<Refused>() {
            Some(refused) => refused.to_string(),
            None => tame(&e.to_string(), 200),
        },
        _ => tame(&e.to_string(), 200),
    }
}

/// The certificates of a file (PEM).
///
/// # Errors
/// It cannot be read, or has none.
pub(super) fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let step = || format!("read the certificates in {}", file.display());
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|open| open.take(MAX_FILE).read_to_end(&mut bytes)).with_context(step)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let all = all.map_err(|e| anyhow::anyhow!("{e}")).with_context(step)?;
    if all.is_empty() {
        bail!("{}: there is none (PEM, \"-----BEGIN CERTIFICATE-----\")", step());
    }
    Ok(all)
}

/// What docker and podman trust for a host. A file that cannot be used is told and passed over.
pub(super) fn for_host(host: &str) -> Vec<CertificateDer<'static>> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let own = config.map(|config| config.join("containers/certs.d"));
    let all = [PathBuf::from("/etc/docker/certs.d"), "/etc/containers/certs.d".into()].into_iter().chain(own);
    let mut files = Vec::new();
    for folder in all {
        let entries = fs::read_dir(folder.join(host)).into_iter().flatten().flatten();
        files.extend(entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "crt")));
    }
    let read = |file: PathBuf| {
        read(&file).unwrap_or_else(|e| {
            crate::say::note(&format!("{} is passed over: {}", file.display(), crate::say::chain(&e)));
            vec![]
        })
    };
    files.into_iter().flat_map(read).collect()
}

/// The TLS error in an error of a connection.
pub(super) fn in_io(e: &io::Error) -> Option<&Error> {
    e.get_ref()?.downcast_ref()
}
