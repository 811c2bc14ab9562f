#![no_main]
//! What a server wants to know, in `WWW-Authenticate`.

use libfuzzer_sys::fuzz_target;
use little_container::registry::challenge::parse;

/// The same ways in one spelling: each value in quotes.
fn spelled(all: &[little_container::registry::challenge::Challenge]) -> String {
    let param =
        |(name, value): &(String, String)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let way = |c: &little_container::registry::challenge::Challenge| {
        let params: Vec<String> = c.params.iter().map(param).collect();
        format!("{} {}", c.scheme, params.join(","))
    };
    all.iter().map(way).collect::<Vec<_>>().join(", ")
}

fuzz_target!(|header: &str| {
    let Ok(all) = parse(header) else { return };
    let lower =
        |text: &str| !text.is_empty() && !text.bytes().any(|b| b.is_ascii_uppercase() || b" \t,\"".contains(&b));
    for challenge in &all {
        assert!(lower(&challenge.scheme) && challenge.params.iter().all(|(name, _)| lower(name)));
        for (name, _) in &challenge.params {
            assert!(challenge.param(name).is_some());
        }
    }
    let again = spelled(&all);
    // A value with the control character that `\` let through is refused without it, and quotes make a text longer.
    let plain = |value: &str| value.chars().all(|c| !c.is_control() || c == '\t');
    if again.len() <= header.len() && all.iter().flat_map(|c| &c.params).all(|(_, value)| plain(value)) {
        assert_eq!(parse(&again), Ok(all), "{again:?}");
    }
});
