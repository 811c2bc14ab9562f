//! Certificates: whom the client trusts, and what it says of the others.

use super::{MANIFEST, kind};
use little_container::registry::{Client, Kind, Settings};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};

/// A certificate for localhost by an authority of its own, `ca.pem`; `None`, with the reason told, where that cannot be.
fn certificates(folder: &Path) -> Option<()> {
    let script = "set -e
        new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $new -keyout ca.key -out ca.pem -subj '/O=Example/CN=Example Test CA' -days 2
        openssl req $new -keyout key.pem -out csr -subj /CN=localhost
        echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext
        openssl x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile ext";
    let done = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    if done.status.success() {
        return Some(());
    }
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "needed here: openssl: {why}");
    eprintln!("skipped: openssl makes no certificates: {why}");
    None
}

/// A server of HTTPS that answers everything with a manifest; its port.
fn server(folder: &Path) -> u16 {
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut input = BufReader::new(StreamOwned::new(connection, stream));
            let mut line = String::new();
            while input.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MANIFEST}\r\ncontent-length: 2\r\n");
            let _ = input.get_mut().write_all(format!("{head}connection: close\r\n\r\n{{}}").as_bytes());
            input.get_mut().conn.send_close_notify();
            let _ = input.get_mut().flush();
        }
    });
    port
}

#[test]
fn an_authority_of_one_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = certificates(folder.path()) else { return };
    let port = server(folder.path());
    let ask = |host: &str, settings: &Settings| {
        let reference = format!("{host}:{port}/app/one:v1").parse().unwrap();
        Client::new(&reference, settings)?.manifest("v1", &[MANIFEST])
    };
    let e = ask("localhost", &Settings::default()).unwrap_err();
    assert_eq!(kind(&e), Kind::Tls);
    let text = e.to_string();
    assert!(text.contains("issued by \"Example Test CA\"") && text.contains("--ca"), "{text}");

    let trusting = Settings { ca: Some(folder.path().join("ca.pem")), ..Settings::default() };
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(ask(host, &trusting).unwrap().bytes, b"{}");
    }
    // It is right for no other name.
    let e = ask("127.0.0.2", &trusting).unwrap_err();
    assert!(kind(&e) == Kind::Unavailable || e.to_string().contains("another name"), "{e}");

    let lax = Settings { insecure: vec![format!("localhost:{port}")], ..Settings::default() };
    assert_eq!(ask("localhost", &lax).unwrap().bytes, b"{}");

    let none = folder.path().join("none.pem");
    fs::write(&none, "nothing").unwrap();
    let e = ask("localhost", &Settings { ca: Some(none), ..Settings::default() }).unwrap_err();
    assert!(e.to_string().contains("none.pem"), "{e}");
}
