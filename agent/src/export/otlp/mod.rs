//! An OTLP collector, over gRPC or HTTP/protobuf.
//!
//! The client is the one that is generated from the protocol (`opentelemetry-proto`), since what a collector says of a
//! request counts here: how many spans it rejected, and whether and when to come again (OTLP specification, "Failures",
//! "Partial Success", "OTLP/gRPC Throttling", "OTLP/HTTP Throttling").
//!
//! A request has the spans of one resource, and a node has many (one a process), so that a refusal costs those of one process.
//! All go over the same connection.

mod answer;
mod config;
mod grpc;
mod http;

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::time::{Instant, sleep, timeout_at};

pub use config::{Compression, OtlpConfig, Protocol, Tls, shown_url};

use super::{Batching, BoxFuture, ExportError, Exporter, Failure, OpenError, backoff, convert};
use crate::contract::{Delivery, otlp};
use answer::{Answer, Rejected};

/// Tries of one request within its time.
const TRIES: usize = 5;
/// First pause between two tries; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends spans to a collector.
#[derive(Debug)]
pub struct Otlp {
    client: Client,
    schema_url: &'static str,
    /// Where to, without credentials.
    endpoint: String,
    timeout: Duration,
}

#[derive(Debug)]
enum Client {
    Grpc(grpc::Client),
    Http(http::Client),
}

impl Otlp {
    /// Sets up an exporter; it connects with the first span. Needs a tokio runtime.
    pub fn connect(config: &OtlpConfig, schema_url: &'static str) -> Result<Self, OpenError> {
        let client = match config.protocol {
            Protocol::Grpc => Client::Grpc(grpc::Client::new(config)?),
            Protocol::HttpProtobuf => Client::Http(http::Client::new(config)?),
        };
        Ok(Self { client, schema_url, endpoint: config.shown_endpoint(), timeout: config.timeout })
    }

    /// One request, with as many tries as its time allows.
    async fn request(&mut self, request: ExportTraceServiceRequest) -> Result<Rejected, Denied> {
        let until = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let sent = async {
                match &mut self.client {
                    Client::Grpc(client) => client.send(request.clone()).await,
                    Client::Http(client) => client.send(&request).await,
                }
            };
            let answer = timeout_at(until, sent).await.unwrap_or_else(|_| Answer::Later {
                reason: format!("no answer within {:?}", self.timeout),
                after: None,
            });
            let endpoint = self.endpoint.clone();
            match answer {
                Answer::Taken(rejected) => return Ok(rejected),
                Answer::Never(reason) => {
                    return Err(Denied { error: ExportError::Refused { endpoint, reason }, after: None });
                }
                Answer::Later { reason, after } => {
                    let wait = after.unwrap_or_else(|| backoff::jittered(pause));
                    if tries >= TRIES || Instant::now() + wait >= until {
                        return Err(Denied { error: ExportError::Unavailable { endpoint, reason }, after });
                    }
                    sleep(wait).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(Rejected::default())
    }
}

/// Why a request was not taken, and how long the collector wants to be left alone.
#[derive(Debug)]
struct Denied {
    error: ExportError,
    after: Option<Duration>,
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn kept_as(&self) -> Option<String> {
        // Whichever collector it is: what one did not take is for the one that comes in its place.
        Some("otlp".to_owned())
    }

    fn batching(&self) -> Batching {
        // Collectors take requests of 4 MiB (gRPC's default limit).
        Batching { spans: 512, bytes: 2 << 20, delay: Duration::from_secs(1) }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (mut retry, mut lost, mut error, mut after) = (Vec::new(), 0, None, None);
            let mut unavailable = false;
            for (resource, members) in convert::by_resource(batch) {
                if unavailable {
                    // The collector that can't take this request can't take the next.
                    retry.extend(members);
                    continue;
                }
                let spans = members.iter().map(|at| otlp::span(&batch[*at].span)).collect();
                let resource_spans = vec![otlp::resource_spans(resource, spans, self.schema_url)];
                match self.request(ExportTraceServiceRequest { resource_spans }).await {
                    Ok(Rejected { spans: 0, .. }) => {}
                    Ok(Rejected { spans, message }) => {
                        lost += spans.min(members.len());
                        error = Some(ExportError::Refused {
                            endpoint: self.endpoint.clone(),
                            reason: answer::shown(&message),
                        });
                    }
                    Err(Denied { error: denied @ ExportError::Unavailable { .. }, after: wait }) => {
                        unavailable = true;
                        retry.extend(members);
                        (error, after) = (Some(denied), wait);
                    }
                    Err(Denied { error: denied, .. }) => {
                        lost += members.len();
                        error = Some(denied);
                    }
                }
            }
            retry.sort_unstable();
            error.map_or(Ok(()), |error| Err(Failure { retry, lost, error, after }))
        })
    }
}

fn build_error(what: impl std::fmt::Display) -> OpenError {
    OpenError::Otlp(what.to_string())
}

#[cfg(test)]
mod tests;
