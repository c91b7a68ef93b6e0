//! Waits and bounds, in virtual time and over pipes.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::Instant;

use super::*;
use crate::amqp::peer::tests::cloud;
use crate::driver::{LINGER_MAX, STALL_MAX};

/// The bare header, and an open that asks for nothing.
const HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_open_is_let_go() {
    let (cloud, _) = cloud(&[]);
    let (ours, mut theirs) = duplex(1 << 16);
    let driven = tokio::spawn(drive::<Peer>(ours, Arc::clone(&cloud), Plug::default()));
    theirs.write_all(HEADER).await.unwrap();
    let began = Instant::now();
    driven.await.unwrap();
    assert!((15..30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(cloud.directory().counts(Protocol::Amqp), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_after_a_minute() {
    let (cloud, _) = cloud(&[]);
    // Too small for a single answer.
    let (ours, mut theirs) = duplex(4);
    let driven = tokio::spawn(drive::<Peer>(ours, cloud, Plug::default()));
    let began = Instant::now();
    theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap_or_default();
    driven.await.unwrap();
    assert!((STALL_MAX..=STALL_MAX + LINGER_MAX).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_speak_amqp_is_told_what_is_spoken() {
    let (cloud, _) = cloud(&[]);
    let (ours, mut theirs) = duplex(1 << 16);
    let driven = tokio::spawn(drive::<Peer>(ours, cloud, Plug::default()));
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).await.unwrap();
    assert!(said.starts_with(b"AMQP"), "{said:?}");
    drop(theirs);
    driven.await.unwrap();
}
