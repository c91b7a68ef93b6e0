//! What stands on the wire: one call is one request, however large its body.

use bytes::Bytes;
use queue::blobs::{BLOB_BYTES_MAX, Blobs, New};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::trouble::at;

/// More than Microsoft's crates send or read at once when they are not told to.
const LARGE: usize = 5 << 20;

/// Reads a request to its end: its first line, and which part of the blob it wants.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let range = head.lines().find(|line| line.starts_with("range: ")).unwrap_or_default();
    format!("{} {range}", head.lines().next().unwrap())
}

#[tokio::test]
async fn a_large_body_goes_and_comes_in_one_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let container = at(listener.local_addr().unwrap().port());
    let serve = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let put = request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let get = request(&mut stream).await;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {LARGE}\r\ncontent-range: bytes 0-{}/{LARGE}\r\n\r\n",
            LARGE - 1
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; LARGE]).await.unwrap();
        [put, get]
    });
    let body = Bytes::from(vec![7; LARGE]);
    assert_eq!(container.put_new("door/1", body.clone()).await.result.unwrap(), New::Put);
    assert!(container.get("door/1").await.result.unwrap() == Some(body));
    let path = "/devstoreaccount1/longhaul/door%2F1";
    let whole = format!("range: bytes=0-{}", BLOB_BYTES_MAX - 1);
    assert_eq!(serve.await.unwrap(), [format!("PUT {path} HTTP/1.1 "), format!("GET {path} HTTP/1.1 {whole}")]);
}
