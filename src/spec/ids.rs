//! Id maps: which user and group ids exist inside, and who they are outside (user_namespaces(7)).

use serde::{Deserialize, Serialize};
use std::fmt;

/// `--userns`: which ids exist inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Userns {
    /// A range where this user has one and the helpers work, else the single id
    #[default]
    Auto,
    /// You are root inside and your subordinate ids are the others; an error where there are none
    Range,
    /// You are root inside and no other id exists
    Single,
    /// You keep your own ids inside; the others are your subordinate ids where you have them
    KeepId,
}

/// One line of uid_map or gid_map: `count` ids from `inside` on are the ids from `outside` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first id inside the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many ids follow one another.
    pub count: u32,
}

impl Extent {
    /// One extent, in the order in which the kernel's files have the three numbers.
    pub const fn new(inside: u32, outside: u32, count: u32) -> Extent {
        Extent { inside, outside, count }
    }

    /// Whether `id` is one of those inside.
    pub fn contains(&self, id: u32) -> bool {
        id.checked_sub(self.inside).is_some_and(|n| n < self.count)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// Maps for both kinds of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The lines of uid_map.
    pub uid: Vec<Extent>,
    /// The lines of gid_map.
    pub gid: Vec<Extent>,
}

impl IdMap {
    /// Whether more than one user id exists inside.
    pub fn is_range(&self) -> bool {
        self.uid.iter().map(|e| u64::from(e.count)).sum::<u64>() > 1
    }
}

/// A range of subordinate ids, as `/etc/subuid` has it (subuid(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first id.
    pub start: u32,
    /// How many there are.
    pub count: u32,
}

/// Own id as 0, then the subordinate ranges one after another from 1 on.
pub fn own_as_root(own: u32, ranges: &[Range]) -> Vec<Extent> {
    let mut map = vec![Extent::new(0, own, 1)];
    fill(&mut map, 1, u32::MAX, ranges);
    map
}

/// Own id as itself, the subordinate ranges below and above it.
pub fn own_as_itself(own: u32, ranges: &[Range]) -> Vec<Extent> {
    let mut map = Vec::new();
    let rest = fill(&mut map, 0, own, ranges);
    map.push(Extent::new(own, own, 1));
    if let Some(next) = own.checked_add(1) {
        fill(&mut map, next, u32::MAX, &rest);
    }
    map
}

/// Lays `ranges` over the ids from `next` up to, not including, `end`; gives back what was not used.
fn fill(map: &mut Vec<Extent>, mut next: u32, end: u32, ranges: &[Range]) -> Vec<Range> {
    let mut rest = Vec::new();
    for range in ranges {
        let count = range.count.min(end - next);
        if count > 0 {
            map.push(Extent::new(next, range.start, count));
            next += count;
        }
        if count < range.count {
            rest.push(Range { start: range.start + count, count: range.count - count });
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &[Range] = &[Range { start: 100_000, count: 65_536 }];

    #[test]
    fn own_id_is_root() {
        assert_eq!(own_as_root(1000, SUB), [Extent::new(0, 1000, 1), Extent::new(1, 100_000, 65_536)]);
        assert_eq!(own_as_root(1000, &[]), [Extent::new(0, 1000, 1)]);
    }

    #[test]
    fn own_id_stays() {
        let map = own_as_itself(1000, SUB);
        assert_eq!(
            map,
            [Extent::new(0, 100_000, 1000), Extent::new(1000, 1000, 1), Extent::new(1001, 101_000, 64_536)]
        );
        assert_eq!(own_as_itself(1000, &[]), [Extent::new(1000, 1000, 1)]);
    }

    #[test]
    fn an_id_above_the_range() {
        let map = own_as_itself(5_000_000, SUB);
        assert_eq!(map, [Extent::new(0, 100_000, 65_536), Extent::new(5_000_000, 5_000_000, 1)]);
    }

    #[test]
    fn two_ranges_join_up() {
        let two = [Range { start: 100_000, count: 10 }, Range { start: 300_000, count: 5 }];
        assert_eq!(own_as_root(7, &two)[1..], [Extent::new(1, 100_000, 10), Extent::new(11, 300_000, 5)]);
        assert!(own_as_root(7, &two)[2].contains(15) && !own_as_root(7, &two)[2].contains(16));
    }
}
