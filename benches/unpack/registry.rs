//! A registry on the loopback device, and an image put into it.

use super::image::{self, Image};
use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The program, as Debian names it.
pub const PROGRAM: &str = "docker-registry";

const PATIENCE: Duration = Duration::from_secs(10);

/// Ends when dropped.
pub struct Registry {
    child: Child,
    _folder: TempDir,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl Registry {
    pub fn start() -> Result<Registry, String> {
        let told = |e: std::io::Error| format!("{PROGRAM}: {e}");
        let folder = tempfile::Builder::new().prefix("lc-registry-").tempdir().map_err(told)?;
        // A port that is free now, and very likely a moment later.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(told)?;
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: {free}\n",
            folder.path().join("storage").display()
        );
        fs::write(&config, text).map_err(told)?;
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(told)?;
        let registry = Registry { child, _folder: folder, address: free.to_string() };
        let begin = Instant::now();
        while TcpStream::connect(free).is_err() {
            if begin.elapsed() > PATIENCE {
                return Err(format!("{PROGRAM} does not answer at {free}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// By the distribution specification, "Pushing": each blob in one piece, then the manifest.
    pub fn push(&self, image: &Image) -> Result<(), String> {
        let told = |e: &dyn std::fmt::Display| format!("push {}: {e}", image.name);
        let (descriptor, manifest) = image::manifest(&image.layout).map_err(|e| told(&e))?;
        let blobs = manifest["layers"].as_array().into_iter().flatten().chain([&manifest["config"]]);
        for digest in blobs.filter_map(|blob| blob["digest"].as_str()) {
            self.blob(image, digest).map_err(|e| told(&e))?;
        }
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let bytes = fs::read(image::blob_path(&image.layout, digest)).map_err(|e| told(&e))?;
        let url = format!("http://{}/v2/{}/manifests/{}", self.address, image.name, image::TAG);
        ureq::put(url).content_type(image::MANIFEST).send(&bytes[..]).map_err(|e| told(&e))?;
        Ok(())
    }

    fn blob(&self, image: &Image, digest: &str) -> Result<(), ureq::Error> {
        let url = format!("http://{}/v2/{}/blobs/uploads/", self.address, image.name);
        let begun = ureq::post(url).send_empty()?;
        let place = begun.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let place = if place.starts_with('/') { format!("http://{}{place}", self.address) } else { place.to_owned() };
        let sign = if place.contains('?') { '&' } else { '?' };
        let file = File::open(Path::new(&image::blob_path(&image.layout, digest)))?;
        ureq::put(format!("{place}{sign}digest={digest}")).content_type("application/octet-stream").send(file)?;
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
