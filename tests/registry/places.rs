//! What the environment says: secrets in files, and proxies. The environment of a process is set when it starts, so these
//! tests start their own program again with it.

use super::{MANIFEST, reference};
use crate::stub::{Access, Registry};
use little_container::{
    registry::{Client, Settings},
    spec::Reference,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    thread,
};

/// What the started program does: gets a manifest.
#[test]
fn child() {
    let Ok(name) = std::env::var("PULL") else { return };
    let reference: Reference = name.parse().unwrap();
    match Client::new(&reference, &Settings::default()).unwrap().manifest("v1", &[MANIFEST]) {
        Ok(_) => eprintln!("got it"),
        Err(e) => eprintln!("{e}"),
    }
}

/// What it says.
fn pull(name: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["places::child", "--exact", "--nocapture"]).env_clear().env("PULL", name);
    let out = command.envs(variables.iter().copied()).output().unwrap();
    String::from_utf8_lossy(&out.stderr).into_owned()
}

fn with_secret(access: Access, entry: &str) -> (Registry, String) {
    let registry = Registry::start();
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    registry.require(access);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    fs::write(&file, format!("{{\"auths\":{{\"{}/app\":{entry}}}}}", registry.address())).unwrap();
    let file = file.display().to_string();
    let said = pull(&reference(&registry).to_string(), &[("REGISTRY_AUTH_FILE", &file)]);
    (registry, said)
}

/// `me:s3cret`
const RIGHT: &str = "{\"auth\":\"bWU6czNjcmV0\"}";

#[test]
fn a_secret_in_a_file() {
    let user = Some(("me".to_owned(), "s3cret".to_owned()));
    let (registry, said) = with_secret(Access::Token { user: user.clone() }, RIGHT);
    assert!(said.contains("got it"), "{said}");
    assert!(registry.requests().iter().any(|asked| asked.path.contains("&account=me")));
    let (_, said) = with_secret(Access::Basic("me".into(), "s3cret".into()), RIGHT);
    assert!(said.contains("got it"), "{said}");
    let (registry, said) = with_secret(Access::Token { user }, "{\"identitytoken\":\"identity\"}");
    assert!(said.contains("got it"), "{said}");
    assert_eq!(registry.count("POST", "/token"), 1);
}

#[test]
fn a_secret_that_is_not_accepted() {
    // Whoever has no name gets a token; who has the wrong one does not.
    let (registry, said) = with_secret(Access::Token { user: None }, RIGHT);
    assert!(said.contains("does not accept the login from") && said.contains("auth.json"), "{said}");
    assert!(said.contains("got it") && !said.contains("s3cret"), "{said}");
    assert_eq!(registry.count("GET", "/token"), 2);
    let (_, said) = with_secret(Access::Basic("me".into(), "new".into()), RIGHT);
    assert!(said.contains("the login from") && said.contains("auth.json was not enough"), "{said}");
}

#[test]
fn a_proxy_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
        line
    });
    let said = pull("registry.test/app/one:v1", &[("https_proxy", &address), ("HTTP_PROXY", "http://127.0.0.1:1")]);
    assert_eq!(asked.join().unwrap(), "CONNECT registry.test:443 HTTP/1.1\r\n");
    assert!(said.contains("proxy") && said.contains("registry.test"), "{said}");
    let said = pull("registry.test/app/one:v1", &[("https_proxy", "socks5://u:s3cret@127.0.0.1:1")]);
    assert!(said.contains("none of HTTP") && !said.contains("s3cret"), "{said}");
    let registry = Registry::start();
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    let said = pull(&reference(&registry).to_string(), &[("http_proxy", "http://127.0.0.1:1")]);
    assert!(said.contains("got it"), "{said}");
}
