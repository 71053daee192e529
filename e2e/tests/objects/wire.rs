//! The line between a program and the server, which tells what went over it.

use std::time::Duration;

use e2e::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port of this machine behind which the server is.
pub(crate) struct Wire {
    pub(crate) endpoint: String,
    seen: watch::Receiver<Seen>,
}

/// What went over it so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Connections that were asked for.
    asked: u64,
    /// Bytes that came from the server.
    bytes: u64,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (tell, seen) = watch::channel(Seen::default());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tell.send_modify(|seen| seen.asked += 1);
                tokio::spawn(carry(client, port, tell.clone()));
            }
        });
        Ok(Self { endpoint, seen })
    }

    /// Waits until somebody has asked for that many connections.
    pub(crate) async fn is_asked(&self, times: u64) -> Result {
        self.until(|seen| seen.asked >= times).await
    }

    /// Waits until so many bytes more have come from the server.
    pub(crate) async fn brings(&self, more: u64) -> Result {
        let least = self.seen.borrow().bytes + more;
        self.until(|seen| seen.bytes >= least).await
    }

    async fn until(&self, reached: impl Fn(&Seen) -> bool) -> Result {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| reached(seen))).await;
        if waited.is_err() {
            return Err(format!("after {PATIENCE:?}: {:?}", *self.seen.borrow()).into());
        }
        Ok(())
    }
}

/// Both ways, until one side ends.
async fn carry(client: TcpStream, port: u16, tell: watch::Sender<Seen>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut of_client, mut to_client) = client.into_split();
    let (mut of_server, mut to_server) = server.into_split();
    let up = async { drop(tokio::io::copy(&mut of_client, &mut to_server).await) };
    let down = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = of_server.read(&mut buffer).await {
            tell.send_modify(|seen| seen.bytes += length as u64);
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = up => {}, () = down => {} }
}
