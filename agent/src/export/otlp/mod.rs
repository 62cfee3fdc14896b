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
mod sender;
mod signal;

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};

pub(super) use config::is_wanted;
pub use config::{Compression, OtlpConfig, Protocol, Tls, shown_url};
pub use signal::Signal;

use super::{Batching, BoxFuture, ExportError, Exporter, Failure, OpenError, Told, backoff, convert};
use crate::contract::{Delivery, Resource, otlp, otlp_logs};
pub(super) use answer::Rejected;
pub(super) use sender::{Denied, Sender};

/// Sends spans, or the events that go with them, to a collector.
#[derive(Debug)]
pub struct Otlp {
    sender: Sender,
    told: Told,
    schema_url: &'static str,
}

impl Otlp {
    /// Sets up an exporter; it connects with the first span. Needs a tokio runtime.
    pub fn connect(config: &OtlpConfig, told: Told, schema_url: &'static str) -> Result<Self, OpenError> {
        Ok(Self { sender: Sender::new(config)?, told, schema_url })
    }

    /// One request with what is told of calls of one resource.
    async fn request(&mut self, resource: &Resource, calls: &[&Delivery]) -> Result<Rejected, Denied> {
        match self.told {
            Told::Spans => {
                let spans = calls.iter().map(|call| otlp::span(&call.span)).collect();
                let resource_spans = vec![otlp::resource_spans(resource, spans, self.schema_url)];
                self.sender.request(ExportTraceServiceRequest { resource_spans }).await
            }
            Told::Events => {
                let events: Vec<_> = calls.iter().filter_map(|call| otlp_logs::details(&call.span)).collect();
                if events.is_empty() {
                    return Ok(Rejected::default());
                }
                let resource_logs = vec![otlp_logs::resource_logs(resource, events, self.schema_url)];
                self.sender.request(ExportLogsServiceRequest { resource_logs }).await
            }
        }
    }
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        match self.told {
            Told::Spans => "otlp",
            Told::Events => "otlp events",
        }
    }

    fn kept_as(&self) -> Option<String> {
        // Whichever collector it is: what one did not take is for the one that comes in its place.
        Some(self.name().to_owned())
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
                let calls: Vec<&Delivery> = members.iter().map(|at| &*batch[*at]).collect();
                match self.request(resource, &calls).await {
                    Ok(Rejected { items: 0, .. }) => {}
                    Ok(Rejected { items, message }) => {
                        lost += items.min(members.len());
                        error = Some(ExportError::Refused {
                            endpoint: self.sender.endpoint().to_owned(),
                            reason: answer::shown(&message),
                        });
                    }
                    Err(Denied { error: denied @ ExportError::Unavailable { .. }, after: wait, .. }) => {
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
