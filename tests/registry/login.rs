//! Tokens, without a secret: with one, the program itself is asked (`tests/cli/login.md`, `tests/login.rs`).

use super::{MANIFEST, client, digest, kind};
use crate::stub::{Access, Fault, Registry, digest as hash};
use little_container::registry::Kind;

fn guarded() -> Registry {
    let registry = Registry::start();
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    registry.require(Access::Token { user: None });
    registry
}

#[test]
fn one_token_for_many_requests() {
    let registry = guarded();
    let name = registry.put_blob(b"0");
    let client = client(&registry);
    client.manifest("v1", &[MANIFEST]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.blob(&digest(&name), 0, 1).unwrap());
        }
    });
    assert_eq!(registry.count("*", "/token"), 1);
    let asked = registry.requests().into_iter().find(|a| a.path.starts_with("/token")).unwrap();
    assert_eq!(asked.path, "/token?service=stub&scope=repository%3Aapp%2Fone%3Apull");
    assert!(!asked.headers.contains_key("authorization"));
}

#[test]
fn a_token_that_ends_meanwhile_is_renewed() {
    let registry = guarded();
    let client = client(&registry);
    client.manifest("v1", &[MANIFEST]).unwrap();
    registry.forget_tokens();
    client.manifest("v1", &[MANIFEST]).unwrap();
    assert_eq!(registry.count("*", "/token"), 2);
}

#[test]
fn tokens_to_push_and_to_mount() {
    let registry = guarded();
    let client = client(&registry);
    let name = hash(b"0");
    client.upload_blob(&digest(&name), 1, &mut &b"0"[..]).unwrap();
    client.mount_blob(&digest(&name), "app/two").unwrap();
    let scopes: Vec<_> = registry.requests().into_iter().filter(|a| a.path.starts_with("/token")).collect();
    assert!(scopes[0].path.ends_with("scope=repository%3Aapp%2Fone%3Apull%2Cpush"));
    let both = "scope=repository%3Aapp%2Fone%3Apull%2Cpush&scope=repository%3Aapp%2Ftwo%3Apull";
    assert!(scopes[1].path.ends_with(both), "{}", scopes[1].path);
}

#[test]
fn token_servers_that_misbehave() {
    for (body, expected) in [
        (&b"{}"[..], Kind::Protocol),
        (b"{\"token\":\"a\\nb\"}", Kind::Protocol),
        (b"<html>", Kind::Protocol),
        (&vec![b' '; (1 << 20) + 1], Kind::Protocol),
    ] {
        let registry = guarded();
        registry.fault("GET", "/token", 1, Fault::Instead(body.to_vec()));
        assert_eq!(kind(&client(&registry).manifest("v1", &[MANIFEST]).unwrap_err()), expected);
    }
    let registry = guarded();
    registry.fault("GET", "/token", 1, Fault::Status(503, vec![]));
    assert_eq!(kind(&client(&registry).manifest("v1", &[MANIFEST]).unwrap_err()), Kind::Unavailable);
}

#[test]
fn challenges_that_are_none() {
    for (challenge, expected) in [
        ("Bearer realm=\"http://auth.example/token\"", Kind::Protocol),
        ("Bearer realm=\"ftp://127.0.0.1/token\"", Kind::Protocol),
        ("Bearer realm=\"", Kind::Protocol),
        ("Negotiate", Kind::Unauthorized),
        ("Basic realm=\"x\"", Kind::Unauthorized),
    ] {
        let registry = Registry::start();
        let headers = vec![("WWW-Authenticate".to_owned(), challenge.to_owned())];
        registry.fault("GET", "/manifests/", 1, Fault::Status(401, headers));
        let e = client(&registry).manifest("v1", &[MANIFEST]).unwrap_err();
        assert_eq!(kind(&e), expected, "{challenge}: {e}");
    }
}
