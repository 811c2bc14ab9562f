//! For which machines an image is.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An operating system, an architecture and its variant, in the words of Go (image-spec, image-index.md, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `386`.
    pub architecture: String,
    /// `v7`, `v8`; empty: any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// Linux on this architecture.
    pub fn linux(architecture: &str) -> Platform {
        Platform { os: "linux".into(), architecture: architecture.into(), variant: String::new() }
    }

    /// How well an image for `offer` does where `self` is wanted: 0 not at all, more is better.
    pub fn fit(&self, offer: &Platform) -> u32 {
        if self.os != offer.os || self.architecture != offer.architecture {
            return 0;
        }
        let rank = |variant: &str| variant.trim_start_matches('v').parse::<u32>().unwrap_or(0);
        match (self.variant.as_str(), offer.variant.as_str()) {
            (a, b) if a == b => 100,
            // arm64 is v8 where nothing is said; amd64 is v1.
            ("", "v8") if self.architecture == "arm64" => 99,
            ("", "v1") if self.architecture == "amd64" => 99,
            (_, "") => 98,
            // Newer variants run what was made for older ones; where none is named, the oldest is safe.
            ("", offer) => 50_u32.saturating_sub(rank(offer)).max(1),
            (wanted, offer) if rank(offer) < rank(wanted) => 50 + rank(offer).min(40),
            _ => 0,
        }
    }
}

impl FromStr for Platform {
    type Err = String;

    /// `[OS/]ARCHITECTURE[/VARIANT]`, with the names that people use for architectures.
    fn from_str(text: &str) -> Result<Platform, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        // `linux/v7` would be read as one architecture and printed as another.
        let nameless = matches!(parts[..], ["linux", part] | [part] | [_, part, _] if is_variant(part));
        if !parts.iter().all(word) || parts.len() > 3 || nameless {
            return Err(format!(
                "{text:?} is no platform: give OS/ARCHITECTURE[/VARIANT], as linux/arm64 or linux/arm/v7"
            ));
        }
        let (os, architecture, variant) = match parts[..] {
            ["linux"] => ("linux", std::env::consts::ARCH, ""),
            [one] => ("linux", one, ""),
            [os, architecture] if is_variant(architecture) => ("linux", os, architecture),
            [os, architecture] => (os, architecture, ""),
            _ => (parts[0], parts[1], parts[2]),
        };
        let (architecture, implied) = common_name(architecture);
        let variant = if variant.is_empty() { implied } else { variant };
        Ok(Platform { os: os.into(), architecture: architecture.into(), variant: variant.into() })
    }
}

fn is_variant(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Go's name for an architecture that uname(2) or a distribution calls otherwise, and the variant that the name implies.
fn common_name(name: &str) -> (&str, &'static str) {
    match name {
        "x86_64" | "x86-64" => ("amd64", ""),
        "aarch64" => ("arm64", ""),
        "armhf" | "armv7" | "armv7l" => ("arm", "v7"),
        "armel" => ("arm", "v6"),
        "i386" | "i686" | "x86" => ("386", ""),
        "powerpc64le" => ("ppc64le", ""),
        other => (other, ""),
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (text, full) in [
            ("arm64", "linux/arm64"),
            ("aarch64", "linux/arm64"),
            ("linux/x86_64", "linux/amd64"),
            ("arm/v7", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("armhf", "linux/arm/v7"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), full);
        }
        // A variant alone is that of no architecture, and `linux` is none.
        for bad in ["", "/", "a/b/c/d", "linux/", "linux/a b", "v7", "linux/v7", "linux/v7/v7"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_best_of_what_is_offered() {
        let fit = |wanted: &str, offer: &str| wanted.parse::<Platform>().unwrap().fit(&offer.parse().unwrap());
        assert!(fit("amd64", "amd64") > 0 && fit("amd64", "arm64") == 0 && fit("amd64", "windows/amd64") == 0);
        assert!(fit("arm64", "arm64/v8") > 0);
        assert!(fit("arm/v7", "arm/v7") > fit("arm/v7", "arm/v6") && fit("arm/v7", "arm/v6") > fit("arm/v7", "arm/v5"));
        assert_eq!(fit("arm/v6", "arm/v7"), 0);
        assert!(fit("amd64", "amd64") > fit("amd64", "amd64/v3"));
    }
}
