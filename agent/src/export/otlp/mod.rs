//! An OTLP collector, over gRPC or HTTP/protobuf, with `opentelemetry-otlp`.
//!
//! That exporter holds one resource, and a node has many (one a process): a batch is cut into one request per
//! resource, all of them through the same exporter and so over the same connection.

mod config;
mod http;
mod rejected;

use std::{sync::Arc, time::Duration};

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol as CrateProtocol, RetryPolicy, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
    tonic_types::transport::{Certificate, ClientTlsConfig, Identity},
};
use opentelemetry_sdk::{error::OTelSdkError, trace::SpanExporter as _};
use tokio::time::timeout;
use tracing::instrument::WithSubscriber;

pub use config::{OtlpConfig, Protocol, Tls};

use super::{Batching, BoxFuture, ExportError, Exporter, Failure, OpenError, convert};
use crate::contract::Delivery;
use http::LastError;
use rejected::Rejected;

/// Tries of one request within its time; the pauses between them are longer each time, with some chance in them.
const TRIES: usize = 5;
/// First pause between two tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends spans to a collector.
#[derive(Debug)]
pub struct Otlp {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    schema_url: &'static str,
    /// Where to, without credentials.
    endpoint: String,
    timeout: Duration,
    rejected: Rejected,
    /// Over HTTP the exporter's errors don't say what happened.
    last_error: LastError,
}

impl Otlp {
    /// Sets up an exporter; it connects with the first span. Needs a tokio runtime.
    pub fn connect(config: &OtlpConfig, schema_url: &'static str) -> Result<Self, OpenError> {
        let last_error = LastError::default();
        let exporter = match config.protocol {
            Protocol::Grpc => grpc(config)?,
            Protocol::HttpProtobuf => {
                let mut builder = SpanExporter::builder()
                    .with_http()
                    .with_protocol(CrateProtocol::HttpBinary)
                    .with_http_client(http::client(config, &last_error)?)
                    .with_retry_policy(retry_policy())
                    .with_endpoint(&config.endpoint)
                    .with_timeout(config.timeout);
                if let Some(compression) = config.compression {
                    builder = builder.with_compression(compression);
                }
                builder.build().map_err(build_error)?
            }
        };
        Ok(Self {
            exporter,
            scope: convert::scope(schema_url),
            schema_url,
            endpoint: config.shown_endpoint(),
            timeout: config.timeout,
            rejected: Rejected::default(),
            last_error,
        })
    }

    /// One request: all spans are of the resource that was set. The number of spans that were not taken.
    async fn request(
        &mut self,
        spans: Vec<opentelemetry_sdk::trace::SpanData>,
    ) -> Result<usize, ExportError> {
        self.rejected.reset();
        self.last_error.clear();
        let export = self.exporter.export(spans).with_subscriber(self.rejected.subscriber());
        match timeout(self.timeout, export).await {
            Ok(Ok(())) => Ok(self.rejected.spans()),
            Ok(Err(error)) => Err(self.classified(error)),
            Err(_) => Err(ExportError::Unavailable {
                endpoint: self.endpoint.clone(),
                reason: format!("no answer within {:?}", self.timeout),
            }),
        }
    }

    fn classified(&self, error: OTelSdkError) -> ExportError {
        let text = match error {
            OTelSdkError::InternalFailure(text) => text,
            other => other.to_string(),
        };
        let endpoint = self.endpoint.clone();
        let (transient, mut reason) = classify(&text);
        if let Some(detail) = self.last_error.take() {
            reason = detail;
        }
        if transient {
            ExportError::Unavailable { endpoint, reason }
        } else {
            ExportError::Refused { endpoint, reason }
        }
    }
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn batching(&self) -> Batching {
        // Collectors take requests of 4 MiB (gRPC's default limit).
        Batching { spans: 512, bytes: 2 << 20, delay: Duration::from_secs(1) }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (mut retry, mut lost, mut error) = (Vec::new(), 0, None);
            let mut unavailable = false;
            for (resource, members) in convert::by_resource(batch) {
                if unavailable {
                    // The collector that can't take this request can't take the next.
                    retry.extend(members);
                    continue;
                }
                self.exporter.set_resource(&convert::resource(resource, self.schema_url));
                let spans =
                    members.iter().map(|at| convert::span_data(&batch[*at].span, &self.scope)).collect();
                match self.request(spans).await {
                    Ok(0) => {}
                    Ok(rejected) => {
                        lost += rejected.min(members.len());
                        error = Some(ExportError::Refused {
                            endpoint: self.endpoint.clone(),
                            reason: self.rejected.reason(),
                        });
                    }
                    Err(failure @ ExportError::Unavailable { .. }) => {
                        unavailable = true;
                        retry.extend(members);
                        error = Some(failure);
                    }
                    Err(failure) => {
                        lost += members.len();
                        error = Some(failure);
                    }
                }
            }
            retry.sort_unstable();
            error.map_or(Ok(()), |error| Err(Failure { retry, lost, error }))
        })
    }

    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        // It is told once, and has nothing left to lose.
        let _ = self.exporter.shutdown();
        Box::pin(std::future::ready(()))
    }
}

fn grpc(config: &OtlpConfig) -> Result<SpanExporter, OpenError> {
    let mut builder = SpanExporter::builder()
        .with_tonic()
        .with_retry_policy(retry_policy())
        .with_endpoint(&config.endpoint)
        .with_timeout(config.timeout);
    if let Some(compression) = config.compression {
        builder = builder.with_compression(compression);
    }
    if config.is_https() {
        let mut tls = ClientTlsConfig::new();
        tls = match &config.tls.certificate {
            Some(pem) => {
                // Otherwise it would come to light with the first span, as a failure to connect.
                http::certificates(pem)?;
                tls.ca_certificate(Certificate::from_pem(pem))
            }
            None => tls.with_enabled_roots(),
        };
        if let Some((certificate, key)) = &config.tls.client {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        builder = builder.with_tls_config(tls);
    }
    builder.build().map_err(build_error)
}

fn build_error(error: ExporterBuildError) -> OpenError {
    let (ExporterBuildError::InvalidConfiguration(text) | ExporterBuildError::InternalFailure(text)) = error;
    OpenError::Otlp(text)
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::recommended()
        .with_max_retries(TRIES - 1)
        .with_initial_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
}

/// May it succeed later, and what happened: `opentelemetry-otlp` says it in words only.
fn classify(text: &str) -> (bool, String) {
    if let Some((_, status)) = text.split_once("gRPC code: ") {
        let code = status.split(':').next().unwrap_or_default();
        let transient = matches!(code, "Unavailable" | "DeadlineExceeded" | "Cancelled" | "Aborted");
        // Each layer quotes the one below.
        let mut causes: Vec<_> = status.split(": ").collect();
        causes.dedup();
        return (transient, causes.join(": "));
    }
    if let Some((_, status)) = text.split_once("status code: ") {
        // What OTLP/HTTP declares retryable (OTLP specification, "Failures").
        return (matches!(status, "429" | "502" | "503" | "504"), format!("HTTP status {status}"));
    }
    (text.contains("network error"), text.to_owned())
}

#[cfg(test)]
mod tests;
