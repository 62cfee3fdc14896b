//! Connections and routes.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Shared,
    answer::{Answer, Content},
    anthropic,
    body::{Fate, Paced, Watch},
    openai,
    record::{Ending, Exchange, Facts},
    script::Death,
};

/// Accepts connections until the runtime ends.
pub async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        // Accepting fails when file descriptors are short, which passes.
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            // A client that breaks the handshake off is its own business.
            if let Ok(tls) = acceptor.accept(stream).await {
                connection(tls, peer, shared).await;
            }
        });
    }
}

async fn connection(tls: TlsStream<TcpStream>, peer: SocketAddr, shared: Arc<Shared>) {
    // Without this the last events of a slow stream would wait for acknowledgements.
    let _ = tls.get_ref().0.set_nodelay(true);
    let number = shared.connection();
    let fate = Fate::default();
    let service = {
        let (shared, fate) = (shared.clone(), fate.clone());
        service_fn(move |request| {
            let (shared, fate) = (shared.clone(), fate.clone());
            Box::pin(async move { Ok::<_, Infallible>(exchange(request, number, peer, shared, fate).await) })
        })
    };
    let io = TokioIo::new(Counted { inner: tls, shared });
    let mut http = http1::Builder::new().serve_connection(io, service);
    // An error here is a client that went away or a death by script; either way the connection ends.
    let _ = std::future::poll_fn(|cx| http.poll_without_shutdown(cx)).await;
    let mut tls = http.into_parts().io.into_inner().inner;
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

async fn exchange(
    request: Request<Incoming>,
    connection: u64,
    peer: SocketAddr,
    shared: Arc<Shared>,
    fate: Fate,
) -> Response<Paced> {
    let received = SystemTime::now();
    let (head, body) = request.into_parts();
    let number = shared.open(Exchange {
        number: 0,
        connection,
        peer_port: peer.port(),
        method: head.method.to_string(),
        path: head.uri.to_string(),
        request_headers: head
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        request_body: Vec::new(),
        status: 0,
        request_id: None,
        response_body: Vec::new(),
        response_wire_len: 0,
        streamed: false,
        events: 0,
        facts: Facts::default(),
        received,
        first_chunk: None,
        last_chunk: None,
        ending: Ending::Running,
    });
    let watch = Watch::new(shared.clone(), number);
    // A client that breaks off in its request gets no answer worth anything.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let accepts = |name: &str, part: &str| {
        head.headers.get(name).is_some_and(|v| String::from_utf8_lossy(v.as_bytes()).contains(part))
    };
    let bearer = accepts("authorization", "Bearer ");
    let answer = match (head.method.as_str(), head.uri.path()) {
        ("POST", "/v1/chat/completions") => openai::answer(number, bearer, &body),
        ("POST", "/v1/messages") => anthropic::answer(number, bearer || accepts("x-api-key", ""), &body),
        ("POST", "/v1/messages/count_tokens") => {
            Answer::json(200, &json!({"input_tokens": body.len() / 4}), Facts::default())
        }
        ("GET", "/v1/models") => {
            let model = json!({"id": "test-model", "object": "model", "created": 1, "owned_by": "tests"});
            Answer::json(200, &json!({"object": "list", "data": [model]}), Facts::default())
        }
        (_, "/plain") => plain(head.uri.query()),
        _ => Answer::json(404, &json!({"error": {"message": "no such path"}}), Facts::default()),
    };
    shared.update(number, |e| {
        e.request_body = body.to_vec();
        e.status = answer.status;
        e.request_id.clone_from(&answer.request_id);
        e.streamed = matches!(answer.content, Content::Events(_));
        e.facts = answer.facts.clone();
    });
    if !answer.script.late.is_zero() {
        sleep(answer.script.late).await;
    }
    let gzip = answer.script.gzip && accepts("accept-encoding", "gzip");
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    if gzip {
        response = response.header("content-encoding", "gzip");
    }

    response
        .body(Paced::new(&answer, gzip, fate, watch))
        .unwrap_or_else(|_| unreachable!("the headers are the provider's own"))
}

/// Traffic that is no LLM call: `/plain?bytes=N`.
fn plain(query: Option<&str>) -> Answer {
    let bytes = query.and_then(|q| q.strip_prefix("bytes=")).and_then(|n| n.parse().ok()).unwrap_or(64);
    let mut answer = Answer::json(200, &json!(null), Facts::default());
    answer.headers = vec![("content-type", "text/plain".to_owned())];
    answer.content = Content::Plain(Bytes::from(vec![b'.'; bytes]));
    answer
}

/// Counts the plaintext that goes through.
struct Counted {
    inner: TlsStream<TcpStream>,
    shared: Arc<Shared>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.shared.count(|m| m.received += (buf.filled().len() - before) as u64);
        result
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = result {
            self.shared.count(|m| m.sent += n as u64);
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

/// What all connections share.
impl Shared {
    fn connection(&self) -> u64 {
        self.count(|m| {
            m.connections += 1;
            m.connections
        })
    }

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
    pub(super) fn update(&self, number: u64, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.exchanges().get_mut(number as usize - 1) {
            change(exchange);
        }
        self.changed.notify_all();
    }

    fn count<T>(&self, change: impl FnOnce(&mut super::record::Moved) -> T) -> T {
        change(&mut Mutex::lock(&self.moved).unwrap_or_else(PoisonError::into_inner))
    }
}
