//! Names of signals (signal(7)).

/// The names of the first 31, from 1 on, without `SIG`: those of every architecture that this program is built for.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The first signal of those that programs may give a meaning, as the C library counts, and the last.
const REAL_TIME: (u8, u8) = (34, 64);

/// The number of a signal that is given by name, with or without `SIG`, or by number: `SIGTERM`, `int`, `9`,
/// `RTMIN+3`.
///
/// # Errors
/// A sentence that says that it is none.
pub fn parse(text: &str) -> Result<u8, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (first, last) = REAL_TIME;
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        text => text.strip_prefix(sign)?.parse::<u8>().ok(),
    };
    let number = if name.bytes().all(|b| b.is_ascii_digit()) {
        name.parse().ok()
    } else if let Some(rest) = name.strip_prefix("RTMIN") {
        offset(rest, '+').and_then(|n| first.checked_add(n))
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        offset(rest, '-').and_then(|n| last.checked_sub(n)).filter(|n| *n >= first)
    } else {
        NAMES.iter().position(|known| *known == name).and_then(|n| u8::try_from(n + 1).ok())
    };
    number.filter(|n| (1..=last).contains(n)).ok_or_else(|| format!("{text:?} is no signal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGWINCH", 28),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("RTMIN", 34),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
        for bad in ["", "0", "65", "SIG", "TERMINATE", "RTMIN+31", "RTMAX-31", "-1", "RTMIN3"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
