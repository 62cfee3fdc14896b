//! A local provider over TLS: OpenAI Chat Completions, Responses, Realtime and Embeddings, Anthropic Messages, Google's
//! generateContent and batchEmbedContents, and Amazon Bedrock's Converse and InvokeModel, plain and streamed, over
//! HTTP/1.1 and, where asked for, HTTP/2 and WebSockets, as the real APIs answer. The request's model steers it
//! ([`script::Script`]); it records what it was sent and what it sent ([`record::Exchange`]), and counts the bytes of each
//! connection ([`record::Connection`]).

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_rustls::TlsAcceptor;

pub mod answer;
mod anthropic;
mod bedrock;
mod body;
mod counted;
mod embeddings;
mod google;
mod openai;
mod realtime;
pub mod record;
mod responses;
mod routes;
pub mod script;
mod server;
mod tls;
mod websocket;

use record::{Connection, Exchange, Moved};

/// A word in every completion's text: where no content may be, it may not be.
pub const REPLY_MARK: &str = "kingfisher-in-the-reply";
/// What an answer gives away where the model's name has `leak`: an address and a key.
pub const LEAKED: [&str; 2] = ["jo.doe@mail.example.com", "sk-proj-A1b2C3d4E5f6G7h8"];

#[derive(Default)]
struct Shared {
    exchanges: Mutex<Vec<Exchange>>,
    changed: Condvar,
    connections: Mutex<Vec<Connection>>,
}

impl Shared {
    fn exchanges(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an exchange, and returns its number.
    fn open(&self, mut exchange: Exchange) -> u64 {
        let mut exchanges = self.exchanges();
        let number = exchanges.len() as u64 + 1;
        exchange.number = number;
        exchanges.push(exchange);
        drop(exchanges);
        self.changed.notify_all();
        number
    }

    /// Changes the record of an exchange.
    fn update(&self, number: u64, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.exchanges().get_mut(number as usize - 1) {
            change(exchange);
        }
        self.changed.notify_all();
    }
}

/// Protocols that a provider agrees to, as ALPN calls them (RFC 7301; RFC 9113, section 3.1), the preferred one first.
pub const HTTP1: &[&str] = &["http/1.1"];
/// HTTP/2 with clients that offer it, HTTP/1.1 with all others.
pub const HTTP2: &[&str] = &["h2", "http/1.1"];

/// A running provider; it ends when this is dropped.
pub struct Provider {
    address: SocketAddr,
    ca: PathBuf,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Provider {
    /// Starts one on the loopback address, on `port` or any if that is 0, and writes the certificate of its
    /// authority to `ca.pem` in `dir`.
    pub fn start(dir: &Path, port: u16) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Self::speaking(HTTP1, dir, port)
    }

    /// The same with other protocols.
    pub fn speaking(protocols: &[&str], dir: &Path, port: u16) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (config, ca_pem) = tls::identity(protocols)?;
        let ca = dir.join("ca.pem");
        std::fs::write(&ca, ca_pem).map_err(|e| format!("can't write {}: {e}", ca.display()))?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
            .map_err(|e| format!("can't listen on 127.0.0.1:{port}: {e}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(server::serve(listener, acceptor, shared.clone()));
        Ok(Self { address, ca, shared, runtime: Some(runtime) })
    }

    /// Port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `https://localhost:PORT`
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// The authority's certificate, for clients to trust.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// Everything that it was asked and answered so far, in order of arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges().clone()
    }

    /// The LLM calls among them.
    pub fn calls(&self) -> Vec<Exchange> {
        self.exchanges().into_iter().filter(Exchange::is_call).collect()
    }

    /// Every connection so far, in the order of acceptance.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.connections().clone()
    }

    /// Plaintext bytes moved so far.
    pub fn moved(&self) -> Moved {
        self.connections().iter().fold(Moved::default(), |sum, connection| Moved {
            connections: sum.connections + 1,
            received: sum.received + connection.received,
            sent: sum.sent + connection.sent,
        })
    }

    /// Waits until the exchanges satisfy `ready`; `false` if they did not in time.
    pub fn wait(&self, timeout: Duration, ready: impl Fn(&[Exchange]) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        let mut exchanges = self.shared.exchanges();
        loop {
            if ready(&exchanges) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(exchanges, left);
            exchanges = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
