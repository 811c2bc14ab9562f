//! Numbers as they are typed, without floating point: what is not a number in ASCII digits is refused.

/// A whole number from `least` to `most`: ASCII digits and nothing else.
///
/// # Errors
/// A sentence that says what it takes.
pub fn whole(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number = if is_digits(text) { text.parse().ok() } else { None };
    number
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("that is not a whole number from {least} to {most}"))
}

/// `--oom-score-adj`: -1000, which is never killed, to 1000, which is killed first (proc_pid_oom_score_adj(5)).
///
/// # Errors
/// A sentence that says what it takes.
pub fn oom_score_adj(text: &str) -> Result<i16, String> {
    let number = if is_digits(text.strip_prefix('-').unwrap_or(text)) { text.parse().ok() } else { None };
    number
        .filter(|n| (-1000..=1000).contains(n))
        .ok_or_else(|| "that is not a whole number from -1000 to 1000".to_owned())
}

/// `--cpu-shares`, 2 to 262144, as docker counts.
///
/// # Errors
/// A sentence that says what it takes.
pub fn cpu_shares(text: &str) -> Result<u64, String> {
    match whole(text, 0, u64::MAX) {
        Ok(0) => Err("0 stands for the usual share; leave the flag out for that".into()),
        _ => whole(text, 2, 262_144),
    }
}

/// The `cpu.weight` for docker's CPU shares, by the formula of runc and crun since 2025: it runs through the three fixed
/// points, so that the usual 1024 shares are the usual weight 100, 2 are 1 and 262144 are 10000.
pub fn weight_of_shares(shares: u64) -> u64 {
    let log = log2(shares.clamp(2, 262_144));
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // The fixed points come out as whole numbers and a last bit, which must not be rounded up.
    let weight = (ten_to_the(exponent) - 1e-6).ceil();
    (weight as u64).clamp(1, 10_000)
}

/// By hand: that of the standard library is in libm, which every start would have to load for it.
fn log2(n: u64) -> f64 {
    let whole = n.ilog2();
    let (mut log, mut rest, mut bit) = (f64::from(whole), n as f64 / (1_u64 << whole) as f64, 0.5);
    while bit > 1e-17 {
        rest *= rest;
        if rest >= 2.0 {
            rest /= 2.0;
            log += bit;
        }
        bit /= 2.0;
    }
    log
}

/// 10 to the power of a small number: the series of e to the power of its 256th part, and that squared eight times.
fn ten_to_the(exponent: f64) -> f64 {
    let part = exponent * std::f64::consts::LN_10 / 256.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..16 {
        term *= part / f64::from(n);
        sum += term;
    }
    (0..8).fold(sum, |power, _| power * power)
}

/// The digits before and behind the point, of which one may be missing: `12`, `1.5`, `.5`, `1.`.
pub(super) fn decimal(text: &str) -> Option<(&str, &str)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let only_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    (whole.len() + part.len() > 0 && only_digits(whole) && only_digits(part)).then_some((whole, part))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        assert_eq!(whole("1", 1, 10_000), Ok(1));
        assert_eq!(whole("0010000", 1, 10_000), Ok(10_000));
        let long = "9".repeat(100_000);
        for bad in
            ["", "0", "10001", "-1", "+5", " 5", "5 ", "5\n", "5\0", "1.0", "1e3", "0x5", "٥", "５", "max", &long]
        {
            assert_eq!(whole(bad, 1, 10_000), Err("that is not a whole number from 1 to 10000".into()), "{bad:?}");
        }
    }

    #[test]
    fn scores() {
        for (text, n) in [("-1000", -1000), ("-5", -5), ("0", 0), ("-0", 0), ("1000", 1000)] {
            assert_eq!(oom_score_adj(text), Ok(n));
        }
        for bad in ["", "-", "--5", "+5", "-1001", "1001", "5.0", "- 5", "٥", "99999999999999999999"] {
            assert!(oom_score_adj(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let formula = |shares: u64| {
            let log = (shares as f64).log2();
            (10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0) - 1e-6).ceil() as u64
        };
        assert_eq!((2..=262_144).find(|shares| weight_of_shares(*shares) != formula(*shares)), None);
    }

    #[test]
    fn shares() {
        assert_eq!((cpu_shares("2"), cpu_shares("262144")), (Ok(2), Ok(262_144)));
        assert!(cpu_shares("0").is_err_and(|e| e.contains("leave the flag out")));
        for bad in ["", "1", "262145", "-1", "1.5", "max", "18446744073709551616"] {
            assert_eq!(cpu_shares(bad), Err("that is not a whole number from 2 to 262144".into()), "{bad:?}");
        }
    }

    #[test]
    fn the_weight_of_shares() {
        let pairs = [(2, 1), (1024, 100), (262_144, 10_000), (0, 1), (1, 1), (u64::MAX, 10_000)];
        let between = [(3, 2), (10, 4), (100, 17), (512, 59), (2048, 174), (4096, 303), (10_000, 627), (100_000, 4340)];
        for (shares, weight) in pairs.into_iter().chain(between) {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        assert!((2..262_144).all(|s| weight_of_shares(s) <= weight_of_shares(s + 1)));
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal("12"), Some(("12", "")));
        assert_eq!(decimal("1.5"), Some(("1", "5")));
        assert_eq!((decimal(".5"), decimal("1.")), (Some(("", "5")), Some(("1", ""))));
        for bad in ["", ".", "1.2.3", "-1", "+1", "1e3", "nan", "inf", "1,5", "١", " 1"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }
}
