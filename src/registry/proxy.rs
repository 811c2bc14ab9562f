//! Which proxy the environment asks for, as curl(1) reads it: by the scheme of the address `https_proxy` or `http_proxy`,
//! then `all_proxy`, each in lower case first, then in upper case (`HTTP_PROXY` not in a CGI program, where it is a header
//! of a stranger's). `no_proxy` names hosts that go direct: `*`, a host and all below it, `HOST:PORT`, an address, or a
//! range of addresses. This machine (`localhost`, 127.0.0.0/8, `::1`) always goes direct: a proxy elsewhere cannot mean it.

use super::address::Origin;
use std::net::IpAddr;

/// The environment.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The address of the proxy for a server, if it has one.
pub(super) fn of(server: &Origin, variable: Variables<'_>) -> Option<String> {
    if server.is_loopback() {
        return None;
    }
    let set = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    let both = |name: &str| set(name).or_else(|| set(&name.to_ascii_uppercase()));
    let own = match server.https {
        true => both("https_proxy"),
        false => set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| variable("REQUEST_METHOD").is_none())),
    };
    let proxy = own.or_else(|| both("all_proxy"))?;
    let direct = both("no_proxy").is_some_and(|list| list.split([',', ' ']).any(|one| fits(one.trim(), server)));
    (!direct).then_some(proxy)
}

/// Whether an entry of `no_proxy` means this server.
fn fits(entry: &str, server: &Origin) -> bool {
    let entry = entry.to_ascii_lowercase();
    if entry.is_empty() || entry == "*" {
        return entry == "*";
    }
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let host = bare(&server.host);
    if let (Some((base, bits)), Ok(ip)) = (entry.split_once('/'), host.parse()) {
        return bits.parse().is_ok_and(|bits| base.parse().is_ok_and(|base| is_in(ip, base, bits)));
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if entry.matches(':').count() == 1 || name.ends_with(']') => (name, port.parse().ok()),
        _ => (entry.as_str(), None),
    };
    let name = bare(name.strip_prefix("*.").unwrap_or(name).trim_start_matches('.'));
    let below = host.strip_suffix(&name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    !name.is_empty() && below && port.is_none_or(|port: u16| port == server.port)
}

fn is_in(ip: IpAddr, base: IpAddr, bits: u32) -> bool {
    match (ip, base) {
        (IpAddr::V4(ip), IpAddr::V4(base)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            ip.to_bits() & mask == base.to_bits() & mask
        }
        (IpAddr::V6(ip), IpAddr::V6(base)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            ip.to_bits() & mask == base.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, variables: &[(&str, &str)]) -> Option<String> {
        let (scheme, authority) = server.split_once("://").unwrap();
        let origin = Origin::parse(scheme == "https", authority).unwrap();
        of(&origin, &|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn by_the_scheme() {
        let all =
            [("HTTP_PROXY", "http://h"), ("https_proxy", "http://s"), ("HTTPS_PROXY", "http://S"), ("ALL_PROXY", "a")];
        assert_eq!(chosen("https://a.example", &all).as_deref(), Some("http://s"));
        assert_eq!(chosen("http://a.example", &all).as_deref(), Some("http://h"));
        assert_eq!(chosen("http://a.example", &[("HTTP_PROXY", "h"), ("REQUEST_METHOD", "GET")]), None);
        assert_eq!(chosen("https://a.example", &[("ALL_PROXY", "a")]).as_deref(), Some("a"));
        assert_eq!(chosen("https://a.example", &[("http_proxy", "a"), ("https_proxy", " ")]), None);
        for here in ["http://localhost:5000", "https://127.9.9.9", "http://[::1]:5"] {
            assert_eq!(chosen(here, &all), None, "{here}");
        }
    }

    #[test]
    fn who_goes_direct() {
        for (list, server, direct) in [
            ("*", "https://a.example", true),
            ("example", "https://a.example", true),
            (".example", "https://a.example", true),
            ("*.example", "https://a.example", true),
            ("b.test, A.Example", "https://a.example", true),
            ("xample", "https://a.example", false),
            ("a.example:5000", "https://a.example", false),
            ("a.example:5000", "https://a.example:5000", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("0.0.0.0/0", "https://11.1.2.3", true),
            ("fd00::/8", "https://[fd00::1]:5000", true),
            ("fd00::1", "https://[fd00::1]", true),
            ("10.0.0.0/99,/,:,[", "https://10.1.2.3", false),
        ] {
            let variables = [("https_proxy", "p"), ("NO_PROXY", list)];
            assert_eq!(chosen(server, &variables).is_none(), direct, "{list} {server}");
        }
    }
}
