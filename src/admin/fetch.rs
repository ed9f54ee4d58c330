//! Asks the admin listener of a running gateway.

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More than this is not read.
const MOST: usize = 256 << 20;

/// The body of `GET path`, if it was answered with 200; the error says what to do.
pub async fn fetch(addr: &str, path: &str) -> Result<Bytes, String> {
    let stream = TcpStream::connect(addr).await;
    let stream =
        stream.map_err(|error| format!("no gateway at {addr}: {error}; name its `admin` address with --admin"))?;
    let failed = |error: hyper::Error| format!("{addr} does not answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get(path).header(header::HOST, addr).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > MOST {
                break;
            }
        }
        Ok((status, bytes.freeze()))
    };
    let answered = tokio::select! {
        answered = exchange => answered,
        Err(error) = connection => Err(error),
    };
    let (status, body) = answered.map_err(failed)?;
    if status == StatusCode::OK {
        Ok(body)
    } else {
        Err(format!("{addr}: {status}: {}", String::from_utf8_lossy(&body).trim()))
    }
}
