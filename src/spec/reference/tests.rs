use super::*;
use std::net::Ipv6Addr;

/// 64 digits.
const HEX: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// What is given, its full name, and the short one.
const GOOD: &[(&str, &str, &str)] = &[
    ("ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
    ("ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
    ("ubuntu:latest", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
    ("library/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
    ("docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
    ("docker.io/library/ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
    ("index.docker.io/ubuntu", "docker.io/library/ubuntu:latest", "ubuntu:latest"),
    ("index.docker.io/grafana/loki", "docker.io/grafana/loki:latest", "grafana/loki:latest"),
    ("library", "docker.io/library/library:latest", "library:latest"),
    ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
    ("libraryx/a", "docker.io/libraryx/a:latest", "libraryx/a:latest"),
    ("grafana/loki:3", "docker.io/grafana/loki:3", "grafana/loki:3"),
    ("a/b/c/d", "docker.io/a/b/c/d:latest", "a/b/c/d:latest"),
    ("a", "docker.io/library/a:latest", "a:latest"),
    ("0", "docker.io/library/0:latest", "0:latest"),
    // Hosts that are not docker's are never left out, nor anything of them.
    ("ghcr.io/a/b:c", "ghcr.io/a/b:c", "ghcr.io/a/b:c"),
    ("quay.io/ubuntu", "quay.io/ubuntu:latest", "quay.io/ubuntu:latest"),
    ("quay.io/library/ubuntu", "quay.io/library/ubuntu:latest", "quay.io/library/ubuntu:latest"),
    (
        "registry-1.docker.io/library/a",
        "registry-1.docker.io/library/a:latest",
        "registry-1.docker.io/library/a:latest",
    ),
    ("registry.hub.docker.com/a", "registry.hub.docker.com/a:latest", "registry.hub.docker.com/a:latest"),
    ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
    ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
    ("r:5000/a", "r:5000/a:latest", "r:5000/a:latest"),
    ("r:1/a", "r:1/a:latest", "r:1/a:latest"),
    ("r:65535/a", "r:65535/a:latest", "r:65535/a:latest"),
    ("docker.io:443/a", "docker.io:443/a:latest", "docker.io:443/a:latest"),
    ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest", "127.0.0.1:5000/a/b:latest"),
    ("192.168.0.1/a", "192.168.0.1/a:latest", "192.168.0.1/a:latest"),
    ("[::1]/a", "[::1]/a:latest", "[::1]/a:latest"),
    ("[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b"),
    ("[fd00:1:2:3:4:5:6:7]:80/a/b", "[fd00:1:2:3:4:5:6:7]:80/a/b:latest", "[fd00:1:2:3:4:5:6:7]:80/a/b:latest"),
    ("[2001:DB8::1]/a", "[2001:DB8::1]/a:latest", "[2001:DB8::1]/a:latest"),
    ("xn--bcher-kva.example/a", "xn--bcher-kva.example/a:latest", "xn--bcher-kva.example/a:latest"),
    ("a-b:80/c", "a-b:80/c:latest", "a-b:80/c:latest"),
    // Upper case before the first slash is a host, as no repository begins so.
    ("Lab/a", "Lab/a:latest", "Lab/a:latest"),
    ("GHCR.io/a", "GHCR.io/a:latest", "GHCR.io/a:latest"),
    ("Docker.io/a", "Docker.io/a:latest", "Docker.io/a:latest"),
    // Without a slash there is no host.
    ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
    ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
    ("192.168.0.1", "docker.io/library/192.168.0.1:latest", "192.168.0.1:latest"),
    ("192.168.0.1:80", "docker.io/library/192.168.0.1:80", "192.168.0.1:80"),
    ("index.docker.io", "docker.io/library/index.docker.io:latest", "index.docker.io:latest"),
    ("r:0", "docker.io/library/r:0", "r:0"),
    // What would be a host, were docker.io/ left out.
    ("docker.io/ghcr.io/a", "docker.io/ghcr.io/a:latest", "docker.io/ghcr.io/a:latest"),
    ("docker.io/localhost/a", "docker.io/localhost/a:latest", "docker.io/localhost/a:latest"),
    ("docker.io/localhost", "docker.io/library/localhost:latest", "localhost:latest"),
    // Separators.
    ("my_host/a", "docker.io/my_host/a:latest", "my_host/a:latest"),
    ("a.b", "docker.io/library/a.b:latest", "a.b:latest"),
    ("a_b", "docker.io/library/a_b:latest", "a_b:latest"),
    ("a__b", "docker.io/library/a__b:latest", "a__b:latest"),
    ("a-b", "docker.io/library/a-b:latest", "a-b:latest"),
    ("a-----b", "docker.io/library/a-----b:latest", "a-----b:latest"),
    ("x/a.b_c__d-e--f", "docker.io/x/a.b_c__d-e--f:latest", "x/a.b_c__d-e--f:latest"),
    // Tags.
    ("a:A", "docker.io/library/a:A", "a:A"),
    ("a:_", "docker.io/library/a:_", "a:_"),
    ("a:0.1-rc_2", "docker.io/library/a:0.1-rc_2", "a:0.1-rc_2"),
    ("a:v..", "docker.io/library/a:v..", "a:v.."),
    ("a:latest.", "docker.io/library/a:latest.", "a:latest."),
];

/// What is refused, and words of the reason.
const BAD: &[(&str, &str)] = &[
    ("", "it is empty"),
    (" ", "' ' is character 1"),
    ("/", "is empty"),
    ("//", "is empty"),
    (":", "the name of the repository is missing"),
    ("@", "the name of the repository is missing"),
    (":a", "the name of the repository is missing"),
    ("a:", "the tag after ':' is missing"),
    ("a@", "a digest after '@'"),
    ("a:b:c", "a tag has letters, digits, '_', '.' and '-': ':' is character 4"),
    ("a:b/c", "a port after a host has digits only: 'b' is character 3"),
    ("a/b:c/d", "a tag has letters, digits, '_', '.' and '-': '/' is character 6"),
    ("a:.b", "a tag begins with a letter, a digit or '_': '.' is character 3"),
    ("a:-b", "'-' is character 3"),
    ("a:b!", "'!' is character 4"),
    ("a:ü", "'ü' is character 3"),
    ("Ubuntu", "repository names are lower case: 'U' is character 1; did you mean \"ubuntu\"?"),
    ("UBUNTU:22.04", "did you mean \"ubuntu:22.04\"?"),
    ("ubuNtu:RC", "'N' is character 4; did you mean \"ubuntu:RC\"?"),
    ("a/B", "'B' is character 3; did you mean \"a/b\"?"),
    ("ghcr.io/Me/Tool:V1", "'M' is character 9; did you mean \"ghcr.io/me/tool:V1\"?"),
    ("Me/Tool", "'T' is character 4; did you mean \"me/tool\"?"),
    ("a b", "' ' is character 2"),
    (" a", "' ' is character 1; did you mean \"a\"?"),
    ("a\n", "'\\n' is character 2; did you mean \"a\"?"),
    ("a\0", "'\\0' is character 2"),
    ("über", "'ü' is character 1"),
    ("a/ü", "'ü' is character 3"),
    ("-a", "begins and ends with a letter or a digit: '-' is character 1"),
    ("a-", "'-' is character 2"),
    ("a-/b", "'-' is character 2"),
    ("-a/b", "'-' is character 1"),
    (".a", "'.' is character 1"),
    ("a.", "'.' is character 2"),
    ("_a/b", "'_' is character 1"),
    ("a/_", "'_' is character 3"),
    ("____/____", "'_' is character 1"),
    ("a..b", "stands one '.', '_' or '__', or any number of '-': '.' is character 2"),
    ("a___b", "'_' is character 2"),
    ("xy/a-.b", "'-' is character 5"),
    ("a_.b", "'_' is character 2"),
    ("a.-b/c", "a part of a host begins and ends with a letter or a digit: '-' is character 3"),
    ("/a", "is empty"),
    ("a/", "is empty; did you mean \"a\"?"),
    ("a//b", "is empty"),
    ("ghcr.io/", "the name of the repository is missing"),
    ("ghcr.io//a", "is empty"),
    ("ghcr.io/:a", "the name of the repository is missing"),
    ("../a", "a part of the host is empty"),
    ("./a", "a part of the host is empty"),
    ("a..b/c", "a part of the host is empty"),
    ("a./b", "a part of the host is empty"),
    ("my_host.io/a", "a host has letters, digits, '-' and '.': '_' is character 3"),
    ("my_host:80/a", "'_' is character 3"),
    ("-r.io/a", "'-' is character 1"),
    ("r-.io/a", "'-' is character 2"),
    ("r.ü/a", "'ü' is character 3"),
    ("r:/a", "the port of the host is none: 1 to 65535"),
    ("r:0/a", "1 to 65535"),
    ("r:080/a", "1 to 65535"),
    ("r:65536/a", "1 to 65535"),
    ("r:99999999999999999999/a", "1 to 65535"),
    ("r:+1/a", "a port after a host has digits only: '+' is character 3"),
    ("r:80x/a", "'x' is character 5"),
    (":80/a", "a part of the host is empty"),
    ("fd00::1:5000/a", "an IPv6 address stands in [ ]"),
    ("[::1]", "'[' is character 1"),
    ("[::1]:5000", "'[' is character 1"),
    ("[::1/a", "the ']' after the IPv6 address"),
    ("[:/a", "the ']' after the IPv6 address"),
    ("[]:80/a", "stands no IPv6 address"),
    ("[:::]/a", "stands no IPv6 address"),
    ("[1:2:3]/a", "stands no IPv6 address"),
    ("[fe80::1%eth0]/a", "hexadecimal digits and ':': '%' is character 9"),
    ("[::ffff:10.0.0.1]/a", "'.' is character 11"),
    ("[::1]80/a", "comes ':' and a port, or '/': '8' is character 6"),
    ("[::1]:0/a", "1 to 65535"),
    ("[::1]:x/a", "'x' is character 7"),
    ("https://ghcr.io/a/b", "did you mean \"ghcr.io/a/b\"?"),
    ("docker://ubuntu:22.04", "did you mean \"ubuntu:22.04\"?"),
    ("ubuntu@22.04", "did you mean \"ubuntu:22.04\"?"),
    ("a@sha256:00", "a digest of sha256 has 64 hexadecimal digits, and this has 2"),
    ("a@sha384:00", "neither of sha256 nor of sha512"),
    ("a@md5:d41d8cd98f00b204e9800998ecf8427e", "neither of sha256 nor of sha512"),
    ("a@b@sha256:00", "neither of sha256"),
    ("a@sha256:zz", "0-9 and a-f, in lower case: 'z' is character 10"),
    ("@sha256:00", "the name of the repository is missing"),
    ("%41", "'%' is character 1"),
    ("a%2Fb", "'%' is character 2"),
    ("$(id)", "'$' is character 1"),
    ("*", "'*' is character 1"),
    ("a\\b", "'\\\\' is character 2"),
];

fn read(text: &str) -> Reference {
    text.parse().unwrap_or_else(|fault| panic!("{text:?}: {fault}"))
}

#[track_caller]
fn comes_back(reference: &Reference) {
    assert_eq!(read(&reference.to_string()), *reference, "the full name");
    assert_eq!(read(&reference.familiar()), *reference, "the short name {}", reference.familiar());
}

#[test]
fn what_was_left_out_is_filled_in() {
    assert!(GOOD.len() + BAD.len() > 140);
    for (text, full, short) in GOOD {
        let reference = read(text);
        assert_eq!((reference.to_string(), reference.familiar()), ((*full).into(), (*short).into()), "{text}");
        comes_back(&reference);
    }
}

#[test]
fn what_is_refused_and_why() {
    for (text, why) in BAD {
        let fault = text.parse::<Reference>().expect_err(text);
        assert!(fault.to_string().contains(why), "{text:?}: {fault}");
        if let Some(meant) = fault.meant {
            comes_back(&read(&meant));
        }
    }
}

#[test]
fn digests_say_which_content_and_tags_stay_beside_them() {
    for (text, full, short) in [
        (format!("a@sha256:{HEX}"), format!("docker.io/library/a@sha256:{HEX}"), format!("a@sha256:{HEX}")),
        (format!("a:b@sha256:{HEX}"), format!("docker.io/library/a:b@sha256:{HEX}"), format!("a:b@sha256:{HEX}")),
        (format!("r:80/a:b@sha512:{HEX}{HEX}"), format!("r:80/a:b@sha512:{HEX}{HEX}"), String::new()),
    ] {
        let reference = read(&text);
        assert_eq!((reference.to_string(), reference.tag.is_some()), (full.clone(), text.contains("a:b")));
        assert_eq!(reference.familiar(), if short.is_empty() { full } else { short });
        comes_back(&reference);
    }
    let loud = format!("a@SHA256:{}", HEX.to_ascii_uppercase()).parse::<Reference>().unwrap_err();
    assert_eq!(loud.meant, Some(format!("a@sha256:{HEX}")));
}

#[test]
fn an_id_is_no_name() {
    for id in [HEX.to_owned(), format!("sha256:{HEX}")] {
        let fault = id.parse::<Reference>().unwrap_err();
        assert_eq!(fault.wrong, "64 hexadecimal digits are the id of an image, and no name");
    }
    // With anything around it, and one digit less or more, it is a name as any other.
    for text in [
        format!("docker.io/{HEX}"),
        format!("{HEX}:a"),
        format!("a/{HEX}"),
        format!("library/sha256:{HEX}"),
        format!("sha256:{HEX}@sha256:{HEX}"),
        format!("{HEX}0"),
        HEX[1..].to_owned(),
    ] {
        comes_back(&read(&text));
    }
}

#[test]
fn lengths() {
    let name = |length: usize| "a".repeat(length);
    for (text, good) in [
        (name(237), true),
        (name(238), false),
        (format!("docker.io/library/{}", name(237)), true),
        (format!("r.io/{}", name(250)), true),
        (format!("r.io/{}", name(251)), false),
        (format!("{}.io/a", name(250)), true),
        (format!("{}.io/a", name(251)), false),
        (format!("a:{}", name(128)), true),
        (format!("a:{}", name(129)), false),
        (name(4096), false),
        (name(4097), false),
        ("/".repeat(1 << 20), false),
        ("ä".repeat(1 << 20), false),
    ] {
        assert_eq!(text.parse::<Reference>().is_ok(), good, "{} bytes", text.len());
    }
    let told = name(5000).parse::<Reference>().unwrap_err().to_string();
    assert_eq!(told, "it is too long: 5000 bytes");
}

// ---- against another reading of the grammar ----

/// The full name, worked out by cutting the text into lists.
fn slowly(text: &str) -> Option<String> {
    let hex = |text: &str, digits: usize| {
        text.chars().count() == digits && text.chars().all(|c| "0123456789abcdef".contains(c))
    };
    if hex(text.trim_start_matches("sha256:"), 64) && text.matches("sha256:").count() <= 1 {
        return None;
    }
    let (named, digest) = match text.split('@').collect::<Vec<_>>()[..] {
        [named] => (named, None),
        [named, digest] => (named, Some(digest)),
        _ => return None,
    };
    let digest_is_good = |digest: &str| match digest.split(':').collect::<Vec<_>>()[..] {
        ["sha256", digits] => hex(digits, 64),
        ["sha512", digits] => hex(digits, 128),
        _ => false,
    };
    let mut path: Vec<&str> = named.split('/').collect();
    let first = path[0];
    let names_a_host =
        first == "localhost" || first.contains('.') || first.contains(':') || first.to_ascii_lowercase() != first;
    let host = if path.len() > 1 && names_a_host { path.remove(0) } else { "docker.io" };
    let (last, tag) = match path.pop()?.split(':').collect::<Vec<_>>()[..] {
        [last] => (last, None),
        [last, tag] => (last, Some(tag)),
        _ => return None,
    };
    path.push(last);
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    if host == "docker.io" && path.len() == 1 {
        path.insert(0, "library");
    }
    let name = format!("{host}/{}", path.join("/"));
    let good = slow_host(host)
        && path.iter().all(|component| slow_component(component))
        && tag.is_none_or(slow_tag)
        && digest.is_none_or(digest_is_good)
        && name.len() <= 255;
    let tag = if digest.is_none() { Some(tag.unwrap_or("latest")) } else { tag };
    let version = [tag.map(|tag| format!(":{tag}")), digest.map(|digest| format!("@{digest}"))];
    good.then(|| name + &version.map(Option::unwrap_or_default).concat())
}

/// Every separator becomes a dot; two in a row leave a gap between them.
fn slow_component(component: &str) -> bool {
    let mut component = component.replace("__", ".");
    while component.contains("--") {
        component = component.replace("--", "-");
    }
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9'));
    component.replace(['_', '-'], ".").split('.').all(plain)
}

fn slow_tag(tag: &str) -> bool {
    let word = tag.replace(['.', '-'], "_");
    let begins = tag.chars().next().is_some_and(|c| c == '_' || c.is_ascii_alphanumeric());
    begins && tag.len() <= 128 && word.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

fn slow_host(host: &str) -> bool {
    let port_is_good = |port: &str| (1..=65535).contains(&port.parse().unwrap_or(0)) && !port.starts_with(['0', '+']);
    if let Some(rest) = host.strip_prefix('[') {
        return match rest.split(']').collect::<Vec<_>>()[..] {
            [address, port] => {
                let port = if port.is_empty() { Some("1") } else { port.strip_prefix(':') };
                !address.contains(['.', '%']) && address.parse::<Ipv6Addr>().is_ok() && port.is_some_and(port_is_good)
            }
            _ => false,
        };
    }
    let (name, port) = match host.split(':').collect::<Vec<_>>()[..] {
        [name] => (name, "1"),
        [name, port] => (name, port),
        _ => return false,
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.trim_matches('-') == label
            && label.chars().all(|c| c == '-' || c.is_ascii_alphanumeric())
    };
    name.split('.').all(label) && port_is_good(port)
}

/// Marsaglia's xorshift64: the same numbers at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}

const PIECES: &[&str] = &[
    "a",
    "b",
    "a",
    "0",
    "9",
    "z",
    "A",
    "F",
    ".",
    ".",
    "_",
    "__",
    "-",
    "--",
    "/",
    "/",
    "/",
    ":",
    ":",
    ":",
    "@",
    "[",
    "]",
    "::1",
    "[::1]",
    "localhost",
    "docker.io",
    "index.docker.io",
    "library/",
    "latest",
    ":5000",
    ":65536",
    "sha256:",
    "@sha256:",
    "@sha512:",
    HEX,
    HEX,
    "ü",
    "%",
    " ",
    "\n",
    "\0",
    "+",
    "\u{feff}",
    "://",
];

/// Reads it; `fully`: both readers say the same of it, and what is accepted comes back. Whether it was accepted.
fn agree(text: &str, fully: bool) -> bool {
    let quick = split(text);
    let good = quick.is_ok();
    if fully {
        let full = quick.map(Reference::from);
        assert_eq!(full.as_ref().ok().map(Reference::to_string), slowly(text), "{text:?}");
        let _ = full.map(|reference| comes_back(&reference));
    }
    if fully && let Err(fault) = text.parse::<Reference>() {
        assert!(!fault.wrong.is_empty());
        fault.meant.iter().for_each(|meant| comes_back(&read(meant)));
    }
    good
}

/// `LITTLE_CONTAINER_TEST_ROUNDS` is how many instead, from another seed and each of them fully; else one in sixteen, to take no more than two seconds.
#[test]
fn a_million_random_texts_are_read_as_by_another_reader() {
    let more = std::env::var("LITTLE_CONTAINER_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse::<u64>().ok());
    let rounds = more.unwrap_or(1_000_000);
    let mut dice = Dice(0x5eed_1e55 + rounds);
    let mut text = String::new();
    let mut accepted = 0;
    for round in 0..rounds {
        text.clear();
        for _ in 0..1 + dice.below(7) {
            text.push_str(PIECES[dice.below(PIECES.len())]);
        }
        accepted += u64::from(agree(&text, more.is_some() || round % 16 == 0));
    }
    assert!(accepted > rounds / 20, "{accepted}");
}

/// Each good name with one character changed, left out or put in, at every place.
#[test]
fn texts_that_are_nearly_good_are_read_as_by_another_reader() {
    let long = format!("r.io:80/a-b/c__d:T.1@sha256:{HEX}");
    for text in GOOD.iter().map(|(text, _, _)| *text).chain([long.as_str()]) {
        for at in 0..=text.len() {
            for odd in ["", "A", "a", "0", ".", "-", "_", "/", ":", "@", "[", "]", "ü", " "] {
                agree(&[&text[..at], odd, &text[at..]].concat(), true);
                agree(&[&text[..at], odd, text.get(at + 1..).unwrap_or_default()].concat(), true);
            }
        }
    }
}

/// Any bytes, as far as they are text.
#[test]
fn any_bytes_are_survived() {
    let mut dice = Dice(0xb17e5);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..dice.below(40)).map(|_| dice.below(256) as u8).collect();
        agree(&String::from_utf8_lossy(&bytes), true);
    }
}
