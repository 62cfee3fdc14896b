//! Against receivers in this process: a tonic server, and a small HTTP one.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read},
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value as ProtoValue,
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

use rustls::{
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};

use super::{super::convert::tests::delivery, sender::TRIES, *};

/// How a receiver answers a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Ok,
    /// gRPC `UNAVAILABLE`, HTTP 503.
    Unavailable,
    /// gRPC `UNAUTHENTICATED`, HTTP 401.
    Unauthenticated,
    /// Takes the request, but not one of its spans.
    Partly,
    /// Asks to come again after so many seconds: gRPC `RESOURCE_EXHAUSTED` with `RetryInfo`, HTTP 429 with `Retry-After`.
    Throttled(u64),
    Never,
}

/// What a receiver saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    compressed: AtomicUsize,
    script: Mutex<VecDeque<Answer>>,
    taken: Mutex<Vec<ExportTraceServiceRequest>>,
}

impl Seen {
    async fn answer(&self, request: ExportTraceServiceRequest) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Ok);
        match answer {
            Answer::Ok | Answer::Partly => self.taken.lock().unwrap().push(request),
            Answer::Never => std::future::pending().await,
            Answer::Unavailable | Answer::Unauthenticated | Answer::Throttled(_) => {}
        }
        answer
    }

    /// Names of the spans that arrived, by the pid of the resource under which they did.
    fn spans(&self) -> BTreeMap<i64, Vec<String>> {
        let mut spans = BTreeMap::<i64, Vec<String>>::new();
        for resource_spans in self.taken.lock().unwrap().iter().flat_map(|request| &request.resource_spans) {
            assert_eq!(resource_spans.schema_url, "https://example.com/1");
            let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
            assert_eq!(attributes.len(), 2, "only what the process is");
            let pid = attributes.iter().find(|a| a.key == "process.pid").unwrap();
            let Some(ProtoValue::IntValue(pid)) = pid.value.as_ref().unwrap().value else {
                panic!("{pid:?}")
            };
            for scope_spans in &resource_spans.scope_spans {
                assert_eq!(scope_spans.schema_url, "https://example.com/1");
                assert_eq!(scope_spans.scope.as_ref().unwrap().name, "plainspan");
                spans.entry(pid).or_default().extend(scope_spans.spans.iter().map(|span| span.name.clone()));
            }
        }
        spans
    }
}

fn partial() -> ExportTraceServiceResponse {
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "too \x1b[old".into() };
    ExportTraceServiceResponse { partial_success: Some(partial) }
}

struct Service(Arc<Seen>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        assert_eq!(request.metadata().get("x-key").unwrap(), "of the test");
        if request.metadata().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip") {
            self.0.compressed.fetch_add(1, Ordering::Relaxed);
        }
        match self.0.answer(request.into_inner()).await {
            Answer::Partly => Ok(Response::new(partial())),
            Answer::Unavailable => Err(Status::unavailable("secret words of the server")),
            Answer::Throttled(seconds) => {
                let delay = Some(Duration::from_secs(seconds));
                let details = tonic_types::ErrorDetails::with_retry_info(delay);
                Err(Status::with_error_details(tonic::Code::ResourceExhausted, "busy", details))
            }
            Answer::Unauthenticated => Err(Status::unauthenticated("secret words of the server")),
            Answer::Ok | Answer::Never => Ok(Response::new(ExportTraceServiceResponse::default())),
        }
    }
}

/// Accepts and counts connections.
struct Incoming(TcpListener, Arc<Seen>);

impl tonic::codegen::tokio_stream::Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (stream, _) = ready!(self.0.poll_accept(context))?;
        self.1.connections.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(stream)))
    }
}

async fn serve_http(listener: TcpListener, seen: Arc<Seen>) {
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(serve_connection(stream, Arc::clone(&seen)));
    }
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("application/x-protobuf"), "{head}");
        assert!(head.contains("x-key: of the test\r\n"), "{head}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        if head.contains("content-encoding: gzip\r\n") {
            seen.compressed.fetch_add(1, Ordering::Relaxed);
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let mut more = String::new();
        let (status, body) = match seen.answer(request).await {
            Answer::Partly => ("200 OK", partial().encode_to_vec()),
            Answer::Unavailable => ("503 Service Unavailable", b"secret words".to_vec()),
            Answer::Throttled(seconds) => {
                more = format!("retry-after: {seconds}\r\n");
                ("429 Too Many Requests", b"secret words".to_vec())
            }
            Answer::Unauthenticated => ("401 Unauthorized", b"secret words".to_vec()),
            Answer::Ok | Answer::Never => ("200 OK", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
    }
}

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

fn config(protocol: Protocol, port: u16) -> OtlpConfig {
    let path = if protocol == Protocol::Grpc { "" } else { "/v1/traces" };
    OtlpConfig {
        protocol,
        endpoint: format!("http://localhost:{port}{path}"),
        timeout: Duration::from_secs(5),
        compression: None,
        headers: vec![("x-key".into(), "of the test".into())],
        tls: Tls::default(),
    }
}

async fn receiver(protocol: Protocol, script: &[Answer]) -> (Arc<Seen>, u16) {
    let seen = Arc::new(Seen::default());
    seen.script.lock().unwrap().extend(script);
    let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    serve(protocol, listener, &seen);
    (seen, port)
}

fn serve(protocol: Protocol, listener: TcpListener, seen: &Arc<Seen>) {
    match protocol {
        Protocol::Grpc => {
            let service = TraceServiceServer::new(Service(Arc::clone(seen)))
                .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
            let server = tonic::transport::Server::builder().add_service(service);
            tokio::spawn(server.serve_with_incoming(Incoming(listener, Arc::clone(seen))));
        }
        Protocol::HttpProtobuf => {
            tokio::spawn(serve_http(listener, Arc::clone(seen)));
        }
    }
}

async fn exporter(protocol: Protocol, script: &[Answer]) -> (Arc<Seen>, Otlp) {
    let (seen, port) = receiver(protocol, script).await;
    (seen, Otlp::connect(&config(protocol, port), Told::Spans, "https://example.com/1").unwrap())
}

/// Spans of these processes, named by their place in the batch.
fn batch(pids: &[i64]) -> Vec<Arc<Delivery>> {
    let named = |(at, pid): (usize, &i64)| {
        let mut delivery = delivery(*pid, &[]);
        delivery.span.name = at.to_string();
        Arc::new(delivery)
    };
    pids.iter().enumerate().map(named).collect()
}

#[tokio::test]
async fn every_span_arrives_under_its_own_resource_over_one_connection() {
    for protocol in BOTH {
        let (seen, mut otlp) = exporter(protocol, &[]).await;
        let pids: Vec<i64> = (0..300).map(|n| n % 100).collect();
        otlp.export(&batch(&pids)).await.unwrap();
        otlp.export(&batch(&[7, 200])).await.unwrap();
        let spans = seen.spans();
        assert_eq!(spans.len(), 101, "{protocol:?}");
        for (pid, names) in &spans {
            let mut expected: Vec<String> = match pid {
                200 => vec!["1".into()],
                pid => (0..3).map(|n| (pid + n * 100).to_string()).collect(),
            };
            if *pid == 7 {
                expected.push("0".into());
            }
            assert_eq!(*names, expected, "{protocol:?} {pid}");
        }
        assert_eq!(seen.connections.load(Ordering::Relaxed), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again() {
    for protocol in BOTH {
        let (seen, mut otlp) = exporter(protocol, &[Answer::Unavailable, Answer::Unavailable]).await;
        otlp.export(&batch(&[1, 1])).await.unwrap();
        assert_eq!(seen.spans()[&1].len(), 2);
        assert_eq!(seen.requests.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test]
async fn a_collector_that_stays_busy_is_left_alone_for_the_moment() {
    for protocol in BOTH {
        let (seen, mut otlp) = exporter(protocol, &[Answer::Unavailable; TRIES]).await;
        let failure = otlp.export(&batch(&[1, 2, 1])).await.unwrap_err();
        assert_eq!((failure.retry, failure.lost), (vec![0, 1, 2], 0));
        let error = failure.error.to_string();
        assert!(error.contains("Unavailable") || error.contains("503"), "{error}");
        assert!(error.contains("localhost") && !error.contains("secret"), "{error}");
        assert_eq!(seen.requests.load(Ordering::Relaxed), TRIES);
        otlp.export(&batch(&[1, 2, 1])).await.unwrap();
        assert_eq!(seen.spans().values().map(Vec::len).sum::<usize>(), 3);
    }
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_costs_no_other_resource() {
    for protocol in BOTH {
        let (seen, mut otlp) = exporter(protocol, &[Answer::Unauthenticated]).await;
        let failure = otlp.export(&batch(&[1, 2])).await.unwrap_err();
        assert_eq!((failure.retry.len(), failure.lost), (0, 1));
        let error = failure.error.to_string();
        assert!(error.contains("Unauthenticated") || error.contains("401"), "{error}");
        assert!(error.contains("refuses") && !error.contains("secret"), "{error}");
        assert_eq!(seen.spans().keys().collect::<Vec<_>>(), [&2]);
        assert_eq!(seen.requests.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn spans_rejected_out_of_a_request_are_counted() {
    for protocol in BOTH {
        let (_, mut otlp) = exporter(protocol, &[Answer::Partly]).await;
        let failure = otlp.export(&batch(&[1, 1, 1, 2])).await.unwrap_err();
        assert_eq!((failure.retry.len(), failure.lost), (0, 1), "{protocol:?}");
        let error = failure.error.to_string();
        assert!(error.contains("too \\u{1b}[old"), "{error}");
        otlp.export(&batch(&[1])).await.unwrap();
    }
}

#[tokio::test]
async fn a_collector_that_comes_late_gets_the_spans() {
    for protocol in BOTH {
        let port = TcpListener::bind(("localhost", 0)).await.unwrap().local_addr().unwrap().port();
        let mut otlp = Otlp::connect(&config(protocol, port), Told::Spans, "https://example.com/1").unwrap();
        let failure = otlp.export(&batch(&[1])).await.unwrap_err();
        assert_eq!((failure.retry.len(), failure.lost), (1, 0));
        let error = failure.error.to_string();
        assert!(error.contains(&format!("http://localhost:{port}")), "{error}");
        assert!(error.contains("Connection refused") && !error.contains('\n'), "{error}");

        let seen = Arc::default();
        serve(protocol, TcpListener::bind(("localhost", port)).await.unwrap(), &seen);
        otlp.export(&batch(&[1])).await.unwrap();
        assert_eq!(seen.spans().len(), 1);
    }
}

#[tokio::test]
async fn silence_ends_with_the_time_given() {
    for protocol in BOTH {
        let (_, port) = receiver(protocol, &[Answer::Never]).await;
        let config = OtlpConfig { timeout: Duration::from_millis(200), ..config(protocol, port) };
        let mut otlp = Otlp::connect(&config, Told::Spans, "https://example.com/1").unwrap();
        let started = std::time::Instant::now();
        let failure = otlp.export(&batch(&[1, 2])).await.unwrap_err();
        assert_eq!((failure.retry, failure.lost), (vec![0, 1], 0), "{protocol:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{protocol:?}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn requests_are_compressed_when_asked() {
    for protocol in BOTH {
        let (seen, port) = receiver(protocol, &[]).await;
        let compression = Some(Compression::Gzip);
        let config = OtlpConfig { compression, ..config(protocol, port) };
        Otlp::connect(&config, Told::Spans, "https://example.com/1")
            .unwrap()
            .export(&batch(&[1]))
            .await
            .unwrap();
        assert_eq!((seen.spans().len(), seen.compressed.load(Ordering::Relaxed)), (1, 1), "{protocol:?}");
    }
}

/// A receiver with a certificate of its own, and that certificate.
async fn secure_receiver(protocol: Protocol) -> (Arc<Seen>, OtlpConfig) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind(("localhost", 0)).await.unwrap();
    let mut config = config(protocol, listener.local_addr().unwrap().port());
    config.endpoint = config.endpoint.replace("http:", "https:");
    config.tls.certificate = Some(certificate.clone().into_bytes());
    match protocol {
        Protocol::Grpc => {
            let tls = tonic::transport::ServerTlsConfig::new()
                .identity(tonic::transport::Identity::from_pem(certificate, key));
            let server = tonic::transport::Server::builder()
                .tls_config(tls)
                .unwrap()
                .add_service(TraceServiceServer::new(Service(Arc::clone(&seen))));
            tokio::spawn(server.serve_with_incoming(Incoming(listener, Arc::clone(&seen))));
        }
        Protocol::HttpProtobuf => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certified.cert.der().clone()], key)
                .unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_connection(stream, Arc::clone(&seen)).await;
                    }
                }
            });
        }
    }
    (seen, config)
}

#[tokio::test]
async fn https_is_spoken_with_those_who_are_trusted() {
    for protocol in BOTH {
        let (seen, mut config) = secure_receiver(protocol).await;
        Otlp::connect(&config, Told::Spans, "https://example.com/1")
            .unwrap()
            .export(&batch(&[1]))
            .await
            .unwrap();
        assert_eq!(seen.spans().len(), 1, "{protocol:?}");

        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        config.tls.certificate = Some(stranger.cert.pem().into_bytes());
        let mut otlp = Otlp::connect(&config, Told::Spans, "https://example.com/1").unwrap();
        let error = otlp.export(&batch(&[1])).await.unwrap_err().error.to_string();
        assert!(error.contains("invalid peer certificate"), "{protocol:?}: {error}");
    }
}

#[tokio::test]
async fn certificates_that_are_none_are_noticed_at_once() {
    for protocol in BOTH {
        let mut config = config(protocol, 1);
        config.endpoint = config.endpoint.replace("http:", "https:");
        config.tls.certificate = Some(b"no certificate".to_vec());
        let error = Otlp::connect(&config, Told::Spans, "s").unwrap_err().to_string();
        assert!(error.contains("certificate") && !error.contains('\n'), "{error}");
    }
}

#[tokio::test]
async fn a_collector_that_names_a_time_is_left_alone_until_then() {
    for protocol in BOTH {
        // At once is at once.
        let (seen, mut otlp) = exporter(protocol, &[Answer::Throttled(0), Answer::Throttled(0)]).await;
        otlp.export(&batch(&[1, 1])).await.unwrap();
        assert_eq!(seen.requests.load(Ordering::Relaxed), 3, "{protocol:?}");

        // Longer than a request may take: whoever sends has to wait, and nothing is tried meanwhile.
        let (seen, mut otlp) = exporter(protocol, &[Answer::Ok, Answer::Throttled(60)]).await;
        let failure = otlp.export(&batch(&[1, 2, 3])).await.unwrap_err();
        assert_eq!((failure.retry, failure.lost), (vec![1, 2], 0), "{protocol:?}");
        assert_eq!(failure.after, Some(Duration::from_secs(60)), "{protocol:?}");
        assert_eq!(seen.requests.load(Ordering::Relaxed), 2, "{protocol:?}");
    }
}
