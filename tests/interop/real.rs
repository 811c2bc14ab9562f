//! The registry of Debian, `docker-registry serve`, on a free port of loopback, with its blobs in a folder of its own.

use super::support::Ground;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Ends when it is dropped.
pub struct Real {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    log: PathBuf,
}

impl Real {
    pub fn start(ground: &Ground) -> Real {
        // Between looking for a free port and taking it somebody else may take it.
        (0..5).find_map(|_| Real::attempt(ground)).expect("docker-registry does not start")
    }

    fn attempt(ground: &Ground) -> Option<Real> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let folder = ground.path("work/registry");
        let text = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: \"{}\"}}}}\nhttp: {{addr: \"{address}\"}}\n",
            folder.display()
        );
        let config = ground.file("registry.yml", text);
        let log = ground.file("registry.log", "");
        let mut command = ground.command("docker-registry");
        command.arg("serve").arg(config).stdout(fs::File::create(&log).unwrap()).stderr(Stdio::null());
        let mut real = Real { child: command.spawn().unwrap(), address, log };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) && real.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(&real.address).is_ok() {
                return Some(real);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The name of an image in it.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// How often a blob was handed out, whole or in part.
    pub fn fetched(&self, digest: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap();
        let wanted = |line: &&str| {
            line.contains("\"GET ") && line.contains(&format!("/blobs/{digest} ")) && line.contains("\" 20")
        };
        log.lines().filter(wanted).count()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
