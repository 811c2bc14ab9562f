//! The digest of content, as references and descriptors write it.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// `ALGORITHM:HEX` (OCI image-spec, descriptor.md, "Digests"): what the content must hash to, whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// What hashes: the algorithms that the image-spec registers and every registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4): what nearly every digest is.
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl Algorithm {
    /// Its name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits it gives.
    pub fn digits(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Which algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits: lower case, as many as the algorithm gives, and so safe as the name of a file.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Of what [`split`] has checked.
    pub(super) fn checked((algorithm, hex): (Algorithm, &str)) -> Digest {
        Digest { algorithm, hex: hex.to_owned() }
    }
}

/// What is wrong with a part of a text, and the byte of the part at which it shows where there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The rule that is broken.
    pub what: Cow<'static, str>,
    /// The byte at fault.
    pub at: Option<usize>,
}

impl Wrong {
    pub(super) fn all(what: impl Into<Cow<'static, str>>) -> Wrong {
        Wrong { what: what.into(), at: None }
    }

    pub(super) fn at(at: usize, what: impl Into<Cow<'static, str>>) -> Wrong {
        Wrong { what: what.into(), at: Some(at) }
    }

    /// The same, told of a text in which the part begins at `start`.
    pub(super) fn after(self, start: usize) -> Wrong {
        Wrong { at: self.at.map(|at| start + at), ..self }
    }

    /// The sentence, which names the character and where it stands.
    pub(super) fn told_of(&self, text: &str) -> String {
        let before = self.at.and_then(|at| text.get(..at));
        match (before, self.at.and_then(|at| text.get(at..)?.chars().next())) {
            (Some(before), Some(odd)) => format!("{}: {odd:?} is character {}", self.what, before.chars().count() + 1),
            _ => self.what.to_string(),
        }
    }
}

/// The two parts, checked, before anything is copied.
pub(super) fn split(text: &str) -> Result<(Algorithm, &str), Wrong> {
    let Some((name, hex)) = text.split_once(':') else {
        return Err(Wrong::all("a digest after '@' is sha256: and 64 hexadecimal digits"));
    };
    let known = [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|algorithm| algorithm.name() == name);
    let Some(algorithm) = known else {
        return Err(Wrong::all("the digest after '@' is neither of sha256 nor of sha512, the algorithms known here"));
    };
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if let Some(at) = hex.bytes().position(|byte| !digit(byte)) {
        return Err(Wrong::at(name.len() + 1 + at, "a digest has the digits 0-9 and a-f, in lower case"));
    }
    if hex.len() != algorithm.digits() {
        let (has, takes) = (hex.len(), algorithm.digits());
        return Err(Wrong::all(format!("a digest of {name} has {takes} hexadecimal digits, and this has {has}")));
    }
    Ok((algorithm, hex))
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Digest, String> {
        split(text).map(Digest::checked).map_err(|wrong| wrong.told_of(text))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Digest, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_algorithms_in_lower_case() {
        for (algorithm, digits) in [("sha256", 64), ("sha512", 128)] {
            let text = format!("{algorithm}:{}", "0a".repeat(digits / 2));
            let digest: Digest = text.parse().unwrap();
            assert_eq!((digest.to_string(), digest.hex().len()), (text, digits));
            assert_eq!(digest.algorithm().name(), algorithm);
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let digits = "a".repeat(63);
        for (bad, why) in [
            (String::new(), "is sha256: and 64"),
            ("sha256".into(), "is sha256: and 64"),
            ("sha256:".into(), "64 hexadecimal digits, and this has 0"),
            (format!("sha256:{digits}"), "64 hexadecimal digits, and this has 63"),
            (format!("sha256:{digits}bc"), "64 hexadecimal digits, and this has 65"),
            (format!("sha512:{digits}b"), "128 hexadecimal digits, and this has 64"),
            (format!("sha256:{digits}A"), "lower case: 'A' is character 71"),
            (format!("sha256:{digits}g"), "'g' is character 71"),
            (format!("sha256:ä{digits}"), "'ä' is character 8"),
            (format!("SHA256:{digits}a"), "neither of sha256 nor of sha512"),
            (format!("md5:{digits}a"), "neither of sha256 nor of sha512"),
            (format!("sha384:{digits}a"), "neither of sha256 nor of sha512"),
            (format!(":{digits}a"), "neither of sha256 nor of sha512"),
        ] {
            let told = bad.parse::<Digest>().unwrap_err();
            assert!(told.contains(why), "{bad}: {told}");
        }
    }
}
