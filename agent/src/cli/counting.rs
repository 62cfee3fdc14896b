//! What calls add up to, for those who ask for it.

use std::sync::Arc;

use super::{run::OutputArgs, say};
use crate::{
    account::Account,
    contract::Origin,
    export::{MetricOutputs, MetricSettings, OpenError, Push, Target},
    metrics::{Limits, Metrics},
    pipeline::Spans,
    resource::host_name,
    time::Timestamp,
};

/// Counts the calls of which spans are made, and starts who exports what they add up to; none if nobody does.
pub(super) async fn start(
    args: &OutputArgs,
    limits: Limits,
    extra: &[(String, String)],
    spans: &mut Spans,
    account: &Arc<Account>,
) -> Result<Option<MetricOutputs>, OpenError> {
    let pushed = args.targets().contains(&Target::Otlp);
    let push = if pushed { Push::from_env(&|name| std::env::var(name).ok())? } else { None };
    if push.is_none() && args.prometheus.is_none() {
        return Ok(None);
    }
    let metrics = Arc::new(Metrics::new(limits, Timestamp::now()));
    let origin =
        Origin { profile: args.contract, host_name: host_name("/proc".as_ref()), extra: extra.to_vec() };
    let settings = MetricSettings { push, prometheus: args.prometheus, schema_url: args.contract.schema_url };
    let outputs = MetricOutputs::start(Arc::clone(&metrics), origin, settings, Arc::clone(account)).await?;
    spans.count_in(metrics);
    if let Some(address) = outputs.prometheus() {
        say(&format!("plainspan: metrics for Prometheus are at http://{address}/metrics\n"));
    }
    Ok(Some(outputs))
}
