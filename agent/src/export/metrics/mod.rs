//! Metrics to those who ask for them: pushed to a collector, and shown to Prometheus.
//!
//! Sums are cumulative, so a push that fails costs nothing but time: the next one says the same and more.

mod prometheus;
mod push;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

use super::{OpenError, OtlpConfig, Signal, otlp::is_wanted};
use crate::{
    account::Account,
    contract::{Origin, ResourceMetrics, measure},
    metrics::Metrics,
    time::Timestamp,
};

/// Where metrics go.
#[derive(Debug)]
pub struct MetricSettings {
    /// The collector that they are pushed to.
    pub push: Option<Push>,
    /// Where Prometheus finds them.
    pub prometheus: Option<SocketAddr>,
    /// Schema URL of the contract.
    pub schema_url: &'static str,
}

/// A collector of metrics.
#[derive(Debug)]
pub struct Push {
    /// Where and how.
    pub config: OtlpConfig,
    /// How often.
    pub interval: Duration,
}

/// How often metrics are pushed, unless told otherwise (OpenTelemetry SDK specification, "Periodic exporting MetricReader").
const INTERVAL: Duration = Duration::from_secs(60);

impl Push {
    /// The collector that the environment names for metrics, which `variable` looks up. None if it has a collector for
    /// traces alone, or `OTEL_METRICS_EXPORTER` is `none`.
    ///
    /// # Errors
    /// A variable that makes no sense.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, OpenError> {
        const EVERY: &str = "OTEL_METRIC_EXPORT_INTERVAL";
        let set = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        if !is_wanted(Signal::Metrics, "and --prometheus for Prometheus", variable)? {
            return Ok(None);
        }
        let interval = match set(EVERY) {
            None => INTERVAL,
            Some(value) => match value.parse() {
                Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
                _ => {
                    let reason = format!("`{value}` is not a number of milliseconds");
                    return Err(OpenError::Setting { variable: EVERY, reason });
                }
            },
        };
        Ok(Some(Self { config: OtlpConfig::from_env(Signal::Metrics, variable)?, interval }))
    }
}

/// What is counted, as it is shown.
#[derive(Clone, Debug)]
struct View {
    metrics: Arc<Metrics>,
    origin: Arc<Origin>,
    account: Arc<Account>,
}

impl View {
    /// As it is now.
    fn now(&self) -> (Timestamp, Vec<ResourceMetrics>) {
        let now = Timestamp::now();
        (now, measure(&self.metrics.snapshot(now), &self.origin, &self.account))
    }
}

/// Exporters of metrics at work.
#[derive(Debug)]
pub struct MetricOutputs {
    ending: watch::Sender<bool>,
    push: Option<JoinHandle<()>>,
    prometheus: Option<(SocketAddr, JoinHandle<()>)>,
}

impl MetricOutputs {
    /// Starts them on the current tokio runtime, or says why one can't be used.
    ///
    /// # Errors
    /// An address that can't be listened at, or a collector that can't be set up.
    pub async fn start(
        metrics: Arc<Metrics>,
        origin: Origin,
        settings: MetricSettings,
        account: Arc<Account>,
    ) -> Result<Self, OpenError> {
        let view = View { metrics, origin: Arc::new(origin), account };
        let (ending, end) = watch::channel(false);
        let push = match settings.push {
            Some(push) => Some(push::Pusher::new(&push, settings.schema_url, view.clone())?.start(end)),
            None => None,
        };
        let prometheus = match settings.prometheus {
            Some(address) => {
                let unfit = |reason| OpenError::Listen { address, reason };
                let listener = TcpListener::bind(address).await.map_err(unfit)?;
                let address = listener.local_addr().map_err(unfit)?;
                Some((address, tokio::spawn(prometheus::serve(listener, view))))
            }
            None => None,
        };
        Ok(Self { ending, push, prometheus })
    }

    /// Where Prometheus finds them.
    pub fn prometheus(&self) -> Option<SocketAddr> {
        self.prometheus.as_ref().map(|(address, _)| *address)
    }

    /// Pushes what has come since the last time, and ends; in the time given.
    pub async fn shutdown(self, within: Duration) {
        self.ending.send_replace(true);
        if let Some(task) = self.push
            && timeout(within, task).await.is_err()
        {
            tracing::warn!("the last metrics could not be delivered in the time given");
        }
        if let Some((_, task)) = self.prometheus {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
