//! Amounts: bytes with docker's suffixes, and counts.

use super::number::{decimal, whole};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number, or no bound at all (`max`, and `-1` where docker has that).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// So many.
    Of(u64),
    /// As many as there are.
    Max,
}

/// The suffixes, each 1024 times the one before; none and `b` are bytes.
const UNITS: &str = "bkmgtp";
/// docker's least memory, in bytes: with less, nothing gets as far as its first instruction.
const LEAST_MEMORY: u64 = 6 << 20;
/// As many digits behind the point as can be counted in 128 bits with the greatest suffix.
const MOST_DIGITS: usize = 18;
/// The highest process id that a kernel can be told to give, and so the most processes (proc_sys_kernel(5), `pid_max`).
const MOST_PIDS: u64 = 4_194_304;

impl Amount {
    /// Bytes as docker reads them: `65536`, `64m`, `1.5g`, `64MiB`, always by powers of 1024; or `max`.
    /// A part of a byte is cut off.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn bytes(text: &str) -> Result<Amount, String> {
        if text == "max" {
            return Ok(Amount::Max);
        }
        if text.is_empty() {
            return Err("the value is empty".into());
        }
        if text.starts_with(['-', '+']) {
            return Err("a size has no sign; max takes a limit away".into());
        }
        if text.contains(char::is_whitespace) {
            return Err("a size has no spaces".into());
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let Some((whole, part)) = decimal(number) else { return Err("a size begins with a number".into()) };
        let unit = unit(suffix).ok_or("the number is followed by none of b, k, m, g, t and p")?;
        match multiply(whole, part, unit)? {
            0 => Err("that is 0 bytes; max takes a limit away".into()),
            n => Ok(Amount::Of(n)),
        }
    }

    /// `--memory`: bytes, 6m at the least.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn memory(text: &str) -> Result<Amount, String> {
        match Amount::bytes(text)? {
            few if few < Amount::Of(LEAST_MEMORY) => Err("nothing runs in so little; 6m is the least".into()),
            bytes => Ok(bytes),
        }
    }

    /// `--memory-swap`: bytes; `-1` is `max`, as docker has it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn memory_swap(text: &str) -> Result<Amount, String> {
        if text == "-1" { Ok(Amount::Max) } else { Amount::bytes(text) }
    }

    /// `--pids-limit`: 1 to 4194304; `-1` is `max`, as docker has it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn pids(text: &str) -> Result<Amount, String> {
        match text {
            "max" | "-1" => Ok(Amount::Max),
            _ if whole(text, 0, 0).is_ok() => Err("with 0 nothing could run; -1 and max take a limit away".into()),
            _ => whole(text, 1, MOST_PIDS).map(Amount::Of),
        }
    }

    /// Bytes as one would type them: in the greatest unit that has no rest, `64m`.
    pub fn as_size(self) -> String {
        let Amount::Of(bytes) = self else { return self.to_string() };
        // A shift of ten for each unit; 0 has every unit and needs none.
        let step = if bytes == 0 { 0 } else { (bytes.trailing_zeros() as usize / 10).min(UNITS.len() - 1) };
        let suffix = if step == 0 { "" } else { &UNITS[step..=step] };
        format!("{}{suffix}", bytes >> (10 * step))
    }
}

/// What a suffix multiplies by: a letter, alone or with `b` or `ib`, in any case.
fn unit(suffix: &str) -> Option<u64> {
    let lower = suffix.to_ascii_lowercase();
    let Some(letter) = lower.chars().next() else { return Some(1) };
    let step = UNITS.find(letter)?;
    let tails: &[&str] = if step == 0 { &[""] } else { &["", "b", "ib"] };
    tails.contains(&&lower[letter.len_utf8()..]).then(|| 1 << (10 * step))
}

/// `whole.part` times `unit`, without its fraction.
fn multiply(whole: &str, part: &str, unit: u64) -> Result<u64, String> {
    let part = part.trim_end_matches('0');
    if part.len() > MOST_DIGITS {
        return Err(format!("there are more than {MOST_DIGITS} digits behind the point"));
    }
    let big = || "that is more than the kernel can count; max takes a limit away".to_owned();
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u64>().map_err(|_| big()) };
    let unit = u128::from(unit);
    // The exponent is at most MOST_DIGITS.
    let rest = u128::from(number(part)?) * unit / 10u128.pow(part.len() as u32);
    let sum = u128::from(number(whole)?) * unit + rest;
    i64::try_from(sum).map(i64::unsigned_abs).map_err(|_| big())
}

impl fmt::Display for Amount {
    /// As the files of cgroup v2 have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Of(n) => n.fmt(f),
            Amount::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("1", 1),
            ("65536b", 65_536),
            ("1k", 1024),
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            (".5g", 1 << 29),
            ("1.g", 1 << 30),
            ("0.000000000000001p", 1),
            ("1.999", 1),
            ("1.50000000000000000000000000k", 1536),
            ("007k", 7168),
            ("2T", 2 << 40),
            ("8191p", 8191 << 50),
            ("9223372036854775807", i64::MAX as u64),
        ];
        for (text, bytes) in cases {
            assert_eq!(Amount::bytes(text), Ok(Amount::Of(bytes)), "{text}");
        }
        assert_eq!(Amount::bytes("max"), Ok(Amount::Max));
    }

    #[test]
    fn sizes_that_are_none() {
        let nines = "9".repeat(100_000);
        let long = format!("1.{}k", "3".repeat(100_000));
        let cases = [
            ("", "is empty"),
            ("-1g", "no sign"),
            ("+5", "no sign"),
            ("-1", "no sign"),
            ("5 m", "no spaces"),
            (" 5m", "no spaces"),
            ("5m\n", "no spaces"),
            ("5\u{a0}m", "no spaces"),
            ("m", "begins with a number"),
            (".", "begins with a number"),
            (".m", "begins with a number"),
            ("1.2.3m", "begins with a number"),
            ("nan", "begins with a number"),
            ("MAX", "begins with a number"),
            ("٥m", "begins with a number"),
            ("1e3", "none of b, k"),
            ("5x", "none of b, k"),
            ("5mm", "none of b, k"),
            ("5bb", "none of b, k"),
            ("5bib", "none of b, k"),
            ("5mi", "none of b, k"),
            ("5m\0", "none of b, k"),
            ("5µ", "none of b, k"),
            ("5e", "none of b, k"),
            ("0x10", "none of b, k"),
            ("0", "max takes a limit away"),
            ("0.0", "max takes a limit away"),
            ("0.5", "max takes a limit away"),
            ("0g", "max takes a limit away"),
            ("9223372036854775808", "more than the kernel"),
            ("8192p", "more than the kernel"),
            ("18446744073709551616", "more than the kernel"),
            ("9999999999999999999p", "more than the kernel"),
            (&nines, "more than the kernel"),
            (&long, "digits behind the point"),
        ];
        for (text, part) in cases {
            let said = Amount::bytes(text).unwrap_err();
            assert!(said.contains(part), "{text:?}: {said}");
        }
    }

    #[test]
    fn memory_and_swap() {
        assert_eq!(Amount::memory("6m"), Ok(Amount::Of(6 << 20)));
        assert_eq!(Amount::memory("max"), Ok(Amount::Max));
        assert!(Amount::memory("6291455").is_err_and(|e| e.contains("6m is the least")));
        assert!(Amount::memory("0").is_err_and(|e| e.contains("max takes a limit away")));
        assert!(Amount::memory("-1").is_err());
        assert_eq!(Amount::memory_swap("-1"), Ok(Amount::Max));
        assert!(Amount::memory_swap("-2").is_err());
    }

    #[test]
    fn processes() {
        assert_eq!((Amount::pids("1"), Amount::pids("4194304")), (Ok(Amount::Of(1)), Ok(Amount::Of(4_194_304))));
        assert_eq!((Amount::pids("-1"), Amount::pids("max")), (Ok(Amount::Max), Ok(Amount::Max)));
        assert!(Amount::pids("0").is_err_and(|e| e.contains("-1 and max")));
        for bad in ["", "-2", "4194305", "1k", "1.5", "+1"] {
            assert!(Amount::pids(bad).is_err_and(|e| e.contains("1 to 4194304")), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_printed_as_they_are_typed() {
        for text in ["1", "1023", "1k", "1025", "64m", "1536m", "100000001", "3t", "8191p", "max"] {
            assert_eq!(Amount::bytes(text).unwrap().as_size(), text);
        }
        assert_eq!(Amount::Of(0).as_size(), "0");
        assert_eq!(Amount::Of(1 << 63).as_size(), "8192p");
    }
}
