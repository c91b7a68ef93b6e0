//! Property names as the client spelled them.
//!
//! The hub keeps the case of `iothub-app-DeviceId`, hyper hands header names out in lower case. So the bytes of a
//! request's head are looked at on their way in. Relies on clients that wait for an answer before the next request
//! (all SDKs do); one that does not gets its names in lower case. Never changes a byte.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// hyper refuses longer heads; what is beyond is body.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The bytes that came in since the last request, up to the bound.
#[derive(Clone)]
pub(crate) struct Head(Arc<Mutex<Option<Vec<u8>>>>);

impl Default for Head {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

impl Head {
    /// The names of the request that has just been read, by their lower-case form. Starts over.
    pub(crate) fn take_names(&self) -> HashMap<String, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names(&kept.as_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Forgets the body: what comes next is a head.
    pub(crate) fn clear(&self) {
        if let Some(kept) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            kept.clear();
        }
    }

    /// Nothing is noted any more: what comes next is not HTTP.
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn keep(&self, bytes: &[u8]) {
        if let Some(kept) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let room = HEAD_BYTES_MAX.saturating_sub(kept.len());
            kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }
}

/// Header names of the first head in `bytes`. Of a name that comes twice the first spelling counts.
fn names(bytes: &[u8]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n').skip(1) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { break };
        if let Some(Ok(name)) = line.get(..at).map(std::str::from_utf8) {
            names.entry(name.to_ascii_lowercase()).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// A stream that notes what is read from it.
pub(crate) struct Noted<S> {
    pub(crate) stream: S,
    pub(crate) head: Head,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(new) = buf.filled().get(before..).filter(|new| !new.is_empty()) {
            self.head.keep(new);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_case_of_the_wire_and_end_with_the_head() {
        let head = b"POST / HTTP/1.1\r\niothub-app-DeviceId: a\r\nHost: x\r\n\r\niothub-app-deviceid: body\r\n";
        let names = names(head);
        assert_eq!(names.get("iothub-app-deviceid").map(String::as_str), Some("iothub-app-DeviceId"));
        assert_eq!(names.len(), 2);
    }
}
