//! What a collector's answer means (OTLP specification, "Failures").

use std::{error::Error, time::Duration};

use http::{Response, Uri};
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::signal::Export;

/// Longest time that a collector is left alone because it says so.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Longest message of a collector that is shown, in characters.
const MESSAGE_LIMIT: usize = 200;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was taken, all but what was rejected out of it.
    Taken(Rejected),
    /// It may be taken later, and not before `after`.
    Later { reason: String, after: Option<Duration> },
    /// It will never be.
    Never(String),
    /// Nothing of the kind will: the collector has no such service.
    Unserved(String),
}

/// What a collector rejected out of a request that it otherwise took ("Partial Success"); they are not sent again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::export) struct Rejected {
    pub items: usize,
    pub message: String,
}

impl From<ExportTraceServiceResponse> for Rejected {
    fn from(response: ExportTraceServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Self { items: usize::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
    }
}

impl From<ExportMetricsServiceResponse> for Rejected {
    fn from(response: ExportMetricsServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        let items = usize::try_from(partial.rejected_data_points).unwrap_or(0);
        Self { items, message: partial.error_message }
    }
}

impl From<ExportLogsServiceResponse> for Rejected {
    fn from(response: ExportLogsServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        let items = usize::try_from(partial.rejected_log_records).unwrap_or(0);
        Self { items, message: partial.error_message }
    }
}

/// A collector's message as it may be shown.
pub(super) fn shown(message: &str) -> String {
    let message: String = message.chars().take(MESSAGE_LIMIT).flat_map(char::escape_default).collect();
    if message.is_empty() { "it rejected part of a request".to_owned() } else { message }
}

/// The meaning of a gRPC status. The words of a server are not shown: they may quote what was sent.
pub(super) fn of_status(status: &Status) -> Answer {
    if let Some(cause) = status.source() {
        // It was made here, since nothing came from the collector.
        return Answer::Later { reason: format!("{:?}: {}", status.code(), chain(cause)), after: None };
    }
    let reason = format!("{:?}", status.code());
    let info = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::ResourceExhausted if info.is_none() => Answer::Never(reason),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Answer::Later {
            reason,
            after: info.filter(|delay| !delay.is_zero()).map(|delay| delay.min(LONGEST_WAIT)),
        },
        Code::Unimplemented => Answer::Unserved(reason),
        _ => Answer::Never(reason),
    }
}

/// The meaning of an HTTP response.
pub(super) fn of_response<R: Export>(response: &Response<impl AsRef<[u8]>>, now: Timestamp) -> Answer {
    let status = response.status();
    if status.is_success() {
        // An answer that is none of OTLP's rejects nothing.
        let response = R::Response::decode(response.body().as_ref()).unwrap_or_default();
        return Answer::Taken(response.into());
    }
    let reason = format!("HTTP status {}", status.as_u16());
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            Answer::Later { reason, after: after.and_then(|text| retry_after(text, now)) }
        }
        404 | 405 => Answer::Unserved(reason),
        _ => Answer::Never(reason),
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let then = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Duration::try_from(then.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// An error with its causes, without repeating those that an error already quotes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// A URL, or why it is none.
pub(super) fn uri(url: &str) -> Result<Uri, super::OpenError> {
    url.parse().map_err(super::build_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use tonic_types::ErrorDetails;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn grpc_codes_are_those_of_the_specification() {
        for code in 1..=16 {
            let status = Status::new(Code::from(code), "secret words");
            let retried = matches!(code, 1 | 4 | 10 | 11 | 14 | 15);
            let answer = of_status(&status);
            assert_eq!(matches!(answer, Answer::Later { after: None, .. }), retried, "{code}: {answer:?}");
            assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
        }
        for (code, delay, after) in [
            (Code::ResourceExhausted, Some(7 * SECOND), Some(7 * SECOND)),
            (Code::ResourceExhausted, Some(Duration::ZERO), None),
            (Code::Unavailable, Some(3 * SECOND), Some(3 * SECOND)),
            (Code::Unavailable, Some(3600 * SECOND), Some(LONGEST_WAIT)),
        ] {
            let details = ErrorDetails::with_retry_info(delay);
            let status = Status::with_error_details(code, "busy", details);
            assert_eq!(of_status(&status), Answer::Later { reason: format!("{code:?}"), after });
        }
    }

    #[test]
    fn http_statuses_are_those_of_the_specification() {
        let now: Timestamp = "2026-11-26T05:00:00Z".parse().unwrap();
        for (status, header, expected) in [
            (429, None, Some(None)),
            (429, Some("3"), Some(Some(3 * SECOND))),
            (503, Some(" 0 "), Some(Some(Duration::ZERO))),
            (503, Some("100000000"), Some(Some(LONGEST_WAIT))),
            (503, Some("Thu, 26 Nov 2026 05:00:09 GMT"), Some(Some(9 * SECOND))),
            (503, Some("Thu, 26 Nov 2026 04:00:00 GMT"), Some(Some(Duration::ZERO))),
            (502, Some("soon"), Some(None)),
            (504, Some("-1"), Some(None)),
            (400, Some("3"), None),
            (401, None, None),
            (413, None, None),
            (500, None, None),
            (501, None, None),
            (404, None, None),
            (302, None, None),
        ] {
            let mut response = Response::builder().status(status);
            if let Some(value) = header {
                response = response.header("Retry-After", value);
            }
            let answer =
                of_response::<ExportTraceServiceRequest>(&response.body(b"secret".to_vec()).unwrap(), now);
            let reason = format!("HTTP status {status}");
            match expected {
                Some(after) => assert_eq!(answer, Answer::Later { reason, after }, "{status} {header:?}"),
                None if status == 404 => assert_eq!(answer, Answer::Unserved(reason)),
                None => assert_eq!(answer, Answer::Never(reason)),
            }
        }
        let taken = of_response::<ExportTraceServiceRequest>(&Response::new(b"no protobuf".to_vec()), now);
        assert_eq!(taken, Answer::Taken(Rejected::default()));
    }
}
