//! The agent's own log, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::Usage;

/// Starts logging what `filter` lets through.
pub(super) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Usage(format!(
            "the log filter {filter:?} makes no sense ({error}): use error, warn, info, debug, trace, or a filter like \
             plainspan::probe=debug, with --log or PLAINSPAN_LOG"
        ))
    })?;
    // Another subscriber can only be there in a test, which then keeps its own.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        // Of a closed standard error it would speak on standard error, and end the program.
        .log_internal_errors(false)
        .try_init();
    Ok(())
}
