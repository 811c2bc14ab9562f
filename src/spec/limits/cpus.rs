//! `--cpus`: parts of CPUs.

use super::number::decimal;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// CPU time in millionths of a CPU, so that 0.25 stays 0.25.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cpus {
    /// So many millionths.
    Micro(u64),
    /// No bound.
    Max,
}

/// docker's least, 0.01 CPU: the kernel's own for a period of 100 ms.
const LEAST_CPUS: u64 = 10_000;
/// As many CPUs as Linux can be built for.
const MOST_CPUS: u64 = 8192 * 1_000_000;

impl FromStr for Cpus {
    type Err = String;

    /// `--cpus`: a decimal number from 0.01 to 8192, or `max`.
    fn from_str(text: &str) -> Result<Cpus, String> {
        if text == "max" {
            return Ok(Cpus::Max);
        }
        let Some((whole, part)) = decimal(text) else { return Err("that is not a decimal number from 0.01 on".into()) };
        if part.len() > 6 {
            return Err("there are more than 6 digits behind the point".into());
        }
        // Both are digits or nothing, so that only too many of them fail.
        let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok() };
        let micro = || number(whole)?.checked_mul(1_000_000)?.checked_add(number(&format!("{part:0<6}"))?);
        match micro() {
            Some(n) if n < LEAST_CPUS => Err("the least is 0.01; max takes a limit away".into()),
            Some(n) if n <= MOST_CPUS => Ok(Cpus::Micro(n)),
            _ => Err("that is more CPUs than Linux can have, 8192".into()),
        }
    }
}

impl fmt::Display for Cpus {
    /// As one would type it: `0.25`, `2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cpus::Micro(n) => {
                let text = format!("{}.{:06}", n / 1_000_000, n % 1_000_000);
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
            Cpus::Max => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_cpus() {
        for (text, micro, printed) in [
            ("0.25", 250_000, "0.25"),
            (".5", 500_000, "0.5"),
            ("1.", 1_000_000, "1"),
            ("0.01", 10_000, "0.01"),
            ("1.000001", 1_000_001, "1.000001"),
            ("10", 10_000_000, "10"),
            ("8192", MOST_CPUS, "8192"),
        ] {
            let cpus = text.parse::<Cpus>().unwrap();
            assert_eq!((cpus, cpus.to_string().as_str()), (Cpus::Micro(micro), printed));
        }
        assert_eq!("max".parse(), Ok(Cpus::Max));
        let nines = "9".repeat(100_000);
        let cases = [
            ("", "not a decimal number"),
            (".", "not a decimal number"),
            ("-1", "not a decimal number"),
            ("+1", "not a decimal number"),
            ("nan", "not a decimal number"),
            ("1e3", "not a decimal number"),
            ("1 ", "not a decimal number"),
            ("1,5", "not a decimal number"),
            ("１", "not a decimal number"),
            ("1\0", "not a decimal number"),
            ("0.0", "the least is 0.01"),
            ("0.009999", "the least is 0.01"),
            ("0.1234567", "6 digits"),
            ("8192.000001", "more CPUs"),
            ("18446744073709.551616", "more CPUs"),
            (&nines, "more CPUs"),
        ];
        for (text, part) in cases {
            let said = text.parse::<Cpus>().unwrap_err();
            assert!(said.contains(part), "{text:?}: {said}");
        }
    }
}
