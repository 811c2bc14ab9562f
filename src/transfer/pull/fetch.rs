//! Blobs from a registry, and how often it is tried.

use crate::{
    oci::Descriptor,
    registry::{self, Client, Kind},
    transfer::{Origin, Stream},
};
use anyhow::Result;
use std::{
    io::{self, Read},
    time::Duration,
};

/// The longest that a registry's wish to be left alone is honoured within one pull.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How failures that may pass are borne.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Tries in all.
    pub tries: u32,
    /// The pause after the first; each one after it is twice as long.
    pub first: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { tries: 5, first: Duration::from_secs(1) }
    }
}

impl Patience {
    /// After which pause it is worth trying again, for the n-th time (from 1) after this error.
    pub fn pause(&self, error: &anyhow::Error, n: u32) -> Option<Duration> {
        if n >= self.tries {
            return None;
        }
        let usual = jittered(self.first * 2_u32.pow((n - 1).min(6)));
        match error.downcast_ref::<registry::Error>().map(|e| (&e.kind, e.is_transient())) {
            // An hour is not waited for.
            Some((Kind::TooManyRequests { retry_after: Some(wish) }, _)) => Some(*wish).filter(|w| *w <= LONGEST_PAUSE),
            // Where nobody listens, nobody will in a second.
            Some((Kind::Unavailable, _)) if n > 1 && is_hopeless(error) => None,
            Some((_, true)) => Some(usual),
            Some((_, false)) => None,
            None => error.chain().any(|part| part.is::<io::Error>()).then_some(usual),
        }
    }

    /// Does it again while that may help.
    ///
    /// # Errors
    /// The last one.
    pub fn bear<T>(&self, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
        let mut n = 1;
        loop {
            let error = match ask() {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let Some(pause) = self.pause(&error, n) else { return Err(error) };
            crate::say::info(&format!(
                "{}; trying again in {:.1} s",
                in_one_line(&error.to_string()),
                pause.as_secs_f32()
            ));
            std::thread::sleep(pause);
            n += 1;
        }
    }
}

fn is_hopeless(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<registry::Error>().map(registry::Error::cause).unwrap_or_default();
    ["refused", "no address", "lookup"].iter().any(|word| cause.contains(word))
}

/// A fifth more or less, so that many machines do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
    pause.mul_f64(0.8 + 0.4 * f64::from(now % 1000) / 1000.0)
}

/// An error of several lines in one: what failed and why, without the remedy.
pub fn in_one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let head = lines.next().unwrap_or_default().trim_end_matches(':');
    let cause = lines.find_map(|line| line.strip_prefix("cause: "));
    let line = cause.map_or_else(|| head.to_owned(), |cause| format!("{head}: {cause}"));
    // What stands behind the remedy is about the next try.
    let next = text.lines().skip(1).last().and_then(|last| last.rsplit_once("; trying again"));
    let line = next.map_or(line.clone(), |(_, when)| format!("{line}; trying again{when}"));
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Layers from a registry.
pub struct Layers<'a> {
    pub client: &'a Client,
    pub patience: Patience,
}

impl Origin for Layers<'_> {
    fn open(&self, layer: &Descriptor, from: u64) -> Result<Stream> {
        let body = self.client.blob(&layer.digest, from, layer.size)?;
        Ok(Stream { reader: body.reader, start: body.start })
    }

    fn again(&self, error: &anyhow::Error, n: u32) -> Option<Duration> {
        self.patience.pause(error, n)
    }
}

/// A document.
pub fn whole(client: &Client, wanted: &Descriptor) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    client.blob(&wanted.digest, 0, wanted.size)?.reader.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether these are the bytes that were announced.
pub fn is_it(wanted: &Descriptor, bytes: &[u8]) -> Result<(), String> {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    let is: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    match bytes.len() as u64 {
        size if size != wanted.size => Err(format!("{size} bytes came, and {} were announced", wanted.size)),
        _ if is != wanted.digest.hex() => Err(format!("what came hashes to sha256:{is}, not to {}", wanted.digest)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses() {
        let patience = Patience { tries: 3, first: Duration::from_secs(1) };
        let broke = anyhow::Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
        let (one, two) = (patience.pause(&broke, 1).unwrap(), patience.pause(&broke, 2).unwrap());
        assert!(one >= Duration::from_millis(800) && one <= Duration::from_millis(1200));
        assert!(two >= Duration::from_millis(1600) && two <= Duration::from_millis(2400));
        assert_eq!(patience.pause(&broke, 3), None);
        assert_eq!(patience.pause(&anyhow::anyhow!("wrong"), 1), None);
    }

    #[test]
    fn one_line() {
        let text = "get it\n  cause: 503\u{1b}[2J\n  fix (you): try again; a mirror; trying again in 1 s";
        assert_eq!(in_one_line(text), "get it: 503?[2J; trying again in 1 s");
        assert_eq!(in_one_line("waiting"), "waiting");
    }
}
