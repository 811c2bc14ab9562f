//! Mirrors: asked first, trusted with nothing, never written to.

use super::{MANIFEST, digest, reference};
use crate::stub::{Access, Fault, Registry};
use little_container::registry::{Client, Mirror, Settings};

fn through(mirrors: &[&Registry], registry: &Registry) -> Client {
    let host = registry.address();
    let mirror = |m: &&Registry| Mirror { host: host.clone(), url: format!("http://{}/cache/", m.address()) };
    let settings = Settings { mirrors: mirrors.iter().map(mirror).collect(), ..Settings::default() };
    Client::new(&reference(registry), &settings).unwrap()
}

#[test]
fn in_their_order_and_then_the_registry() {
    let (one, two, registry) = (Registry::start(), Registry::start(), Registry::start());
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    // A mirror that lies is passed over, too.
    two.fault("GET", "/manifests/", 1, Fault::Answer(200, vec![], b"[]".to_vec()));
    let client = through(&[&one, &two], &registry);
    let name = crate::stub::digest(b"{}");
    assert_eq!(client.manifest(&name, &[MANIFEST]).unwrap().bytes, b"{}");
    for asked in [&one, &two] {
        assert_eq!(asked.count("GET", &format!("/cache/v2/app/one/manifests/{name}")), 1);
    }
    assert_eq!(registry.count("GET", "/manifests/"), 1);
    // One that lacks something is asked again, one that lies is not.
    one.put_manifest("app/one", "v1", MANIFEST, b"{}");
    two.put_manifest("app/one", "v1", MANIFEST, b"{}");
    assert_eq!(client.manifest("v1", &[MANIFEST]).unwrap().bytes, b"{}");
    assert_eq!((one.count("GET", "/manifests/"), two.count("GET", "/manifests/")), (1 + 1, 1));
    client.distrust_mirrors();
    assert_eq!(client.manifest("v1", &[MANIFEST]).unwrap().bytes, b"{}");
    assert_eq!((one.count("GET", "/manifests/"), registry.count("GET", "/manifests/")), (2, 2));
}

#[test]
fn nothing_is_pushed_to_one() {
    let (mirror, registry) = (Registry::start(), Registry::start());
    let client = through(&[&mirror], &registry);
    let name = crate::stub::digest(b"0");
    client.upload_blob(&digest(&name), 1, &mut &b"0"[..]).unwrap();
    client.put_manifest("v1", MANIFEST, b"{}").unwrap();
    assert!(client.has_blob(&digest(&name)).unwrap());
    assert_eq!(mirror.requests().len(), 0);
}

#[test]
fn a_mirror_that_wants_a_login_is_passed_over() {
    let (mirror, registry) = (Registry::start(), Registry::start());
    mirror.require(Access::Basic("u".into(), "p".into()));
    registry.put_manifest("app/one", "v1", MANIFEST, b"{}");
    assert!(through(&[&mirror], &registry).manifest("v1", &[MANIFEST]).is_ok());
    assert!(mirror.requests().iter().all(|asked| !asked.headers.contains_key("authorization")));
}
