//! Bodies that move a connection's [`Pace`]: the request's to "ours" when it is read or given up, the answer's to
//! "idle" when it is written or given up.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::pace::{Pace, Phase};

/// A body and the phase that begins when it ends.
#[derive(Debug)]
pub struct Marked<B> {
    body: B,
    then: Phase,
    pace: Option<Pace>,
}

/// The body of a request.
pub type RequestBody = Marked<Incoming>;

impl<B: Body> Marked<B> {
    /// When `body` ends or is dropped, the connection enters `then`.
    pub fn new(body: B, pace: Pace, then: Phase) -> Self {
        let mut marked = Self { body, then, pace: Some(pace) };
        if then == Phase::Ours && marked.body.is_end_stream() {
            marked.end();
        }
        marked
    }
}

impl<B> Marked<B> {
    fn end(&mut self) {
        if let Some(pace) = self.pace.take() {
            pace.enter(self.then);
        }
    }
}

impl<B> Drop for Marked<B> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Marked<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        let over = match &polled {
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if over && this.then == Phase::Ours {
            this.end();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
