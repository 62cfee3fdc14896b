//! Which call that a process serves makes it make another: a gateway answers one call by asking somebody else.

use std::collections::HashMap;

use crate::{
    capture::{ConnectionId, Process},
    contract::{Link, LinkReason, SpanIds},
    wire::ExchangeId,
};

/// A call that is being served.
struct Served {
    connection: ConnectionId,
    exchange: ExchangeId,
    /// The thread that read its request.
    tid: u32,
    /// The request named the trace that it belongs to.
    named: bool,
    ids: SpanIds,
}

/// The calls that are being served, by process. There are never more than there are open calls.
#[derive(Default)]
pub(super) struct Causes {
    served: HashMap<u32, Vec<Served>>,
}

impl Causes {
    /// A process begins to serve a call. `ids` are those of its span, the trace being the one that the request named, if it
    /// did (`named`).
    pub fn begin(
        &mut self,
        process: Process,
        connection: ConnectionId,
        exchange: ExchangeId,
        ids: SpanIds,
        named: bool,
    ) {
        let served = Served { connection, exchange, tid: process.tid, named, ids };
        self.served.entry(process.pid).or_default().push(served);
    }

    /// A call of this process is over.
    pub fn end(&mut self, pid: u32, connection: ConnectionId, exchange: ExchangeId) {
        if let Some(served) = self.served.get_mut(&pid) {
            served.retain(|s| s.connection != connection || s.exchange != exchange);
            if served.is_empty() {
                self.served.remove(&pid);
            }
        }
    }

    /// What makes a process make a call, which names this trace, if any. `None` unless exactly one call can be it: a request that
    /// carries the trace of a served one on belongs to that, whoever sends it; else a thread that serves one call makes its calls
    /// for that one. Several on one thread (an event loop) can't be told apart.
    pub fn of(&self, process: Process, trace: Option<[u8; 16]>) -> Option<Link> {
        let served = self.served.get(&process.pid)?;
        let carried =
            trace.and_then(|trace| only(served.iter().filter(|s| s.named && s.ids.trace_id == trace)));
        let (cause, reason) = match carried {
            Some(cause) => (cause, LinkReason::TraceContext),
            None => (only(served.iter().filter(|s| s.tid == process.tid))?, LinkReason::SameThread),
        };
        Some(Link { trace_id: cause.ids.trace_id, span_id: cause.ids.span_id, reason })
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next();
    if all.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ids(n: u8) -> SpanIds {
        SpanIds { trace_id: [n; 16], span_id: [n; 8] }
    }

    #[test]
    fn causes() {
        use LinkReason::{SameThread, TraceContext};

        let at = |tid| Process { pid: 1, tid };
        let mut causes = Causes::default();
        causes.begin(at(1), ConnectionId(1), ExchangeId(0), ids(1), true);
        causes.begin(at(2), ConnectionId(2), ExchangeId(0), ids(2), false);
        causes.begin(at(3), ConnectionId(3), ExchangeId(0), ids(3), true);
        causes.begin(at(3), ConnectionId(3), ExchangeId(1), ids(4), false);
        causes.begin(at(4), ConnectionId(4), ExchangeId(0), ids(5), true);
        causes.begin(at(5), ConnectionId(5), ExchangeId(0), ids(5), true);
        let of = |causes: &Causes, process, trace: Option<u8>| {
            causes.of(process, trace.map(|n| [n; 16])).map(|link| (link.span_id[0], link.reason))
        };
        let table = [
            ("nothing but the thread", at(1), None, Some((1, SameThread))),
            ("a trace of its own", at(2), Some(9), Some((2, SameThread))),
            ("the trace goes before the thread", at(2), Some(1), Some((1, TraceContext))),
            ("another thread, the trace carried on", at(9), Some(3), Some((3, TraceContext))),
            ("another thread, a trace that was made here", at(9), Some(2), None),
            ("two calls on a thread", at(3), None, None),
            ("two calls of a trace, one on this thread", at(4), Some(5), Some((5, SameThread))),
            ("two calls of a trace, none on this thread", at(9), Some(5), None),
            ("another process", Process { pid: 2, tid: 1 }, Some(1), None),
        ];
        for (what, process, trace, expected) in table {
            assert_eq!(of(&causes, process, trace), expected, "{what}");
        }
        causes.end(1, ConnectionId(3), ExchangeId(0));
        assert_eq!(of(&causes, at(3), None), Some((4, SameThread)));
        for (connection, exchange) in [(1, 0), (2, 0), (3, 1), (4, 0), (5, 0), (6, 0)] {
            causes.end(1, ConnectionId(connection), ExchangeId(exchange));
        }
        assert!(causes.served.is_empty());
    }
}
