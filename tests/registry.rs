//! The client of registries against a registry that misbehaves on command.

#[path = "support/registry.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod stub;

use little_container::{
    registry::{Client, Error, Kind, Settings},
    spec::{Digest, Reference},
};
use std::io::Read;
use stub::{Fault, Registry};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn reference(registry: &Registry) -> Reference {
    format!("{}/app/one:v1", registry.address()).parse().unwrap()
}

fn client(registry: &Registry) -> Client {
    Client::new(&reference(registry), &Settings::default()).unwrap()
}

fn kind(e: &anyhow::Error) -> Kind {
    e.downcast_ref::<Error>().unwrap().kind.clone()
}

fn digest(text: &str) -> Digest {
    text.parse().unwrap()
}

fn all(client: &Client, name: &str, from: u64, size: u64) -> (u64, Vec<u8>) {
    let mut body = client.blob(&digest(name), from, size).unwrap();
    let mut bytes = vec![];
    body.reader.read_to_end(&mut bytes).unwrap();
    (body.start, bytes)
}

#[test]
fn manifests_by_tag_and_by_digest() {
    let registry = Registry::start();
    let name = registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    let client = client(&registry);
    for wanted in ["v1", &name] {
        let document = client.manifest(wanted, &[MANIFEST]).unwrap();
        assert_eq!((document.bytes.as_slice(), document.media_type.as_str()), (&b"{}"[..], MANIFEST));
        assert_eq!(document.digest.to_string(), name);
        let (head, media_type, size) = client.head_manifest(wanted).unwrap().unwrap();
        assert_eq!((head.to_string(), media_type.as_str(), size), (name.clone(), MANIFEST, 2));
    }
    assert_eq!(kind(&client.manifest("v2", &[MANIFEST]).unwrap_err()), Kind::NotFound);
    assert_eq!(client.head_manifest("v2").unwrap(), None);
}

#[test]
fn content_that_is_not_what_was_wanted() {
    let registry = Registry::start();
    let name = registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    for wanted in ["v1", &name] {
        registry.fault("GET", "/manifests/", 1, Fault::Instead(b"[]".to_vec()));
        let e = client(&registry).manifest(wanted, &[MANIFEST]).unwrap_err();
        assert_eq!(kind(&e), Kind::Protocol);
        assert!(e.to_string().contains("something else"), "{e}");
    }
}

#[test]
fn blobs_from_a_byte_on() {
    let registry = Registry::start();
    let name = registry.put_blob(b"0123456789");
    let client = client(&registry);
    assert_eq!(all(&client, &name, 0, 10), (0, b"0123456789".to_vec()));
    assert_eq!(all(&client, &name, 4, 10), (4, b"456789".to_vec()));
    registry.fault("GET", "/blobs/", 1, Fault::NoRange);
    assert_eq!(all(&client, &name, 4, 10), (0, b"0123456789".to_vec()));
    assert!(client.has_blob(&digest(&name)).unwrap());
    assert!(!client.has_blob(&digest(&stub::digest(b"other"))).unwrap());
}

#[test]
fn uploads() {
    let registry = Registry::start();
    let client = client(&registry);
    let content = vec![7; 3 << 20];
    let name = stub::digest(&content);
    client.upload_blob(&digest(&name), content.len() as u64, &mut content.as_slice()).unwrap();
    assert_eq!(registry.blob(&name).unwrap(), content);
    assert!(client.mount_blob(&digest(&name), "app/two").unwrap());
    registry.refuse_mounts();
    assert!(!client.mount_blob(&digest(&name), "app/two").unwrap());
    assert_eq!(registry.count("DELETE", "/blobs/uploads/1?state=kept"), 1);
    let put = client.put_manifest("v1", MANIFEST, b"{}").unwrap();
    assert_eq!(registry.manifest("app/one", "v1").unwrap(), (MANIFEST.to_owned(), b"{}".to_vec()));
    assert_eq!(put.to_string(), stub::digest(b"{}"));
}

#[path = "registry/login.rs"]
mod login;
#[path = "registry/mirrors.rs"]
mod mirrors;
#[path = "registry/places.rs"]
mod places;
#[path = "registry/trust.rs"]
mod trust;
#[path = "registry/wrong.rs"]
mod wrong;
