//! `--ulimit`: bounds of each process (getrlimit(2)), by docker's names.

use super::number::whole;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One bound, soft and hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Of what.
    pub resource: Resource,
    /// What is in force; the process may change it up to the hard one.
    pub soft: Bound,
    /// What cannot be raised again.
    pub hard: Bound,
}

/// A number, or none (`unlimited`, `-1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// So many, in the resource's own unit.
    Of(u64),
    /// RLIM_INFINITY
    Unlimited,
}

/// Of what (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// RLIMIT_AS
    As,
    /// RLIMIT_CORE
    Core,
    /// RLIMIT_CPU
    Cpu,
    /// RLIMIT_DATA
    Data,
    /// RLIMIT_FSIZE
    Fsize,
    /// RLIMIT_LOCKS
    Locks,
    /// RLIMIT_MEMLOCK
    Memlock,
    /// RLIMIT_MSGQUEUE
    Msgqueue,
    /// RLIMIT_NICE
    Nice,
    /// RLIMIT_NOFILE
    Nofile,
    /// RLIMIT_NPROC
    Nproc,
    /// RLIMIT_RSS
    Rss,
    /// RLIMIT_RTPRIO
    Rtprio,
    /// RLIMIT_RTTIME
    Rttime,
    /// RLIMIT_SIGPENDING
    Sigpending,
    /// RLIMIT_STACK
    Stack,
}

impl Resource {
    /// All that Linux has, by the alphabet.
    pub const ALL: [Resource; 16] = [
        Resource::As,
        Resource::Core,
        Resource::Cpu,
        Resource::Data,
        Resource::Fsize,
        Resource::Locks,
        Resource::Memlock,
        Resource::Msgqueue,
        Resource::Nice,
        Resource::Nofile,
        Resource::Nproc,
        Resource::Rss,
        Resource::Rtprio,
        Resource::Rttime,
        Resource::Sigpending,
        Resource::Stack,
    ];

    /// docker's name for it: that of getrlimit(2) in small letters, without `RLIMIT_`.
    pub fn name(self) -> &'static str {
        match self {
            Resource::As => "as",
            Resource::Core => "core",
            Resource::Cpu => "cpu",
            Resource::Data => "data",
            Resource::Fsize => "fsize",
            Resource::Locks => "locks",
            Resource::Memlock => "memlock",
            Resource::Msgqueue => "msgqueue",
            Resource::Nice => "nice",
            Resource::Nofile => "nofile",
            Resource::Nproc => "nproc",
            Resource::Rss => "rss",
            Resource::Rtprio => "rtprio",
            Resource::Rttime => "rttime",
            Resource::Sigpending => "sigpending",
            Resource::Stack => "stack",
        }
    }
}

impl Ulimit {
    /// docker's name of the resource.
    pub fn name(&self) -> &'static str {
        self.resource.name()
    }
}

impl FromStr for Resource {
    type Err = String;

    /// In any case, with `RLIMIT_` before it or without.
    fn from_str(text: &str) -> Result<Resource, String> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        Resource::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| {
            let all: Vec<&str> = Resource::ALL.into_iter().map(Resource::name).collect();
            format!("there is no such resource; there are {}", all.join(", "))
        })
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Bound, String> {
        if text == "-1" || text.eq_ignore_ascii_case("unlimited") {
            return Ok(Bound::Unlimited);
        }
        let wrong = |_| "a bound is a whole number without a suffix, unlimited, or -1 for that".to_owned();
        whole(text, 0, i64::MAX.unsigned_abs()).map(Bound::Of).map_err(wrong)
    }
}

impl FromStr for Ulimit {
    type Err = String;

    /// `name=soft[:hard]`; the hard bound is the soft one where it is not named.
    fn from_str(text: &str) -> Result<Ulimit, String> {
        let (name, bounds) = text.split_once('=').ok_or("no bound follows the name; it takes NAME=SOFT[:HARD]")?;
        let (soft, hard) = bounds.split_once(':').unwrap_or((bounds, bounds));
        let ulimit = Ulimit { resource: name.parse()?, soft: soft.parse()?, hard: hard.parse()? };
        if ulimit.soft > ulimit.hard {
            return Err("the soft bound, which comes first, is greater than the hard one".into());
        }
        Ok(ulimit)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Of(n) => n.fmt(f),
            Bound::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for Ulimit {
    /// As it is typed: `nofile=1024:2048`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.name(), self.soft, self.hard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        for (text, printed) in [
            ("nofile=1024:2048", "nofile=1024:2048"),
            ("NOFILE=1024", "nofile=1024:1024"),
            ("RLIMIT_CORE=0", "core=0:0"),
            ("rlimit_as=1:unlimited", "as=1:unlimited"),
            ("stack=-1", "stack=unlimited:unlimited"),
            ("cpu=5:-1", "cpu=5:unlimited"),
            ("rttime=9223372036854775807", "rttime=9223372036854775807:9223372036854775807"),
        ] {
            assert_eq!(text.parse::<Ulimit>().map(|u| u.to_string()), Ok(printed.into()));
            assert_eq!(printed.parse::<Ulimit>(), text.parse());
        }
        for resource in Resource::ALL {
            assert_eq!(resource.name().parse(), Ok(resource));
        }
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "=",
            "nofile",
            "nofile=",
            "=1",
            "nofile=:1",
            "nofile=1:",
            "nofile=1:2:3",
            "nofile=1k",
            "nofile=+5",
            "nofile=-2",
            "nofile=1.5",
            "nofile= 1",
            "nofile =1",
            "nofile=1\0",
            "nofile=١",
            "nofile=9223372036854775808",
            "nofile=18446744073709551615",
            "files=1",
            "rlimit_rlimit_core=0",
            "ﬁle=1",
        ] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad:?}");
        }
        for bad in ["nofile=2:1", "core=-1:5", "core=unlimited:5"] {
            assert!(bad.parse::<Ulimit>().is_err_and(|e| e.contains("greater than the hard")), "{bad:?}");
        }
    }
}
