#![no_main]
//! Files with credentials, docker's and podman's.

use libfuzzer_sys::fuzz_target;
use little_container::registry::credentials::{Secret, parse};

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(entries) => {
            assert!(entries.helper.as_deref() != Some(""));
            // Nobody sees a secret by printing what was read.
            let shown = format!("{entries:?}");
            for (key, secret) in &entries.auths {
                let hidden = match secret {
                    Ok(Secret::Password { password, .. }) => password,
                    Ok(Secret::Identity(token)) => token,
                    Err(why) => {
                        assert!(!why.is_empty());
                        continue;
                    }
                };
                assert!(
                    hidden.len() < 8
                        || key.contains(hidden.as_str())
                        || is_elsewhere(hidden, &entries)
                        || !shown.contains(hidden.as_str())
                );
            }
        }
        // The sentence is ours alone: nothing of the file is in it.
        Err(why) => assert!(why.starts_with("line ") || why.starts_with("its ") || why.starts_with("it "), "{why}"),
    }
});

/// Whether the text of a secret is also that of a key or of a helper, which are shown.
fn is_elsewhere(hidden: &str, entries: &little_container::registry::credentials::Entries) -> bool {
    let mut open: Vec<String> = entries.auths.keys().chain(entries.helpers.keys()).map(|k| format!("{k:?}")).collect();
    open.extend(entries.helpers.values().chain(entries.helper.as_ref()).map(|name| format!("{name:?}")));
    open.push("Entries { auths: , Ok(Password(…)), Ok(Identity(…)), helpers: helper: Some(None)}".to_owned());
    open.iter().any(|text| text.contains(hidden))
}
