//! A receiver of OTLP over gRPC and over HTTP (protobuf and JSON), on one port.
//!
//! Specification: opentelemetry.io/docs/specs/otlp. Bounded: so many connections and requests at a time, each of so many bytes.

use std::{convert::Infallible, io::Read, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tonic::{body::Body, codegen::Service, service::Routes};

use super::super::otlp::Export;

/// Largest request, with and without its compression. The largest that exporters send by default is 4 MiB.
const REQUEST: usize = 16 << 20;
/// Requests that are read at the same time.
const REQUESTS: usize = 8;
/// Exports that wait to be checked.
const WAITING: usize = 8;
/// Connections at the same time; more wait in the kernel.
const CONNECTIONS: usize = 128;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What arrives.
#[derive(Debug)]
pub enum Arrival {
    /// An export.
    Export(Export),
    /// A request that is none, and why it is not.
    Refused(String),
}

/// Serves until the returned receiver is dropped, or closed and drained.
pub fn serve(listener: TcpListener) -> mpsc::Receiver<Arrival> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(accept(listener, Door::new(sender)));
    receiver
}

async fn accept(listener: TcpListener, door: Door) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Ends with this task, and all that it holds.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.arrivals.closed() => return,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let door = door.clone();
                connections.spawn(async move {
                    connection(stream, peer, door).await;
                    drop(place);
                });
            }
            // Out of file descriptors, say: what is open goes on, and closes.
            Err(error) => {
                tracing::warn!("a connection can't be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, door: Door) {
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.take(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(u32::try_from(REQUESTS).unwrap_or(1));
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a connection from {peer} broke off: {error}");
    }
}

/// What every request goes through.
#[derive(Clone)]
struct Door {
    arrivals: mpsc::Sender<Arrival>,
    places: Arc<Semaphore>,
    grpc: Routes,
}

impl Door {
    fn new(arrivals: mpsc::Sender<Arrival>) -> Self {
        use tonic::codec::CompressionEncoding::Gzip;
        let taker = Taker(arrivals.clone());
        macro_rules! server {
            ($server:ident) => {
                $server::new(taker.clone()).accept_compressed(Gzip).max_decoding_message_size(REQUEST)
            };
        }
        let grpc = Routes::new(server!(TraceServiceServer))
            .add_service(server!(MetricsServiceServer))
            .add_service(server!(LogsServiceServer));
        Self { arrivals, places: Arc::new(Semaphore::new(REQUESTS)), grpc }
    }

    async fn take(mut self, request: Request<Incoming>) -> Response<Body> {
        let Ok(_place) = Arc::clone(&self.places).acquire_owned().await else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "");
        };
        let kind = header_of(&request, header::CONTENT_TYPE.as_str());
        if kind.starts_with("application/grpc") {
            let Ok(response) = timeout(PATIENCE, self.grpc.call(request)).await else {
                return answer(StatusCode::REQUEST_TIMEOUT, "");
            };
            let response = response.unwrap_or_else(|never| match never {});
            // Without a message of its own, a status is an error (gRPC over HTTP/2, "Trailers-Only").
            if let Some(status) = response.headers().get("grpc-status").filter(|status| *status != "0") {
                let message = response.headers().get("grpc-message").unwrap_or(status);
                let reason = format!("gRPC: {}", message.to_str().unwrap_or("unknown"));
                let _ = self.arrivals.send(Arrival::Refused(reason)).await;
            }
            return response;
        }
        match timeout(PATIENCE, self.http(request, &kind)).await {
            Ok(Ok(response)) => response,
            Ok(Err((status, reason))) => {
                // A receiver that is gone wants to know nothing more.
                let _ = self.arrivals.send(Arrival::Refused(reason.clone())).await;
                answer(status, &reason)
            }
            Err(_) => answer(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
        }
    }

    async fn http(
        &self,
        request: Request<Incoming>,
        kind: &str,
    ) -> Result<Response<Body>, (StatusCode, String)> {
        let refuse = |status: StatusCode, reason: String| Err((status, reason));
        let path = request.uri().path().to_owned();
        if request.method() != Method::POST {
            return refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} {path} is no export", request.method()),
            );
        }
        let json = match kind.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => false,
            "application/json" => true,
            other => {
                return refuse(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    format!("content type {other:?} is no OTLP"),
                );
            }
        };
        let encoding = header_of(&request, header::CONTENT_ENCODING.as_str());
        let body = match Limited::new(request.into_body(), REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("{path}: {error}")),
        };
        let body = match encoding.as_str() {
            "" | "identity" => body,
            "gzip" => match gunzip(&body) {
                Ok(body) => body,
                Err(reason) => return refuse(StatusCode::BAD_REQUEST, format!("{path}: {reason}")),
            },
            other => {
                return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("content encoding {other:?}"));
            }
        };
        let export = match path.as_str() {
            "/v1/traces" => decode(&body, json).map(Export::Traces),
            "/v1/metrics" => decode(&body, json).map(Export::Metrics),
            "/v1/logs" => decode(&body, json).map(Export::Logs),
            other => return refuse(StatusCode::NOT_FOUND, format!("{other} is no path of OTLP")),
        };
        let export = match export {
            Ok(export) => export,
            Err(reason) => return refuse(StatusCode::BAD_REQUEST, format!("{path}: {reason}")),
        };
        if self.arrivals.send(Arrival::Export(export)).await.is_err() {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the check is over".to_owned());
        }
        // An empty message, in either encoding.
        let mut response = answer(StatusCode::OK, if json { "{}" } else { "" });
        let kind = if json { "application/json" } else { "application/x-protobuf" };
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        Ok(response)
    }
}

fn decode<T: Message + Default + serde::de::DeserializeOwned>(body: &[u8], json: bool) -> Result<T, String> {
    if json {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    } else {
        T::decode(body).map_err(|error| error.to_string())
    }
}

fn gunzip(body: &[u8]) -> Result<Bytes, String> {
    let mut out = Vec::new();
    let mut decoder = GzDecoder::new(body).take(REQUEST as u64 + 1);
    decoder.read_to_end(&mut out).map_err(|error| error.to_string())?;
    if out.len() > REQUEST { Err("it is too long".to_owned()) } else { Ok(out.into()) }
}

fn header_of(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_ascii_lowercase()
}

fn answer(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text.to_owned()))));
    *response.status_mut() = status;
    response
}

/// What the three services of gRPC do: hand on.
#[derive(Clone)]
struct Taker(mpsc::Sender<Arrival>);

impl Taker {
    async fn take(&self, export: Export) -> Result<(), tonic::Status> {
        let sent = self.0.send(Arrival::Export(export)).await;
        sent.map_err(|_| tonic::Status::unavailable("the check is over"))
    }
}

macro_rules! grpc_service {
    ($service:ident, $export:ident, $request:path, $response:ident) => {
        #[tonic::async_trait]
        impl $service for Taker {
            async fn export(
                &self,
                request: tonic::Request<$request>,
            ) -> Result<tonic::Response<$response>, tonic::Status> {
                self.take(Export::$export(request.into_inner())).await?;
                Ok(tonic::Response::new($response::default()))
            }
        }
    };
}

grpc_service!(
    TraceService,
    Traces,
    opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest,
    ExportTraceServiceResponse
);
grpc_service!(
    MetricsService,
    Metrics,
    opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest,
    ExportMetricsServiceResponse
);
grpc_service!(
    LogsService,
    Logs,
    opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest,
    ExportLogsServiceResponse
);
