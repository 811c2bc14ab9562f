//! `--user`: who the command runs as.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `USER[:GROUP]`, each a name or a number. Names are looked up in the image's own /etc/passwd and /etc/group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub user: Id,
    /// The group; none: the user's own from /etc/passwd, else 0.
    pub group: Option<Id>,
}

/// A user or a group, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Id {
    /// A number: no file is needed to resolve it.
    Number(u32),
    /// A name of /etc/passwd or /etc/group in the image.
    Name(String),
}

/// The highest id that can be asked for: `(uid_t) -1` means «no change» to the kernel (setresuid(2)).
const MAX_ID: u32 = u32::MAX - 1;

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<User, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        Ok(User { user: Id::parse(user, "user")?, group: group.map(|g| Id::parse(g, "group")).transpose()? })
    }
}

impl Id {
    fn parse(text: &str, what: &str) -> Result<Id, String> {
        if text.is_empty() {
            return Err(format!("the {what} is empty; it takes USER[:GROUP], names or numbers"));
        }
        // All digits is a number, never a name: a passwd line called "0" must not decide who root is.
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(id) if id <= MAX_ID => Ok(Id::Number(id)),
                _ => Err(format!("{what} {text} is out of range; the highest id is {MAX_ID}")),
            };
        }
        let wrong = |c: char| c.is_control() || c.is_whitespace() || ":,/".contains(c);
        if text.starts_with(['-', '+']) || text.contains(wrong) || text.len() > 256 {
            return Err(format!("{text:?} is no name of a {what}"));
        }
        Ok(Id::Name(text.to_owned()))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => self.user.fmt(f),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(id) => id.fmt(f),
            Id::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!("1000".parse(), Ok(User { user: Id::Number(1000), group: None }));
        assert_eq!("www-data:33".parse(), Ok(User { user: Id::Name("www-data".into()), group: Some(Id::Number(33)) }));
        assert_eq!("0:adm".parse::<User>().map(|u| u.to_string()), Ok("0:adm".into()));
    }

    #[test]
    fn what_is_refused() {
        for bad in
            ["", ":", "1000:", ":0", "+0", "-1", "4294967295", "99999999999999999999", "a b", "a:b:c", "a\n", "../x"]
        {
            assert!(bad.parse::<User>().is_err(), "{bad:?}");
        }
    }
}
