use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::chance::stream;

const FAST: Latency =
    Latency { least: Duration::from_millis(10), jitter: Duration::from_millis(10), per_byte: Duration::ZERO };

fn wired() -> (Wire, Wire, Line) {
    pair(FAST, stream(1, "test"))
}

fn in_virtual_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test);
}

#[test]
fn bytes_arrive_in_order_after_their_time() {
    in_virtual_time(async {
        let (mut near, mut far, _) = wired();
        let began = Instant::now();
        for word in ["a", "bc", "def"] {
            near.write_all(word.as_bytes()).await.unwrap();
        }
        near.shutdown().await.unwrap();
        let mut all = String::new();
        far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "abcdef");
        assert!((FAST.least..FAST.least + FAST.jitter * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    });
}

#[test]
fn who_is_not_read_from_has_to_wait() {
    in_virtual_time(async {
        let (mut near, mut far, _) = wired();
        let writing = tokio::spawn(async move { near.write_all(&[0; WINDOW + 1]).await.map(|()| near) });
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(!writing.is_finished());
        far.read_exact(&mut [0; 1]).await.unwrap();
        writing.await.unwrap().unwrap();
    });
}

#[test]
fn a_deaf_way_swallows_and_the_other_still_speaks() {
    in_virtual_time(async {
        let (mut near, mut far, line) = wired();
        line.deafen(Way::Out);
        near.write_all(b"hello").await.unwrap();
        far.write_all(b"anybody?").await.unwrap();
        near.read_exact(&mut [0; 8]).await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_secs(3600), far.read(&mut [0; 8])).await;
        assert!(nothing.is_err());
        line.reset();
        assert_eq!(far.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_stalled_line_delivers_late_and_a_cut_one_breaks_amid_a_word() {
    in_virtual_time(async {
        let (mut near, mut far, line) = wired();
        line.stall(true);
        near.write_all(b"late").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(60), far.read(&mut [0; 8])).await.is_err());
        line.stall(false);
        far.read_exact(&mut [0; 4]).await.unwrap();
        line.cut_after(Way::Out, 3);
        assert_eq!(near.write(b"broken").await.unwrap(), 3);
        let mut got = Vec::new();
        assert!(far.read_to_end(&mut got).await.is_err());
        assert_eq!(got, b"bro");
        assert!(near.write(b"x").await.is_err() && near.read(&mut [0; 1]).await.is_err());
    });
}

#[test]
fn what_a_dead_process_sent_arrives_and_then_the_line_breaks() {
    in_virtual_time(async {
        let (mut near, mut far, line) = wired();
        near.write_all(b"last words").await.unwrap();
        line.dies(Way::Out);
        assert!(line.is_over());
        let mut got = Vec::new();
        let error = far.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((got.as_slice(), error.kind()), (&b"last words"[..], io::ErrorKind::ConnectionReset));
        assert!(far.write(b"x").await.is_err());
        drop(near);
    });
}
