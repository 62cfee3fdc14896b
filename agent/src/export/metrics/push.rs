//! To a collector, time after time.

use std::{mem::take, time::Duration};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::ResourceMetrics,
};
use prost::Message as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tracing::{info, warn};

use super::{Push, View};
use crate::{
    account::Counter,
    contract::otlp_metrics,
    export::{
        ExportError, OpenError,
        otlp::{Denied, Rejected, Sender},
    },
};

/// Collectors take requests of 4 MiB (gRPC's default limit).
const REQUEST: usize = 2 << 20;

/// Pushes metrics to a collector.
pub(super) struct Pusher {
    sender: Sender,
    interval: Duration,
    schema_url: &'static str,
    view: View,
    /// The user has been told that it does not work.
    told: bool,
}

impl Pusher {
    pub(super) fn new(push: &Push, schema_url: &'static str, view: View) -> Result<Self, OpenError> {
        Ok(Self {
            sender: Sender::new(&push.config)?,
            interval: push.interval,
            schema_url,
            view,
            told: false,
        })
    }

    /// Until the end, and then once more.
    pub(super) fn start(mut self, mut end: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let over = tokio::select! {
                    _ = ticks.tick() => false,
                    _ = end.wait_for(|over| *over) => true,
                };
                if !self.push().await || over {
                    return;
                }
            }
        })
    }

    /// All metrics as they are now; false if there is nobody to take any.
    async fn push(&mut self) -> bool {
        let (time, all) = self.view.now();
        let all = all.iter().map(|of| otlp_metrics::resource_metrics(of, time, self.schema_url));
        let (mut batch, mut size) = (Vec::new(), 0);
        for of in all {
            let more = of.encoded_len();
            if size > 0 && size + more > REQUEST {
                size = 0;
                if !self.request(take(&mut batch)).await {
                    return false;
                }
            }
            size += more;
            batch.push(of);
        }
        batch.is_empty() || self.request(batch).await
    }

    async fn request(&mut self, resource_metrics: Vec<ResourceMetrics>) -> bool {
        let denied = match self.sender.request(ExportMetricsServiceRequest { resource_metrics }).await {
            Ok(Rejected { items: 0, .. }) => {
                self.told = false;
                return true;
            }
            Ok(Rejected { items, message }) => {
                warn!(items, message, "the collector rejects metrics");
                return true;
            }
            Err(denied) => denied,
        };
        self.view.account.add(Counter::MetricsNotPushed, 1);
        let Denied { error, unserved, .. } = denied;
        if unserved {
            info!(%error, "the collector takes no metrics, so none are sent (OTEL_METRICS_EXPORTER=none does not try)");
        } else if matches!(error, ExportError::Unavailable { .. }) {
            // Whoever waits for spans from there is told already, and nothing is lost.
            info!(%error, "metrics can't be pushed; they go with the next push");
        } else if !self.told {
            self.told = true;
            warn!(%error, "metrics can't be pushed; they go with the next push");
        }
        !unserved
    }
}
