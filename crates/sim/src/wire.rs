//! A connection: bytes that take their time, both ways, and what can go wrong with it.
//!
//! Promises: bytes arrive in their order, whole or not at all; what is written and not read is bounded, as in a socket;
//! all that happens follows from the stream of chance that was handed in. Knows nothing of what the bytes mean.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a socket buffers for each direction.
const WINDOW: usize = 64 << 10;

/// How long bytes are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Latency {
    pub(crate) least: Duration,
    /// Up to so much more.
    pub(crate) jitter: Duration,
    /// And for each byte, on a narrow line.
    pub(crate) per_byte: Duration,
}

/// From which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who connected.
    Out = 0,
    /// To who connected.
    Back = 1,
}

#[derive(Debug, Default)]
struct Lane {
    chunks: VecDeque<(Instant, Bytes)>,
    /// Written and not read.
    held: usize,
    /// No more comes after this.
    end: Option<End>,
    /// Bytes vanish: the peer never gets them.
    is_deaf: bool,
    /// Bytes wait until this is over.
    is_stalled: bool,
    /// The connection breaks when so many more bytes have passed.
    cut_after: Option<usize>,
    passed: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// In good order, at this time.
    Closed(Instant),
    /// The socket is reset as soon as what was sent before has arrived.
    Reset(Instant),
}

#[derive(Debug)]
struct State {
    lanes: [Lane; 2],
    latency: Latency,
    chance: fastrand::Rng,
    /// Nobody is there any more at this end: its process is dead.
    dead: [bool; 2],
}

/// The connection itself, for who makes the weather.
#[derive(Clone, Debug)]
pub(crate) struct Line(Arc<Mutex<State>>);

/// One end of it.
#[derive(Debug)]
pub(crate) struct Wire {
    line: Line,
    /// The way on which this end writes.
    writes: Way,
    alarm: Option<Pin<Box<Sleep>>>,
}

/// A connection: the end that connected, the other, and the line between them.
pub(crate) fn pair(latency: Latency, chance: fastrand::Rng) -> (Wire, Wire, Line) {
    let state = State { lanes: Default::default(), latency, chance, dead: [false; 2] };
    let line = Line(Arc::new(Mutex::new(state)));
    let end = |writes| Wire { line: line.clone(), writes, alarm: None };
    (end(Way::Out), end(Way::Back), line)
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks it at once, for both ends.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        for lane in &mut state.lanes {
            lane.break_off();
        }
    }

    /// The process at the end that connected is gone: what it sent arrives, and then the connection breaks.
    pub(crate) fn dies(&self, end: Way) {
        let mut state = self.state();
        state.dead[end as usize] = true;
        let [out, back] = &mut state.lanes;
        let (sent, received) = if end == Way::Out { (out, back) } else { (back, out) };
        let last = sent.chunks.back().map_or_else(Instant::now, |(due, _)| *due);
        sent.end = Some(End::Reset(last));
        sent.wake();
        received.break_off();
    }

    /// From now on bytes on this way vanish.
    pub(crate) fn deafen(&self, way: Way) {
        self.state().lanes[way as usize].is_deaf = true;
    }

    /// Bytes wait, both ways, or go on.
    pub(crate) fn stall(&self, is_stalled: bool) {
        for lane in &mut self.state().lanes {
            lane.is_stalled = is_stalled;
            lane.wake();
        }
    }

    /// Breaks when so many more bytes have passed on this way.
    pub(crate) fn cut_after(&self, way: Way, bytes: usize) {
        self.state().lanes[way as usize].cut_after = Some(bytes);
    }

    /// It is as it should be again; a half-open one breaks at last.
    pub(crate) fn mend(&self) {
        let is_deaf = {
            let lanes = &mut self.state().lanes;
            lanes.iter_mut().for_each(|lane| lane.cut_after = None);
            lanes.iter().any(|lane| lane.is_deaf)
        };
        if is_deaf {
            self.reset();
        }
    }

    pub(crate) fn set_latency(&self, latency: Latency) {
        self.state().latency = latency;
    }

    /// Nothing more can come or go.
    pub(crate) fn is_over(&self) -> bool {
        self.state().lanes.iter().all(|lane| lane.end.is_some())
    }

    /// Bytes that were sent on this way so far.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.state().lanes[way as usize].passed
    }
}

impl Lane {
    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }

    fn break_off(&mut self) {
        self.chunks.clear();
        self.held = 0;
        self.end = Some(End::Reset(Instant::now()));
        self.wake();
    }

    /// What there is to read now; otherwise when to look again, if that is known.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> Result<io::Result<()>, Option<Instant>> {
        if self.is_stalled {
            return Err(None);
        }
        let now = Instant::now();
        let mut read = false;
        while let Some((due, chunk)) = self.chunks.front_mut() {
            if *due > now || buf.remaining() == 0 {
                break;
            }
            let count = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..count]);
            chunk.advance(count);
            read = true;
            self.held -= count;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
        if read {
            self.writer.take().into_iter().for_each(Waker::wake);
            return Ok(Ok(()));
        }
        if let Some((due, _)) = self.chunks.front() {
            return Err(Some(*due));
        }
        match self.end {
            Some(End::Closed(at) | End::Reset(at)) if at > now => Err(Some(at)),
            Some(End::Closed(_)) => Ok(Ok(())),
            Some(End::Reset(_)) => Ok(Err(io::ErrorKind::ConnectionReset.into())),
            None => Err(None),
        }
    }
}

impl State {
    fn write(&mut self, way: Way, data: &[u8]) -> usize {
        let latency = self.latency;
        let lane = &mut self.lanes[way as usize];
        let mut count = data.len().min(WINDOW.saturating_sub(lane.held));
        let is_cut = lane.cut_after.is_some_and(|left| left <= count);
        if let Some(left) = &mut lane.cut_after {
            count = count.min(*left);
            *left -= count;
        }
        lane.passed += count as u64;
        if lane.is_deaf {
            lane.held += count;
        } else if count > 0 {
            let bytes = u32::try_from(count).unwrap_or(u32::MAX);
            let wait = latency.least + latency.jitter.mul_f64(self.chance.f64()) + latency.per_byte * bytes;
            // In order: nothing overtakes on one connection.
            let before = lane.chunks.back().map_or_else(Instant::now, |(due, _)| *due);
            let due = before.max(Instant::now() + wait);
            lane.held += count;
            lane.chunks.push_back((due, Bytes::copy_from_slice(&data[..count])));
            lane.reader.take().into_iter().for_each(Waker::wake);
        }
        if is_cut {
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                if index == way as usize {
                    let last = lane.chunks.back().map_or_else(Instant::now, |(due, _)| *due);
                    lane.end = Some(End::Reset(last));
                    lane.wake();
                } else {
                    lane.break_off();
                }
            }
        }
        count
    }
}

impl Wire {
    fn reads(&self) -> Way {
        if self.writes == Way::Out { Way::Back } else { Way::Out }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (line, reads, own) = (self.line.clone(), self.reads(), self.writes as usize);
        loop {
            let due = {
                let mut state = line.state();
                if state.dead[own] {
                    return Poll::Pending;
                }
                let lane = &mut state.lanes[reads as usize];
                match lane.take(buf) {
                    Ok(done) => return Poll::Ready(done),
                    Err(due) => {
                        lane.reader = Some(cx.waker().clone());
                        due
                    }
                }
            };
            let Some(due) = due else { return Poll::Pending };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.line.state();
        if state.dead[self.writes as usize] {
            return Poll::Pending;
        }
        let lane = &mut state.lanes[self.writes as usize];
        match lane.end {
            Some(End::Closed(_)) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(End::Reset(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => {}
        }
        if lane.held >= WINDOW && !data.is_empty() {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(state.write(self.writes, data)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hang_up();
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    /// No more from this end; what is under way arrives.
    fn hang_up(&self) {
        let mut state = self.line.state();
        let least = state.latency.least;
        let lane = &mut state.lanes[self.writes as usize];
        if lane.end.is_none() && !lane.is_deaf {
            let last = lane.chunks.back().map_or_else(Instant::now, |(due, _)| *due);
            lane.end = Some(End::Closed(last.max(Instant::now() + least)));
            lane.wake();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.hang_up();
    }
}

#[cfg(test)]
mod tests;
