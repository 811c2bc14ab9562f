//! Becoming the user the command runs as: ids, groups and home from the image's own files (passwd(5), group(5)).

use super::{Failure, Inside};
use crate::{
    spec::{User, user::Id},
    sys::{code, cred, process, target},
};
use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// The most that is read of a file of the image.
const LIMIT: u64 = 4 << 20;

/// A user as the image knows it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    name: Option<String>,
    uid: u32,
    gid: u32,
    home: Option<String>,
}

impl Inside {
    pub(super) fn become_user(&mut self, user: &User) -> Result<(), Failure> {
        let root = self.roots()?.new.as_fd();
        let passwd = read(root, "/etc/passwd");
        let account = account(&passwd, &user.user)?;
        let (gid, groups) = if user.group.is_some() || account.name.is_some() {
            let group = read(root, "/etc/group");
            let gid = user.group.as_ref().map(|g| gid(&group, g)).transpose()?.unwrap_or(account.gid);
            (gid, if user.group.is_some() { Vec::new() } else { memberships(&group, &account, gid) })
        } else {
            (account.gid, Vec::new())
        };
        self.home = account.home.or_else(|| (account.uid == 0).then(|| "/root".into()));
        // Root keeps the caller's own groups, by which files of shared folders stay within reach; so does a user whom the
        // image puts into no group. Where setgroups(2) was given up with the id map, there is no choice.
        if account.uid != 0 && !groups.is_empty() {
            match cred::set_groups(&groups) {
                Err(e) if [Some(code::EPERM), Some(code::EINVAL)].contains(&e.raw_os_error()) => {}
                done => done?,
            }
        }
        cred::set_ids(account.uid, gid).map_err(|e| unmapped(e, account.uid, gid))?;
        if account.uid != 0 {
            // Without this a user namespace's maker would keep its rights until exec.
            cred::set_capabilities(0)?;
        }
        // The change of ids has taken it back.
        Ok(process::die_with_parent()?)
    }
}

fn unmapped(e: std::io::Error, uid: u32, gid: u32) -> Failure {
    if e.raw_os_error() != Some(code::EINVAL) {
        return e.into();
    }
    Failure::with(e, format!("uid {uid} or gid {gid} does not exist in this user namespace"))
}

/// What cannot be read is as good as empty: images without the file are common.
fn read(root: BorrowedFd<'_>, path: &str) -> String {
    target::read(root, Path::new(path), LIMIT)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn account(passwd: &str, user: &Id) -> Result<Account, Failure> {
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        let account = Account {
            name: Some(name.into()),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: (!home.is_empty()).then(|| home.into()),
        };
        let wanted = match user {
            Id::Number(id) => account.uid == *id,
            Id::Name(wanted) => name == wanted,
        };
        wanted.then_some(account)
    });
    match (found, user) {
        (Some(account), _) => Ok(account),
        (None, Id::Number(id)) => Ok(Account { uid: *id, ..Account::default() }),
        (None, Id::Name(name)) => Err(unknown(format!("the image's /etc/passwd knows no user {name:?}"))),
    }
}

fn gid(group: &str, wanted: &Id) -> Result<u32, Failure> {
    match wanted {
        Id::Number(id) => Ok(*id),
        Id::Name(name) => group_lines(group)
            .find_map(|(known, id, _)| (known == name).then_some(id))
            .ok_or_else(|| unknown(format!("the image's /etc/group knows no group {name:?}"))),
    }
}

fn memberships(group: &str, account: &Account, own: u32) -> Vec<u32> {
    let Some(name) = account.name.as_deref() else { return Vec::new() };
    let member = |members: &str| members.split(',').any(|m| m == name);
    let mut all: Vec<u32> =
        group_lines(group).filter(|(_, id, members)| *id != own && member(members)).map(|(_, id, _)| id).collect();
    if !all.is_empty() {
        all.push(own);
    }
    all
}

fn group_lines(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some((name, id, fields.next().unwrap_or_default()))
    })
}

fn unknown(detail: String) -> Failure {
    Failure { errno: 0, status: crate::EXIT_OURS, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbroken\nbad:x:y:0::/:\nweb:x:33:34::/var/www:/bin/false\n0:x:7:7::/z:\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:web\nssl:x:99:a,web\nbroken:x\nadm:x:4:webx\n";

    #[test]
    fn accounts() {
        let found = |id| account(PASSWD, &id).unwrap_or_default();
        assert_eq!(found(Id::Name("web".into())).home.as_deref(), Some("/var/www"));
        assert_eq!(found(Id::Number(33)).gid, 34);
        assert_eq!(found(Id::Number(0)).name.as_deref(), Some("root"));
        assert_eq!(found(Id::Number(4711)), Account { uid: 4711, ..Account::default() });
        assert!(account(PASSWD, &Id::Name("gone".into())).is_err());
    }

    #[test]
    fn groups() {
        let web = account(PASSWD, &Id::Number(33)).unwrap_or_default();
        assert_eq!(memberships(GROUP, &web, 34), [99, 34]);
        assert_eq!(memberships(GROUP, &Account::default(), 0), [0u32; 0]);
        assert_eq!(gid(GROUP, &Id::Name("ssl".into())).ok(), Some(99));
        assert!(gid(GROUP, &Id::Name("none".into())).is_err());
    }
}
