//! Where an archive is written to.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A place for an archive.
#[derive(Debug)]
pub enum Output {
    /// Written as it comes.
    Stdout,
    /// A file or a folder, there when it is whole.
    Path(PathBuf),
}

/// A draft beside the place, taken away unless it is kept.
struct Draft {
    path: PathBuf,
    kept: bool,
}

impl Draft {
    fn of(place: &Path) -> Result<Draft> {
        let name = place.file_name().with_context(|| format!("{} is no name for a file", place.display()))?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}", std::process::id()));
        let path = place.with_file_name(draft);
        // Of a process that had our number and was killed.
        remove(&path);
        Ok(Draft { path, kept: false })
    }

    fn keep(mut self, place: &Path) -> Result<()> {
        fs::rename(&self.path, place).with_context(|| format!("rename to {}", place.display()))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
}

impl Output {
    /// Writes an archive.
    pub(in crate::transfer) fn archive(self, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let Output::Path(place) = self else {
            let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
            write(&mut out)?;
            return out.flush().context("write to stdout");
        };
        let told = || format!("write {}", place.display());
        match fs::metadata(&place) {
            Ok(meta) if meta.is_dir() => bail!(
                "write {}: it is a folder\n  fix (you): name a file, or use --format oci-dir with a new folder",
                place.display()
            ),
            // A device or a pipe, which has a reader of its own.
            Ok(meta) if meta.file_type().is_fifo() || meta.file_type().is_char_device() => {
                let mut out = BufWriter::new(fs::OpenOptions::new().write(true).open(&place).with_context(told)?);
                write(&mut out).with_context(told)?;
                return out.flush().with_context(told);
            }
            _ => {}
        }
        // A link stays one, and what it leads to is exchanged.
        let place = fs::canonicalize(&place).unwrap_or_else(|_| place.clone());
        let draft = Draft::of(&place)?;
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&draft.path);
        let mut out = BufWriter::with_capacity(1 << 20, file.with_context(told)?);
        write(&mut out).with_context(told)?;
        out.flush().with_context(told)?;
        out.get_ref().sync_all().with_context(told)?;
        draft.keep(&place)
    }

    /// Writes a folder, which must not be there yet.
    pub(super) fn folder(self, write: impl FnOnce(&mut Folder) -> Result<()>) -> Result<()> {
        let Output::Path(place) = self else {
            bail!("a folder cannot be written to stdout\n  fix (you): name it with -o")
        };
        let empty = fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_none());
        ensure!(
            empty || fs::symlink_metadata(&place).is_err(),
            "write {}: something is there already\n  fix (you): name a new folder",
            place.display()
        );
        let draft = Draft::of(&std::path::absolute(&place)?)?;
        let told = || format!("write {}", place.display());
        fs::create_dir(&draft.path).with_context(told)?;
        write(&mut Folder(draft.path.clone())).with_context(told)?;
        draft.keep(&std::path::absolute(&place)?)
    }
}

/// Takes files one after the other.
pub trait Sink {
    /// A file of exactly `size` bytes.
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()>;
    /// A folder, before what is in it: some readers make those that are left out as root's, and fail.
    fn folder(&mut self, name: &str) -> Result<()>;
    /// There are no more.
    fn end(&mut self) -> Result<()>;
}

/// A tar archive in which nothing but names and content differs from file to file.
pub struct Tar<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Tar<'a> {
    /// Starts with an empty archive.
    pub fn new(out: &'a mut dyn Write) -> Tar<'a> {
        Tar { out }
    }
}

impl Sink for Tar<'_> {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        self.out.write_all(header(name, size, tar::EntryType::Regular)?.as_bytes())?;
        let copied = io::copy(content, &mut self.out)?;
        ensure!(copied == size, "{name} has {copied} bytes, not {size}: it changed meanwhile");
        let filling = usize::try_from(size.wrapping_neg() % 512)?;
        Ok(self.out.write_all(&[0; 512][..filling])?)
    }

    fn folder(&mut self, name: &str) -> Result<()> {
        Ok(self.out.write_all(header(&format!("{name}/"), 0, tar::EntryType::Directory)?.as_bytes())?)
    }

    fn end(&mut self) -> Result<()> {
        Ok(self.out.write_all(&[0; 1024])?)
    }
}

fn header(name: &str, size: u64, kind: tar::EntryType) -> Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(kind);
    header.set_cksum();
    Ok(header)
}

/// A folder.
pub struct Folder(PathBuf);

impl Sink for Folder {
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let copied = io::copy(content, &mut File::create_new(self.0.join(name))?)?;
        ensure!(copied == size, "{name} has {copied} bytes, not {size}: it changed meanwhile");
        Ok(())
    }

    fn folder(&mut self, name: &str) -> Result<()> {
        Ok(fs::create_dir(self.0.join(name))?)
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}
