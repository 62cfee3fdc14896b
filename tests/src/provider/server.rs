//! Connections: HTTP/1.1, HTTP/2 where the client agrees to it, and WebSockets that HTTP/1.1 opens.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Shared,
    body::{Fate, Paced},
    counted::Counted,
    record::Protocol,
    routes,
    script::Death,
    websocket::{self, Opening},
};

/// What the exchanges of one connection share.
#[derive(Clone)]
pub struct Link {
    /// Number of the connection, counted from 1.
    pub connection: u64,
    /// Port of the client's side.
    pub peer_port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// The provider's records.
    pub shared: Arc<Shared>,
    /// How it is to end.
    pub fate: Fate,
    /// A WebSocket that is to begin once the answer has left.
    pub opening: Arc<Mutex<Option<Opening>>>,
}

/// Accepts connections until the runtime ends.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        // Accepting fails when file descriptors are short, which passes.
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            // A client that breaks the handshake off is its own business.
            if let Ok(tls) = acceptor.accept(stream).await {
                connection(tls, peer.port(), shared).await;
            }
        });
    }
}

async fn connection(tls: TlsStream<TcpStream>, peer_port: u16, shared: Arc<Shared>) {
    // Without this the last events of a slow stream would wait for acknowledgements.
    let _ = tls.get_ref().0.set_nodelay(true);
    let protocol = match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let io = Counted::new(tls, peer_port, protocol, shared.clone());
    let link = Link {
        connection: io.number,
        peer_port,
        protocol,
        shared,
        fate: Fate::default(),
        opening: Arc::default(),
    };
    let service = {
        let link = link.clone();
        service_fn(move |request: Request<Incoming>| -> Answering {
            let link = link.clone();
            Box::pin(async move { Ok(routes::exchange(request, link).await) })
        })
    };
    let io = TokioIo::new(io);
    // An error here is a client that went away or a death by script; either way the connection ends.
    if protocol == Protocol::Http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        return;
    }
    let mut http = http1::Builder::new().serve_connection(io, service);
    let _ = std::future::poll_fn(|cx| http.poll_without_shutdown(cx)).await;
    let parts = http.into_parts();
    let mut io = parts.io.into_inner();
    let opening = link.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(opening) = opening {
        // What the client sent right behind its handshake has been read already.
        io = websocket::serve(io, parts.read_buf, opening, &link).await;
    }
    end(io.inner, &link.fate).await;
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Paced>, Infallible>> + Send>>;

async fn end(mut tls: TlsStream<TcpStream>, fate: &Fate) {
    let fate = *fate.lock().unwrap_or_else(PoisonError::into_inner);
    match fate {
        Some(Death::Reset) => {
            let _ = tls.get_ref().0.set_zero_linger();
        }
        Some(Death::Quit) => {}
        Some(Death::Close) | None => {
            let _ = tls.shutdown().await;
        }
    }
}
