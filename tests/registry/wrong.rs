//! What goes wrong: refusals, redirects, silence.

use super::{MANIFEST, client, digest, kind, reference};
use crate::stub::{self, Fault, Registry};
use little_container::registry::{Client, Error, Kind, MAX_MANIFEST, Settings};
use std::{io::Read, time::Duration};

fn header(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.into(), value.into())]
}

#[test]
fn statuses_and_the_words_of_the_registry() {
    let registry = Registry::start();
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    let client = client(&registry);
    for (status, headers, expected) in [
        (403, vec![], Kind::Denied),
        (401, vec![], Kind::Unauthorized),
        (500, vec![], Kind::Unavailable),
        (503, vec![], Kind::Unavailable),
        (429, vec![], Kind::TooManyRequests { retry_after: None }),
        (429, header("Retry-After", "7"), Kind::TooManyRequests { retry_after: Some(Duration::from_secs(7)) }),
        (418, vec![], Kind::Protocol),
    ] {
        registry.fault("GET", "/manifests/", 1, Fault::Status(status, headers));
        let e = client.manifest("v1", &[MANIFEST]).unwrap_err();
        assert_eq!(kind(&e), expected);
        let text = e.to_string();
        assert!(text.contains("told to") && text.contains(&status.to_string()), "{text}");
        assert!(text.contains("\n  cause: ") && text.contains("app/one:v1"), "{text}");
        let transient = e.downcast_ref::<Error>().unwrap().is_transient();
        assert_eq!(transient, matches!(status, 429 | 500 | 503));
    }
}

#[test]
fn nobody_there_and_offline() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference = format!("{closed}/app/one:v1").parse().unwrap();
    let e = Client::new(&reference, &Settings::default()).unwrap().manifest("v1", &[]).unwrap_err();
    assert_eq!(kind(&e), Kind::Unavailable);
    let offline = Settings { offline: true, ..Settings::default() };
    let e = Client::new(&reference, &offline).unwrap().manifest("v1", &[]).unwrap_err();
    assert_eq!(kind(&e), Kind::Offline);
    assert!(!e.downcast_ref::<Error>().unwrap().is_transient());
}

#[test]
fn connections_that_break() {
    let registry = Registry::start();
    let name = registry.put_blob(&[1; 1000]);
    let client = client(&registry);
    registry.fault("GET", "/blobs/", 1, Fault::Cut(400));
    let mut bytes = vec![];
    let mut body = client.blob(&digest(&name), 0, 1000).unwrap();
    assert!(body.reader.read_to_end(&mut bytes).is_err());
    assert_eq!(bytes.len(), 400);
    registry.fault("GET", "/blobs/", 1, Fault::Close);
    let e = client.blob(&digest(&name), 0, 1000).unwrap_err();
    assert_eq!(kind(&e), Kind::Unavailable, "{e}");
}

#[test]
fn a_manifest_has_a_largest_size() {
    let registry = Registry::start();
    registry.put_manifest("app/one", "v1", MANIFEST, &vec![b' '; MAX_MANIFEST as usize + 1]);
    assert_eq!(kind(&client(&registry).manifest("v1", &[MANIFEST]).unwrap_err()), Kind::Protocol);
}

#[test]
fn a_part_that_begins_elsewhere() {
    let registry = Registry::start();
    let name = registry.put_blob(b"0123456789");
    let wrong = Fault::Answer(206, header("Content-Range", "bytes 3-9/10"), b"3456789".to_vec());
    registry.fault("GET", "/blobs/", 1, wrong);
    assert_eq!(kind(&client(&registry).blob(&digest(&name), 4, 10).unwrap_err()), Kind::Protocol);
}

#[test]
fn redirects_leave_the_secret_behind() {
    let (registry, storage) = (Registry::start(), Registry::start());
    registry.require(stub::Access::Token { user: None });
    let name = storage.put_blob(b"0123456789");
    let there = format!("http://{}/v2/any/blobs/{name}?signature=x%2B", storage.address());
    registry.fault("GET", "/blobs/", 9, Fault::Status(307, header("Location", &there)));
    let client = client(&registry);
    assert!(!client.has_blob(&digest(&name)).unwrap());
    let mut body = client.blob(&digest(&name), 2, 10).unwrap();
    let mut bytes = vec![];
    body.reader.read_to_end(&mut bytes).unwrap();
    assert_eq!((body.start, bytes.as_slice()), (2, &b"23456789"[..]));
    let here = registry.requests().into_iter().filter(|a| a.path.contains("/blobs/")).collect::<Vec<_>>();
    assert!(here.last().unwrap().headers["authorization"].starts_with("Bearer "));
    let asked = &storage.requests()[0];
    assert!(!asked.headers.contains_key("authorization"));
    assert_eq!(asked.headers["range"], "bytes=2-");
    assert!(asked.path.ends_with("?signature=x%2B"));
    assert!(asked.headers["user-agent"].starts_with("little-container/"));
}

#[test]
fn redirects_end() {
    let registry = Registry::start();
    let name = registry.put_blob(b"0");
    let round = format!("/v2/app/one/blobs/{name}");
    registry.fault("GET", "/blobs/", 99, Fault::Status(302, header("Location", &round)));
    assert_eq!(kind(&client(&registry).blob(&digest(&name), 0, 1).unwrap_err()), Kind::Protocol);
    assert_eq!(registry.count("GET", "/blobs/"), 6);
    let registry = Registry::start();
    registry.fault("GET", "/blobs/", 1, Fault::Status(302, header("Location", "file:///etc/passwd")));
    assert_eq!(kind(&client(&registry).blob(&digest(&name), 0, 1).unwrap_err()), Kind::Protocol);
}

#[test]
fn text_of_strangers_is_tamed() {
    let registry = Registry::start();
    let body = br#"{"errors":[{"message":"\u001b[2Jgone"}]}"#.to_vec();
    registry.fault("GET", "/manifests/", 1, Fault::Answer(404, vec![], body));
    let e = client(&registry).manifest("v1", &[]).unwrap_err().to_string();
    assert!(e.contains("\\u{1b}[2Jgone") && !e.contains('\u{1b}'), "{e}");
    assert!(e.contains(&reference(&registry).host));
}
