//! Rates of block devices (`io.max`).

use super::{Amount, number::whole};
use crate::spec::Raw;
use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, fmt, os::unix::ffi::OsStrExt};

/// One rate of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLimit {
    /// The device's path on the machine.
    pub path: Raw,
    /// Which rate.
    pub rate: Rate,
    /// Bytes or operations a second.
    pub value: Amount,
}

/// Which rate, by the names of `io.max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// `--device-read-bps`: bytes read a second; `rbps`
    Rbps,
    /// `--device-write-bps`; `wbps`
    Wbps,
    /// `--device-read-iops`: reads a second; `riops`
    Riops,
    /// `--device-write-iops`; `wiops`
    Wiops,
}

impl Rate {
    /// The flag that sets it.
    pub fn flag(self) -> &'static str {
        match self {
            Rate::Rbps => "--device-read-bps",
            Rate::Wbps => "--device-write-bps",
            Rate::Riops => "--device-read-iops",
            Rate::Wiops => "--device-write-iops",
        }
    }

    /// The name in `io.max`.
    pub fn name(self) -> &'static str {
        match self {
            Rate::Rbps => "rbps",
            Rate::Wbps => "wbps",
            Rate::Riops => "riops",
            Rate::Wiops => "wiops",
        }
    }

    fn is_of_bytes(self) -> bool {
        matches!(self, Rate::Rbps | Rate::Wbps)
    }
}

impl DeviceLimit {
    /// Reads `PATH:VALUE`: bytes with a suffix for the two rates of bytes, else a number; `max` for no bound.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which part.
    pub fn parse(rate: Rate, text: &OsStr) -> Result<DeviceLimit, String> {
        let bytes = text.as_bytes();
        // A path may hold colons, a value cannot.
        let colon =
            bytes.iter().rposition(|b| *b == b':').ok_or("no value follows the device; it takes DEVICE:VALUE")?;
        let (path, value) = (&bytes[..colon], &bytes[colon + 1..]);
        if path.len() < 2 || path[0] != b'/' || path.contains(&0) {
            return Err("the device must be an absolute path, such as /dev/sda".into());
        }
        let value = std::str::from_utf8(value).map_err(|_| "the value is not text")?;
        let value = match value {
            "max" => Amount::Max,
            _ if rate.is_of_bytes() => Amount::bytes(value)?,
            _ => Amount::Of(whole(value, 1, u32::MAX.into())?),
        };
        Ok(DeviceLimit { path: OsStr::from_bytes(path).into(), rate, value })
    }

    /// As one would type it behind the flag.
    pub fn typed(&self) -> String {
        let value = if self.rate.is_of_bytes() { self.value.as_size() } else { self.value.to_string() };
        format!("{}:{value}", self.path)
    }
}

impl fmt::Display for DeviceLimit {
    /// The word of `io.max`, which stands there behind the device's numbers: `rbps=1048576`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.rate.name(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rate: Rate, text: &str) -> Result<DeviceLimit, String> {
        DeviceLimit::parse(rate, OsStr::new(text))
    }

    #[test]
    fn rates() {
        let one = parse(Rate::Rbps, "/dev/sda:1mb").unwrap();
        assert_eq!((one.path.to_string().as_str(), one.value), ("/dev/sda", Amount::Of(1 << 20)));
        assert_eq!((one.to_string(), one.typed()), ("rbps=1048576".into(), "/dev/sda:1m".into()));
        let one = parse(Rate::Wiops, "/dev/disk/by-path/pci-0000:00:1f.2:1024").unwrap();
        assert_eq!(one.path, "/dev/disk/by-path/pci-0000:00:1f.2".into());
        assert_eq!((one.to_string(), one.value), ("wiops=1024".into(), Amount::Of(1024)));
        assert!(one.typed().ends_with(":1024"));
        assert_eq!(parse(Rate::Riops, "/dev/sda:max").unwrap().to_string(), "riops=max");
        assert_eq!(parse(Rate::Wbps, "/dev/sda:max").unwrap().to_string(), "wbps=max");
        let odd = DeviceLimit::parse(Rate::Rbps, OsStr::from_bytes(b"/dev/\xff:1k")).unwrap();
        assert_eq!(odd.path.bytes(), b"/dev/\xff");
    }

    #[test]
    fn what_is_refused() {
        for bad in ["", "/dev/sda", "/dev/sda:", "/dev/sda:0", "/dev/sda:-1", "/dev/sda:+5", "sda:1", ":1", "/:1"] {
            assert!(parse(Rate::Rbps, bad).is_err() && parse(Rate::Riops, bad).is_err(), "{bad:?}");
        }
        for bad in ["/dev/sda:1k", "/dev/sda:1.5", "/dev/sda:4294967296", "./sda:1", "/dev/s\0a:1", "/dev/sda:１"] {
            assert!(parse(Rate::Wiops, bad).is_err(), "{bad:?}");
        }
        assert!(DeviceLimit::parse(Rate::Rbps, OsStr::from_bytes(b"/dev/sda:\xff")).is_err());
    }
}
