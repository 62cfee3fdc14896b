//! The attributes that the console's line is made of.

pub(super) const SERVICE_NAME: &str = "service.name";
pub(super) const PROCESS_PID: &str = "process.pid";
pub(super) const PROCESS_EXECUTABLE_NAME: &str = "process.executable.name";
pub(super) const OPERATION: &str = "gen_ai.operation.name";
pub(super) const PROVIDER: &str = "gen_ai.provider.name";
pub(super) const REQUEST_MODEL: &str = "gen_ai.request.model";
pub(super) const RESPONSE_MODEL: &str = "gen_ai.response.model";
pub(super) const STREAM: &str = "gen_ai.request.stream";
pub(super) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(super) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
pub(super) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
pub(super) const TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
pub(super) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const HTTP_STATUS: &str = "http.response.status_code";
pub(super) const CALL_ENDED: &str = "plainspan.call.ended";
pub(super) const DEGRADED: &str = "plainspan.capture.degraded";
