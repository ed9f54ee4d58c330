//! A TCP proxy in front of a real Redis that can be slow, and can break connections in the middle
//! of a reply.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the proxy does to what comes back.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) delay_ms: AtomicU64,
    /// Send half of the next reply, then break the connection.
    pub(crate) cut: AtomicBool,
}

pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    pub(crate) faults: Arc<Faults>,
    _work: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (addr, faults) = (listener.local_addr().unwrap(), Arc::new(Faults::default()));
        let mut work = JoinSet::new();
        let shared = Arc::clone(&faults);
        work.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(relay(client, port, Arc::clone(&shared)));
            }
        });
        Self { addr, faults, _work: work }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }
}

async fn relay(client: TcpStream, port: u16, faults: Arc<Faults>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let forth = async { tokio::io::copy(&mut from_client, &mut to_server).await };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(faults.delay_ms.load(Ordering::SeqCst))).await;
            let cut = faults.cut.swap(false, Ordering::SeqCst);
            let bytes = if cut { &buffer[..count / 2] } else { &buffer[..count] };
            if to_client.write_all(bytes).await.is_err() || cut {
                return;
            }
        }
    };
    tokio::select! {
        _ = forth => {}
        () = back => {}
    }
}
