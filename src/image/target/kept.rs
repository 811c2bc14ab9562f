//! What could not be applied to a file, kept as long as that file is there.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Attributes, Target};
use crate::image::owners::{Device, OwnerRecord, Owners, encode};

impl Target<'_> {
    /// What could not be applied, file by file, in the order of the paths.
    pub fn take_records(&mut self) -> Vec<OwnerRecord> {
        std::mem::take(&mut self.records).into_values().collect()
    }

    /// Records what was meant, unless it is `complete`; then a record of a file that was there before goes.
    pub(super) fn keep_record(
        &mut self,
        path: &Path,
        attributes: &Attributes,
        complete: bool,
        device: Option<Device>,
        xattrs: BTreeMap<String, String>,
    ) {
        if complete && xattrs.is_empty() {
            if !self.records.is_empty() {
                self.records.remove(&encode(path.as_os_str().as_bytes()));
            }
            return;
        }
        let Attributes { mode, uid, gid, .. } = *attributes;
        let path = path.as_os_str().as_bytes();
        if self.owners == Owners::Mapped && !complete && device.is_none() {
            self.notes.add("files whose owner is outside the range of this user, given to root instead", path);
        }
        let path = encode(path);
        self.records.insert(path.clone(), OwnerRecord { path, uid, gid, mode, device, xattrs });
    }

    /// What was recorded of a file that goes, and of all below it.
    pub(super) fn forget(&mut self, path: &Path) {
        if self.records.is_empty() {
            return;
        }
        let path = encode(path.as_os_str().as_bytes());
        self.records.remove(&path);
        let below = format!("{path}/");
        let gone = self.records.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below));
        for path in gone.map(|(path, _)| path.clone()).collect::<Vec<_>>() {
            self.records.remove(&path);
        }
    }
}
