#![no_main]
//! The words behind flags, and the two ways in which bytes that are not text are written as text.

use libfuzzer_sys::fuzz_target;
use little_container::image::owners::{decode, encode};
use little_container::oci::Platform;
use little_container::spec::limits::{Amount, CpuSet, Cpus, DeviceLimit, Rate, Ulimit, conf, number, parent};
use little_container::spec::{Raw, Tmpfs, User, Volume, digest::Digest, env};
use std::ffi::{OsStr, OsString};
use std::fmt::{Debug, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::str::FromStr;

/// What is read and printed is read as the same again.
fn both_ways<T: FromStr<Err: Debug + PartialEq> + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert_eq!(printed.parse().as_ref(), Ok(&value), "{text:?} is printed as {printed:?}");
    }
}

fn is_place_inside(target: &Raw) {
    let path: &Path = target.path();
    assert!(path.is_absolute() && path != Path::new("/") && path.components().all(|c| c != Component::ParentDir));
}

fn text(text: &str) {
    both_ways::<Platform>(text);
    both_ways::<Cpus>(text);
    both_ways::<CpuSet>(text);
    both_ways::<Ulimit>(text);
    both_ways::<User>(text);
    both_ways::<Digest>(text);
    for amount in [Amount::bytes, Amount::memory, Amount::memory_swap] {
        if let Ok(amount) = amount(text) {
            let size = amount.as_size();
            assert_eq!(Amount::bytes(&size), Ok(amount), "{text:?} is shown as {size:?}");
        }
    }
    let _ = Amount::pids(text);
    let _ = number::oom_score_adj(text);
    if let Ok(shares) = number::cpu_shares(text) {
        assert!((1..=10_000).contains(&number::weight_of_shares(shares)));
    }
    if let Ok((key, _)) = conf::parse(text) {
        assert!(!key.contains('/') && !key.starts_with('.') && !key.contains(".."), "{key:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    assert_eq!(decode(&encode(data)).unwrap(), data);
    let raw = Raw::from(data.to_vec());
    let json = serde_json::to_string(&raw).unwrap();
    assert_eq!(serde_json::from_str::<Raw>(&json).unwrap(), raw);

    let own = |_: &OsStr| Some(OsString::from("own"));
    if let Ok(all) = env::parse_file(data, own) {
        assert!(all.iter().all(|variable| variable.bytes().contains(&b'=') && !variable.bytes().contains(&0)));
    }
    if let Ok(all) = std::str::from_utf8(data) {
        let _ = decode(all);
        text(all);
    }
    // None of the flags can hold a zero byte: the kernel ends a word there (execve(2)).
    if data.contains(&0) {
        return;
    }
    let word = OsStr::from_bytes(data);
    let _ = env::parse(word, own);
    let _ = parent::parse(word);
    for rate in [Rate::Rbps, Rate::Riops] {
        if let Ok(limit) = DeviceLimit::parse(rate, word) {
            assert!(limit.path.bytes().starts_with(b"/"));
        }
    }
    if let Ok(volume) = Volume::parse(word) {
        is_place_inside(&volume.target);
    }
    if let Ok(tmpfs) = Tmpfs::parse(word) {
        is_place_inside(&tmpfs.target);
        assert!(tmpfs.data.bytes().all(|b| b.is_ascii_graphic()));
    }
});
