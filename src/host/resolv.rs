//! Which resolv.conf a container gets (resolv.conf(5)).

use crate::spec::{Network, Raw};
use std::fs;

/// Where systemd-resolved writes the servers behind its stub on 127.0.0.53.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The machine's own with the machine's network. In a network of its own no server on the machine's loopback can be reached,
/// so that the servers behind systemd-resolved's stub take its place.
pub fn content(network: Network) -> Raw {
    let own = fs::read("/etc/resolv.conf").unwrap_or_default();
    if network == Network::Host {
        return own.into();
    }
    choose(own, || fs::read(UPSTREAM).ok()).into()
}

fn choose(own: Vec<u8>, upstream: impl Fn() -> Option<Vec<u8>>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&own);
    let servers: Vec<&str> = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver")).map(str::trim).collect();
    let all_local = !servers.is_empty() && servers.iter().all(|s| s.starts_with("127.") || *s == "::1");
    if all_local { upstream().unwrap_or(own) } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_is_left_out_where_it_cannot_be_reached() {
        let upstream = || Some(b"nameserver 192.0.2.1\n".to_vec());
        assert_eq!(choose(b"nameserver 127.0.0.53\n".to_vec(), upstream), b"nameserver 192.0.2.1\n");
        let mixed = b"nameserver 127.0.0.1\nnameserver 192.0.2.9\n".to_vec();
        assert_eq!(choose(mixed.clone(), upstream), mixed);
        assert_eq!(choose(b"nameserver 127.0.0.53\n".to_vec(), || None), b"nameserver 127.0.0.53\n");
    }
}
