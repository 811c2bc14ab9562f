//! Addresses of servers: scheme, host and port, and what comes after them.

use std::{fmt, net::IpAddr};

/// The longest address that is looked at, in bytes: signed addresses of storage services have up to two thousand.
const MAX_ADDRESS: usize = 16 << 10;

/// A server: what must be equal for a secret that was meant for one address to be sent to another one (RFC 6454, 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// HTTPS, or plain HTTP.
    pub https: bool,
    /// Lower case; an IPv6 address with its brackets.
    pub host: String,
    pub port: u16,
}

/// A place on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub origin: Origin,
    /// Begins with `/`; the query is a part of it, the fragment is not.
    pub path: String,
}

impl Origin {
    /// Of `HOST[:PORT]`.
    pub fn parse(https: bool, authority: &str) -> Result<Origin, String> {
        let wrong = || format!("{authority:?} is no host");
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good = match inside {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
        };
        let port = match port {
            None => Some(if https { 443 } else { 80 }),
            Some(digits) => digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit())),
        };
        let (true, Some(port @ 1..)) = (good, port) else { return Err(wrong()) };
        Ok(Origin { https, host: host.to_ascii_lowercase(), port })
    }

    /// Whether it is this machine: `localhost`, 127.0.0.0/8, `::1`. Nobody else can listen on the way.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.ends_with(".localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// `HOST`, or `HOST:PORT` where the port is not the usual one.
    pub fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// A place here.
    pub fn at(&self, path: String) -> Address {
        Address { origin: self.clone(), path }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl Address {
    /// Of `http://…` or `https://…`. User names in it are refused: nobody should be led to send one.
    pub fn parse(text: &str) -> Result<Address, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("{} is no address", shown(text)))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(format!("{} is neither http:// nor https://", shown(text))),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let origin =
            Origin::parse(https, &rest[..end]).map_err(|_| format!("{} has no host that could be", shown(text)))?;
        Ok(Address { origin, path: path(&rest[end..])? })
    }

    /// Where a `Location` leads that was sent from here (RFC 3986, 5.2, without `..`: no registry sends it).
    pub fn join(&self, location: &str) -> Result<Address, String> {
        if location.len() > MAX_ADDRESS {
            return Err(format!("an address of {} bytes", location.len()));
        }
        if location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':')) {
            return Address::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Address::parse(&format!("{}://{rest}", if self.origin.https { "https" } else { "http" }));
        }
        let bare = self.path.split('?').next().unwrap_or_default();
        let whole = match location.as_bytes().first() {
            Some(b'/') => location.to_owned(),
            Some(b'?') | None => format!("{bare}{location}"),
            _ => format!("{}{location}", &bare[..=bare.rfind('/').unwrap_or(0)]),
        };
        Ok(Address { origin: self.origin.clone(), path: path(&whole)? })
    }

    /// The same with `name=value` added to the query.
    pub fn with_query(&self, name: &str, value: &str) -> Address {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        Address { origin: self.origin.clone(), path: format!("{}{mark}{name}={}", self.path, escaped(value)) }
    }
}

/// The path and the query of an address, with a `/` at their beginning.
fn path(text: &str) -> Result<String, String> {
    let text = text.split('#').next().unwrap_or_default();
    if text.len() > MAX_ADDRESS || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("{} is no address", shown(text)));
    }
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

/// `value` as a part of a query (RFC 3986, 2.3: what is not unreserved is escaped).
pub(super) fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (text, host, port) in
            [("a.b", "a.b", 443), ("A.b:5000", "a.b", 5000), ("[::1]", "[::1]", 443), ("[::1]:80", "[::1]", 80)]
        {
            let origin = Origin::parse(true, text).unwrap();
            assert_eq!((origin.host.as_str(), origin.port), (host, port), "{text}");
        }
        for bad in ["", ":5", "a:", "a:0", "a:65536", "a:+5", "u@a", "a b", "[::1", "[a]", "a/b"] {
            assert!(Origin::parse(true, bad).is_err(), "{bad}");
        }
        for (text, is) in [("localhost", true), ("127.8.9.1:5", true), ("[::1]", true), ("127.0.0.1.example", false)] {
            assert_eq!(Origin::parse(true, text).unwrap().is_loopback(), is, "{text}");
        }
    }

    #[test]
    fn locations() {
        let here = Address::parse("https://a.example:5000/v2/x/blobs/uploads/?y=1").unwrap();
        for (location, leads) in [
            ("/v2/u?s=1", "https://a.example:5000/v2/u?s=1"),
            ("https://b.example/u?s=1#f", "https://b.example/u?s=1"),
            ("http://b.example", "http://b.example/"),
            ("//b.example/u", "https://b.example/u"),
            ("u?s=http://x", "https://a.example:5000/v2/x/blobs/uploads/u?s=http://x"),
            ("?s", "https://a.example:5000/v2/x/blobs/uploads/?s"),
        ] {
            assert_eq!(here.join(location).unwrap().to_string(), leads);
        }
        for bad in ["ftp://b.example/", "https://u:p@b.example/", "https:///x", "/a b", "/a\r\nX: y", "file:/etc"] {
            assert!(here.join(bad).is_err(), "{bad}");
        }
        assert!(here.join(&"a".repeat(MAX_ADDRESS + 1)).is_err());
        let asked = here.join("/u?s=1").unwrap().with_query("digest", "sha256:a");
        assert_eq!(asked.to_string(), "https://a.example:5000/u?s=1&digest=sha256%3Aa");
    }
}
