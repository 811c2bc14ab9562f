//! Files with several names: each name is a record of its own, and in the formats newc and crc only the last of them has
//! the content. A layer is written the other way round, the content first, so names without it wait here.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, ensure};

use crate::image::tape::{Member, MemberKind};

/// What the names that are kept may take of memory: several million.
const MOST_BYTES: usize = 256 << 20;

/// What a name takes besides its bytes.
const OVERHEAD: usize = 256;

/// Major and minor device number, and the inode.
type Key = (u64, u64, u64);

#[derive(Debug)]
enum Seen {
    /// The member with the first name, and the other names.
    Waiting(Box<Member>, Vec<Vec<u8>>),
    /// The name that has the content.
    There(Vec<u8>),
}

/// The files with several names of the current archive.
#[derive(Debug, Default)]
pub struct Links {
    seen: BTreeMap<Key, Seen>,
    ready: VecDeque<Member>,
    bytes: usize,
}

impl Links {
    /// A member that is free to go: a name whose content has come.
    pub fn next(&mut self) -> Option<Member> {
        self.ready.pop_front()
    }

    /// What becomes of a name of the file `key`: the file, a link to it, or nothing until the content comes.
    pub fn place(&mut self, key: Key, member: Member) -> Result<Option<Member>> {
        self.bytes += member.path.len() + OVERHEAD;
        ensure!(self.bytes <= MOST_BYTES, "too many files with several names");
        match self.seen.get_mut(&key) {
            Some(Seen::There(first)) => {
                // The content again, as in the format odc, is skipped.
                let link = first.clone();
                Ok(Some(link_to(link, member)))
            }
            Some(Seen::Waiting(_, more)) if member.size == 0 => {
                more.push(member.path);
                Ok(None)
            }
            None if member.size == 0 => {
                self.seen.insert(key, Seen::Waiting(Box::new(member), Vec::new()));
                Ok(None)
            }
            _ => {
                if let Some(Seen::Waiting(first, more)) = self.seen.insert(key, Seen::There(member.path.clone())) {
                    self.release(&first, more, &member.path);
                    let again = link_to(member.path.clone(), clone_as(&first, first.path.clone()));
                    self.ready.push_front(again);
                }
                Ok(Some(member))
            }
        }
    }

    /// The end of the archive: what still waits was empty indeed, and the next archive begins anew.
    pub fn end(&mut self) {
        for seen in std::mem::take(&mut self.seen).into_values() {
            if let Seen::Waiting(first, more) = seen {
                let path = first.path.clone();
                let file = clone_as(&first, path.clone());
                self.ready.push_back(file);
                self.release(&first, more, &path);
            }
        }
        self.bytes = 0;
    }

    fn release(&mut self, first: &Member, names: Vec<Vec<u8>>, target: &[u8]) {
        self.ready.extend(names.into_iter().map(|name| link_to(target.to_vec(), clone_as(first, name))));
    }
}

fn clone_as(member: &Member, path: Vec<u8>) -> Member {
    let &Member { mode, uid, gid, mtime, size, .. } = member;
    Member { kind: MemberKind::File, path, link: Vec::new(), mode, uid, gid, mtime, size, xattrs: Vec::new() }
}

fn link_to(link: Vec<u8>, member: Member) -> Member {
    Member { kind: MemberKind::HardLink, link, size: 0, ..member }
}
