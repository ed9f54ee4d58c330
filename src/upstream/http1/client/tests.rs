//! A client against peers that answer, close, cut and fall silent.
#![expect(clippy::disallowed_methods, reason = "tests")]

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn client() -> (Client, TcpListener) {
    crate::app::install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    (Client::new(&url, Duration::from_secs(5)).unwrap(), listener)
}

async fn ask(client: &Client) -> Result<Response<Body>, Fault> {
    let to = (Method::POST, PathAndQuery::from_static("/v1/x?y"));
    client.send(to, HeaderMap::new(), reqwest::Body::from("hello")).await
}

/// Reads one request, and answers.
async fn answer(peer: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"hello") {
        assert_ne!(peer.read_buf(&mut seen).await.unwrap(), 0, "the client left");
    }
    peer.write_all(text.as_bytes()).await.unwrap();
    String::from_utf8(seen).unwrap()
}

const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_that_was_read_to_the_end_serves_the_next_request() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let head = answer(&mut peer, SHORT).await;
        answer(&mut peer, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
        answer(&mut peer, "HTTP/1.1 204 No Content\r\n\r\n").await;
        answer(&mut peer, SHORT).await;
        (head, listener)
    });
    for expected in ["ok", "ok", "", "ok"] {
        let body = ask(&client).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, expected);
    }
    let (head, listener) = served.await.unwrap();
    let host = format!("host: {}\r\n", listener.local_addr().unwrap());
    assert!(head.starts_with("POST /v1/x?y HTTP/1.1\r\n") && head.contains(&host), "{head}");
    assert!(head.contains("content-length: 5\r\n"), "{head}");
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_replaced_unseen() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut peer, _) = listener.accept().await.unwrap();
            answer(&mut peer, SHORT).await;
        }
    });
    for _ in 0..3 {
        let body = ask(&client).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "ok");
        // Until the end of the connection has been heard of.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    served.await.unwrap();
}

#[tokio::test]
async fn pieces_come_as_they_are_sent_and_a_cut_is_an_error() {
    let (client, listener) = client().await;
    let (go, mut wait) = tokio::sync::mpsc::unbounded_channel::<()>();
    let served = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        answer(&mut peer, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for piece in ["1\r\na\r\n", "1\r\nb\r\n1\r\nc\r\n", "1\r\nd\r\n"] {
            peer.write_all(piece.as_bytes()).await.unwrap();
            wait.recv().await.unwrap();
        }
    });
    let mut body = ask(&client).await.unwrap().into_body();
    for expected in ["a", "b", "c", "d"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
        if expected != "b" {
            go.send(()).unwrap();
        }
    }
    served.await.unwrap();
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none_or(|frame| frame.is_err()));
}

#[tokio::test]
async fn a_dropped_body_closes_its_connection() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        answer(&mut peer, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await;
        peer.read(&mut [0; 8]).await.unwrap_or(0)
    });
    let mut body = ask(&client).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(served.await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_listening_and_nobody_answering_are_told_apart() {
    let (client, listener) = client().await;
    let served = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        answer(&mut peer, "").await;
    });
    assert!(matches!(ask(&client).await, Err(Fault::Broke(_))));
    served.await.unwrap();
    assert!(matches!(ask(&client).await, Err(Fault::Refused(_))));
}
