//! The limits of all rooms, by the names that the configuration has for them.

use std::time::Duration;

use crate::{export, metrics, pipeline};

/// All limits that can be set.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Limits {
    /// From records to spans.
    pub(in crate::cli) rooms: pipeline::Limits,
    /// Of each output's queue.
    pub(in crate::cli) outputs: export::Limits,
    /// Of metrics.
    pub(in crate::cli) metrics: metrics::Limits,
}

/// One of them.
pub(super) struct Limit {
    /// Its name below `limits`.
    pub(super) name: &'static str,
    pub(super) get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

macro_rules! limit {
    ($name:literal, $($field:ident).+) => {
        Limit {
            name: $name,
            get: |limits| limits.$($field).+ as u64,
            set: |limits, value| limits.$($field).+ = value as _,
        }
    };
    ($name:literal, seconds $($field:ident).+) => {
        Limit {
            name: $name,
            get: |limits| limits.$($field).+.as_secs(),
            set: |limits, value| limits.$($field).+ = Duration::from_secs(value),
        }
    };
}

/// All of them, in the order of the rooms.
pub(super) const LIMITS: [Limit; 26] = [
    limit!("connections", rooms.stream.connections),
    limit!("connection-idle-seconds", seconds rooms.stream.idle),
    limit!("head-bytes", rooms.wire.head_bytes),
    limit!("headers", rooms.wire.headers),
    limit!("body-bytes", rooms.wire.body_bytes),
    limit!("event-bytes", rooms.wire.event_bytes),
    limit!("outstanding-requests", rooms.wire.outstanding),
    limit!("http2-streams", rooms.wire.streams),
    limit!("undecided-bytes", rooms.wire.undecided_bytes),
    limit!("connection-buffer-bytes", rooms.buffers.connection),
    limit!("buffer-bytes", rooms.buffers.total),
    limit!("json-bytes", rooms.genai.body),
    limit!("text-bytes", rooms.genai.content),
    limit!("call-text-bytes", rooms.genai.call_content),
    limit!("call-items", rooms.genai.items),
    limit!("call-choices", rooms.genai.choices),
    limit!("calls-bytes", rooms.genai.in_flight),
    limit!("processes", rooms.resource.processes),
    limit!("ended-process-seconds", seconds rooms.resource.after_exit),
    limit!("metric-series", metrics.series),
    limit!("metric-names", metrics.names),
    limit!("metric-errors", metrics.errors),
    limit!("metric-services", metrics.services),
    limit!("output-spans", outputs.spans),
    limit!("output-bytes", outputs.bytes),
    limit!("output-retry-seconds", seconds outputs.hold),
];

impl Limits {
    /// Sets one; zero is no limit that anything could work within.
    pub(super) fn set(&mut self, name: &str, value: u64) -> Result<(), String> {
        let limit = LIMITS.iter().find(|limit| limit.name == name).ok_or_else(|| "is no limit".to_owned())?;
        if value == 0 {
            return Err("is a limit of nothing: use a number from 1 up".to_owned());
        }
        (limit.set)(self, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_name_sets_its_own_limit() {
        let defaults: Vec<u64> = LIMITS.iter().map(|limit| (limit.get)(&Limits::default())).collect();
        assert!(defaults.iter().all(|value| *value > 0));
        let names: HashSet<_> = LIMITS.iter().map(|limit| limit.name).collect();
        assert_eq!(names.len(), LIMITS.len());
        for (at, limit) in LIMITS.iter().enumerate() {
            let mut limits = Limits::default();
            limits.set(limit.name, 7).unwrap();
            let mut expected = defaults.clone();
            expected[at] = 7;
            let found: Vec<u64> = LIMITS.iter().map(|limit| (limit.get)(&limits)).collect();
            assert_eq!(found, expected, "{}", limit.name);
        }
    }

    #[test]
    fn what_is_no_limit() {
        let mut limits = Limits::default();
        assert!(limits.set("text-bytes", 0).unwrap_err().contains("from 1 up"));
        assert!(limits.set("text", 1).is_err());
    }
}
