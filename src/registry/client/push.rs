//! Writing: blobs and manifests (distribution-spec, "Push"). Never to a mirror.

use super::{Client, digest_of};
use crate::{
    registry::{
        address::Address,
        error::Fault,
        net::{self, Answer, Payload},
        server::{Ask, Server},
    },
    spec::{Digest, digest::Algorithm},
};
use anyhow::Result;
use std::io::Read;
use ureq::http::{Method, StatusCode};

impl Client {
    /// Lets the registry take a blob from another of its repositories. `false`: it does not, and the blob must be
    /// uploaded.
    ///
    /// # Errors
    /// An [`Error`](crate::registry::Error), where it is not just a refusal.
    pub fn mount_blob(&self, digest: &Digest, from_repository: &str) -> Result<bool> {
        let step = || format!("take the blob {digest} of {from_repository} for {}/{}", self.host, self.repository);
        let scope = format!("repository:{}:pull,push repository:{from_repository}:pull", self.repository);
        let mounted = self.own(step, |server| {
            server.settle(&self.net)?;
            let to = self.uploads(server).with_query("mount", &digest.to_string()).with_query("from", from_repository);
            let answer = self.send(server, Method::POST, &to, vec![], Payload::None, &scope)?;
            match answer.status() {
                StatusCode::CREATED => Ok(true),
                StatusCode::ACCEPTED => {
                    self.cancel(server, &answer, &to);
                    Ok(false)
                }
                status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => Ok(false),
                _ => Err(server.refused(answer)),
            }
        })?;
        Ok(mounted)
    }

    /// Uploads a blob of `size` bytes in one piece. `content` is read once; where it fails, the blob is not there.
    ///
    /// # Errors
    /// An [`Error`](crate::registry::Error).
    pub fn upload_blob(&self, digest: &Digest, size: u64, content: &mut (dyn Read + Send)) -> Result<()> {
        let step = || format!("upload the blob {digest} to {}/{}", self.host, self.repository);
        let scope = self.push_scope();
        self.own(step, |server| {
            server.settle(&self.net)?;
            let to = self.uploads(server);
            let answer = self.send(server, Method::POST, &to, vec![], Payload::None, &scope)?;
            if answer.status() != StatusCode::ACCEPTED {
                return Err(server.refused(answer));
            }
            let to = upload(&answer, &to)?.with_query("digest", &digest.to_string());
            let headers = vec![("content-type", "application/octet-stream".to_owned())];
            let answer = self.send(server, Method::PUT, &to, headers, Payload::Stream(content, size), &scope)?;
            match answer.status() {
                StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
                _ => Err(server.refused(answer)),
            }
        })?;
        Ok(())
    }

    /// Puts a manifest under a tag or its digest; the digest of the bytes.
    ///
    /// # Errors
    /// An [`Error`](crate::registry::Error).
    pub fn put_manifest(&self, wanted: &str, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let step = || format!("put the manifest {}", self.named(wanted));
        let digest = self.own(step, |server| {
            server.settle(&self.net)?;
            let digest = digest_of(Algorithm::Sha256, bytes)?;
            let to = server.at(&format!("{}/manifests/{wanted}", self.repository));
            let headers = vec![("content-type", media_type.to_owned())];
            let answer = self.send(server, Method::PUT, &to, headers, Payload::Bytes(bytes), &self.push_scope())?;
            match answer.status() {
                status if status.is_success() => Ok(digest),
                _ => Err(server.refused(answer)),
            }
        })?;
        Ok(digest)
    }

    fn push_scope(&self) -> String {
        format!("repository:{}:pull,push", self.repository)
    }

    fn uploads(&self, server: &Server) -> Address {
        server.at(&format!("{}/blobs/uploads/", self.repository))
    }

    /// To the registry, or without its secrets to where it said that uploads go.
    fn send(
        &self,
        server: &Server,
        method: Method,
        to: &Address,
        headers: Vec<(&'static str, String)>,
        payload: Payload<'_>,
        scope: &str,
    ) -> Result<Answer, Fault> {
        if to.origin == *server.origin() {
            return server.ask(&self.net, to, Ask { method, headers, payload, scope });
        }
        self.net.exchange(&method, to, &headers, payload)
    }

    /// Takes an upload back that is not needed; where that fails, the registry does it one day.
    fn cancel(&self, server: &Server, answer: &Answer, from: &Address) {
        if let Ok(to) = upload(answer, from) {
            let _ = self.send(server, Method::DELETE, &to, vec![], Payload::None, &self.push_scope());
        }
    }
}

/// Where an upload that was begun goes on.
fn upload(answer: &Answer, from: &Address) -> Result<Address, Fault> {
    let server = from.origin.authority();
    let location = net::header(answer, "location")
        .ok_or_else(|| Fault::protocol(format!("{server} does not say where to upload to")))?;
    let to = from.join(location).map_err(|why| Fault::protocol(format!("{server} has uploads go to {why}")))?;
    if from.origin.https && !to.origin.https && !to.origin.is_loopback() {
        return Err(Fault::protocol(format!("{server} has uploads go from https to plain http: {}", to.origin)));
    }
    Ok(to)
}
