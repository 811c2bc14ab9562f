//! Lists of CPUs, as cpuset(7) and the kernel's files have them: `0-3,5`.

use super::number::whole;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// CPUs by number, ascending, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuSet(pub Vec<u32>);

/// The highest number that Linux can be built for.
const LAST: u32 = 8191;

impl CpuSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether this CPU is one of them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// Whether all of them are in `other` too.
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.iter().all(|cpu| other.contains(cpu))
    }
}

impl FromIterator<u32> for CpuSet {
    /// In any order, and more than once.
    fn from_iter<I: IntoIterator<Item = u32>>(all: I) -> CpuSet {
        let mut all: Vec<u32> = all.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        CpuSet(all)
    }
}

impl FromStr for CpuSet {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuSet, String> {
        if text.is_empty() {
            return Err("the value is empty".into());
        }
        // By number, so that a list that repeats itself without end costs nothing.
        let mut named = [false; LAST as usize + 1];
        for word in text.split(',') {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (cpu(first)?, cpu(last)?);
            if first > last {
                return Err(format!("the range {first}-{last} runs backwards"));
            }
            named[first..=last].fill(true);
        }
        Ok((0..=LAST).zip(named).filter_map(|(cpu, is_named)| is_named.then_some(cpu)).collect())
    }
}

fn cpu(text: &str) -> Result<usize, String> {
    let wrong = |_| format!("it takes numbers of CPUs, 0 to {LAST}, and ranges of them, with commas between");
    whole(text, 0, LAST.into()).map(|n| n as usize).map_err(wrong)
}

impl fmt::Display for CpuSet {
    /// Ranges where there are any, as the kernel prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, range) in self.0.chunk_by(|a, b| a.checked_add(1) == Some(*b)).enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match range {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [one] => write!(f, "{comma}{one}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> CpuSet {
        text.parse().unwrap()
    }

    #[test]
    fn lists() {
        assert_eq!(set("5,0-2,1,1").0, [0, 1, 2, 5]);
        for (text, printed) in
            [("0", "0"), ("0,1", "0-1"), ("3-3", "3"), ("5,0-3", "0-3,5"), ("1,3,5", "1,3,5"), ("0-8191", "0-8191")]
        {
            assert_eq!(set(text).to_string(), printed);
            assert_eq!(set(printed), set(text));
        }
        assert_eq!(CpuSet::default().to_string(), "");
        assert_eq!(CpuSet::from_iter([u32::MAX, 7, 7]).to_string(), "7,4294967295");
    }

    #[test]
    fn what_is_in_them() {
        let few = set("1-2");
        assert_eq!((few.len(), few.iter().sum::<u32>(), few.is_empty()), (2, 3, false));
        assert!(few.contains(2) && !few.contains(0));
        assert!(few.is_subset(&set("0-3")) && few.is_subset(&few) && !few.is_subset(&set("0-1,3")));
        assert!(CpuSet::default().is_subset(&few));
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            ",",
            "0,",
            ",0",
            "-",
            "0-",
            "-1",
            "+1",
            "0--1",
            "0-1-2",
            "8192",
            "0-8192",
            "a",
            "0 1",
            " 0",
            "0\n",
            "0\0",
            "٣",
            "1.5",
            "0-3:1/2",
            "0x1",
            "all",
            "99999999999999999999",
        ] {
            assert!(bad.parse::<CpuSet>().is_err(), "{bad:?}");
        }
        assert_eq!("3-1".parse::<CpuSet>(), Err("the range 3-1 runs backwards".into()));
    }

    #[test]
    fn a_list_that_repeats_itself() {
        let long = vec!["0-8191"; 10_000].join(",");
        assert_eq!(set(&long).len(), 8192);
    }
}
