//! The least that a pull has to do, each part alone, in a process of its own so that it is measured like the others.

use super::image;
use flate2::bufread::MultiGzDecoder;
use ring::digest::{Context, SHA256};
use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, mpsc},
    thread,
};

/// The first argument for this part.
pub const WORD: &str = "--floor";
/// What comes next: hash and inflate, or write.
pub const INFLATE: &str = "inflate";
pub const WRITE: &str = "write";

const BUFFER: usize = 128 * 1024;

pub fn main(words: &[String]) -> ExitCode {
    let done = match words {
        [what, layout] if what == INFLATE => inflate(Path::new(layout)),
        [what, layout, to] if what == WRITE => write(Path::new(layout), Path::new(to)),
        _ => Err(io::Error::other("no such floor")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("floor: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The packed stream is hashed and inflated, the plain one is hashed; two threads.
fn inflate(layout: &Path) -> io::Result<()> {
    let (_, manifest) = image::manifest(layout)?;
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let all: Vec<PathBuf> =
        layers.map(|layer| image::blob_path(layout, layer["digest"].as_str().unwrap_or_default())).collect();
    match &all[..] {
        [one] => apart(one),
        _ => over_two(all, |layer| {
            let mut state = Context::new(&SHA256);
            plain(&layer, &mut |piece| state.update(&piece))?;
            state.finish();
            Ok(())
        }),
    }
}

/// A single layer: its plain stream is hashed by the other thread.
fn apart(layer: &Path) -> io::Result<()> {
    let (to, from) = mpsc::sync_channel::<Vec<u8>>(4);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut state = Context::new(&SHA256);
            from.into_iter().for_each(|piece| state.update(&piece));
            state.finish();
        });
        plain(layer, &mut |piece| to.send(piece).unwrap_or_default())?;
        drop(to);
        Ok(())
    })
}

struct Hashed<R>(R, Context);

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read(into)?;
        self.1.update(&into[..got]);
        Ok(got)
    }
}

fn plain(layer: &Path, give: &mut dyn FnMut(Vec<u8>)) -> io::Result<()> {
    let packed = Hashed(File::open(layer)?, Context::new(&SHA256));
    let mut plain = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, packed));
    loop {
        let mut piece = Vec::with_capacity(BUFFER);
        plain.by_ref().take(BUFFER as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            plain.into_inner().into_inner().1.finish();
            return Ok(());
        }
        give(piece);
    }
}

/// The files of the plain tars, with nothing but their folders and their content; two threads.
fn write(layout: &Path, to: &Path) -> io::Result<()> {
    let plain = (0..).map(|n| layout.join(format!("plain-{n}.tar"))).take_while(|tar| tar.exists());
    over_two(plain.collect(), |tar| {
        let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER, File::open(tar)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let place = to.join(entry.path()?);
            if entry.header().entry_type().is_dir() {
                fs::create_dir_all(place)?;
            } else {
                let mut content = Vec::with_capacity(entry.size() as usize);
                entry.read_to_end(&mut content)?;
                fs::write(place, content)?;
            }
        }
        Ok(())
    })
}

fn over_two(all: Vec<PathBuf>, one: impl Fn(PathBuf) -> io::Result<()> + Sync) -> io::Result<()> {
    let all = Mutex::new(all.into_iter());
    let work = || -> io::Result<()> {
        loop {
            let next = all.lock().map_err(|_| io::Error::other("the other thread panicked"))?.next();
            let Some(next) = next else { return Ok(()) };
            one(next)?;
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(work);
        work().and(other.join().map_err(|_| io::Error::other("a thread panicked"))?)
    })
}
