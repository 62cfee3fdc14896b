//! What is said at the end, and on SIGUSR1.

use std::fmt;

use crate::{account::Account, genai::Call};

/// The calls of one run, in sum.
#[derive(Debug, Default)]
pub(super) struct Summary {
    calls: u64,
    mcp: u64,
    failed: u64,
    damaged: u64,
    input: i64,
    output: i64,
}

impl Summary {
    pub(super) fn add(&mut self, call: &Call) {
        let is_mcp = call.mcp.is_some();
        self.calls += u64::from(!is_mcp);
        self.mcp += u64::from(is_mcp);
        self.failed += u64::from(call.error.is_some());
        self.damaged += u64::from(call.damage.request.any() || call.damage.response.any());
        self.input = self.input.saturating_add(call.usage.input.unwrap_or(0));
        self.output = self.output.saturating_add(call.usage.output.unwrap_or(0));
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls + self.mcp
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, mcp, failed, damaged, input, output } = self;
        match calls {
            0 if *mcp == 0 => return f.write_str("no LLM calls"),
            0 => f.write_str("no LLM calls")?,
            1 => f.write_str("1 LLM call")?,
            n => write!(f, "{n} LLM calls")?,
        }
        match mcp {
            0 => {}
            1 => f.write_str(", 1 MCP call")?,
            n => write!(f, ", {n} MCP calls")?,
        }
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        if *damaged > 0 {
            write!(f, ", {damaged} with bytes missing")?;
        }
        write!(f, ", {input} tokens in, {output} out")
    }
}

/// The account as it is printed: a heading and the counters that moved.
pub(super) fn table(account: &Account) -> String {
    format!("{:<9} {:>14}  what\n{account}", "room", "count")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genai::{CallError, Mcp, Usage};

    #[test]
    fn the_heading_stands_above_the_counters() {
        let account = Account::default();
        account.add(crate::account::Counter::Calls, 7);
        let table = table(&account);
        let (heading, counter) = table.split_once('\n').unwrap();
        assert_eq!(heading.find("  what"), counter.find("  LLM calls"), "{table}");
    }

    #[test]
    fn one_line_for_a_person() {
        let mut summary = Summary::default();
        assert_eq!(summary.to_string(), "no LLM calls");
        let usage = Usage { input: Some(10), output: Some(5), ..Usage::default() };
        summary.add(&Call { usage, ..Call::default() });
        assert_eq!(summary.to_string(), "1 LLM call, 10 tokens in, 5 out");
        summary.add(&Call { error: Some(CallError::default()), ..Call::default() });
        assert_eq!(summary.to_string(), "2 LLM calls, 1 failed, 10 tokens in, 5 out");
        let call = || Call { mcp: Some(Box::new(Mcp::default())), ..Call::default() };
        summary.add(&call());
        assert_eq!(summary.to_string(), "2 LLM calls, 1 MCP call, 1 failed, 10 tokens in, 5 out");
        let mut tools = Summary::default();
        tools.add(&call());
        tools.add(&call());
        assert_eq!(
            (tools.to_string(), tools.calls()),
            ("no LLM calls, 2 MCP calls, 0 tokens in, 0 out".into(), 2)
        );
    }
}
