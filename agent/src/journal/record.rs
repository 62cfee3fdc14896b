//! A span as a row: its bytes, and the columns that it is found by.

use rusqlite::{CachedStatement, named_params};

use crate::{
    contract::{Delivery, Key, Kind, Resource, Span, Status, Text, Value, names},
    text::hex,
};

/// Writes a row of `calls`.
pub(super) const INSERT_CALL: &str = "
    INSERT INTO calls (
        stored_s, start_ns, duration_ns, trace_id, span_id, kind, service, pid, container_id, operation, provider, model,
        response_model, server, status, error_type, http_status, finish_reason, stream, first_chunk_s, input_tokens,
        output_tokens, cached_tokens, conversation, degraded, source, waiting
    ) VALUES (
        :stored_s, :start_ns, :duration_ns, :trace_id, :span_id, :kind, :service, :pid, :container_id, :operation, :provider,
        :model, :response_model, :server, :status, :error_type, :http_status, :finish_reason, :stream, :first_chunk_s,
        :input_tokens, :output_tokens, :cached_tokens, :conversation, :degraded, :source, :waiting
    )";

/// Inserts the columns of a span that `waiting` outputs want, with [`INSERT_CALL`].
pub(super) fn insert(
    statement: &mut CachedStatement<'_>,
    delivery: &Delivery,
    stored_s: i64,
    waiting: i64,
) -> rusqlite::Result<i64> {
    let (span, resource) = (&delivery.span, &*delivery.resource);
    statement.insert(named_params! {
        ":stored_s": stored_s,
        ":start_ns": span.start.0 as i64,
        ":duration_ns": span.end.since(span.start).as_nanos() as i64,
        ":trace_id": hex(&span.trace_id),
        ":span_id": hex(&span.span_id),
        ":kind": match span.kind { Kind::Client => "client", Kind::Server => "server" },
        ":service": resource_text(resource, names::SERVICE_NAME),
        ":pid": match resource.get(names::PROCESS_PID.name()) {
            Some(Value::Int(pid)) => Some(*pid),
            _ => None,
        },
        ":container_id": resource_text(resource, names::CONTAINER_ID),
        ":operation": text(span, names::GEN_AI_OPERATION_NAME),
        ":provider": text(span, names::GEN_AI_PROVIDER_NAME),
        ":model": text(span, names::GEN_AI_REQUEST_MODEL),
        ":response_model": text(span, names::GEN_AI_RESPONSE_MODEL),
        ":server": text(span, names::SERVER_ADDRESS),
        ":status": match span.status { Status::Unset => "ok", Status::Error(_) => "error" },
        ":error_type": text(span, names::ERROR_TYPE),
        ":http_status": int(span, names::HTTP_RESPONSE_STATUS_CODE),
        ":finish_reason": joined(span, names::GEN_AI_RESPONSE_FINISH_REASONS.name()),
        ":stream": match span.get(names::GEN_AI_REQUEST_STREAM.name()) {
            Some(Value::Bool(stream)) => Some(*stream),
            _ => None,
        },
        ":first_chunk_s": match span.get(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK.name()) {
            Some(Value::Double(seconds)) => Some(*seconds),
            _ => None,
        },
        ":input_tokens": int(span, names::GEN_AI_USAGE_INPUT_TOKENS),
        ":output_tokens": int(span, names::GEN_AI_USAGE_OUTPUT_TOKENS),
        ":cached_tokens": int(span, names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS),
        ":conversation": text(span, names::GEN_AI_CONVERSATION_ID),
        ":degraded": joined(span, names::PLAINSPAN_CAPTURE_DEGRADED.name()),
        ":source": text(span, names::PLAINSPAN_REPLAY_SOURCE),
        ":waiting": waiting,
    })
}

fn text<T: Text>(span: &Span, key: Key<T>) -> Option<&str> {
    string(span.read(key))
}

fn int(span: &Span, key: Key<i64>) -> Option<i64> {
    match span.read(key) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}

/// A list as one text, as `stop,length`.
fn joined(span: &Span, key: &str) -> Option<String> {
    match span.get(key) {
        Some(Value::Strings(texts)) => Some(texts.join(",")),
        _ => None,
    }
}

fn resource_text(resource: &Resource, key: Key<String>) -> Option<&str> {
    string(resource.get(key.name()))
}

fn string(value: Option<&Value>) -> Option<&str> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
