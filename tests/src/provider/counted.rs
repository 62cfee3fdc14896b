//! The provider's side of a connection, with its account of plaintext bytes.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{
    Shared,
    record::{Connection, Protocol},
};

/// Counts the plaintext that goes through.
pub struct Counted {
    /// The connection.
    pub inner: TlsStream<TcpStream>,
    /// Its number, counted from 1.
    pub number: u64,
    shared: Arc<Shared>,
}

impl Counted {
    /// Opens the account of a connection that was accepted.
    pub fn new(inner: TlsStream<TcpStream>, peer_port: u16, protocol: Protocol, shared: Arc<Shared>) -> Self {
        let mut connections = shared.connections();
        connections.push(Connection { peer_port, protocol, ..Connection::default() });
        let number = connections.len() as u64;
        drop(connections);
        Self { inner, number, shared }
    }

    fn count(&self, change: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.shared.connections().get_mut(self.number as usize - 1) {
            change(connection);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.count(|m| m.received += (buf.filled().len() - before) as u64);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = result {
            self.count(|m| m.sent += n as u64);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
