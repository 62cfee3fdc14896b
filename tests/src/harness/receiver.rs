//! A real OTLP receiver (`rotel`, from PyPI), and what it received, read back from what it logs.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
};

use rustix::process::Signal;

use super::{Process, venv, wait_until};

/// A running receiver.
pub struct Receiver {
    process: Process,
    signal: &'static str,
    grpc: u16,
    http: u16,
}

/// A span, or an event, as the receiver understood it; values as it writes them: `Str(x)`, `Int(3)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Name.
    pub name: String,
    /// Trace id.
    pub trace_id: String,
    /// Span id.
    pub span_id: String,
    /// Kind.
    pub kind: String,
    /// Start in nanoseconds.
    pub start: u64,
    /// End in nanoseconds.
    pub end: u64,
    /// Name of the scope, with its version if that is shown.
    pub scope: String,
    /// Schema URL of the scope.
    pub schema_url: String,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
    /// Attributes of the resource under which it arrived.
    pub resource: BTreeMap<String, String>,
}

/// A port that nobody listens on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener.local_addr().expect("it is bound").port()
}

fn program() -> PathBuf {
    let lib = venv("python").parent().expect("bin").join("../lib");
    let pythons = std::fs::read_dir(&lib).unwrap_or_else(|e| panic!("no {}: {e}", lib.display()));
    let agents = pythons.flatten().map(|d| d.path().join("site-packages/rotel/rotel-agent"));
    agents
        .into_iter()
        .find(|p| p.is_file())
        .expect("rotel is not in the environment: pip install -r requirements.txt")
}

impl Receiver {
    /// Starts one, and waits until it listens.
    pub fn start() -> Self {
        Self::listen("traces", free_port(), free_port())
    }

    /// Starts one that tells of events instead of spans; it takes both.
    pub fn of_events() -> Self {
        Self::listen("logs", free_port(), free_port())
    }

    fn listen(signal: &'static str, grpc: u16, http: u16) -> Self {
        let mut command = std::process::Command::new(program());
        command
            .args(["start", "--exporter", "blackhole", "--debug-log", signal])
            .args(["--debug-log-verbosity", "detailed"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
        let process = Process::start(command);
        wait_until("the receiver's ports", || {
            [grpc, http].iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok())
        });
        Self { process, signal, grpc, http }
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Ends it, and starts it again on the same ports when `meanwhile` is over.
    pub fn stop_and_start_after(self, meanwhile: impl FnOnce()) -> Self {
        let (signal, grpc, http) = (self.signal, self.grpc, self.http);
        self.stop();
        meanwhile();
        Self::listen(signal, grpc, http)
    }

    /// Ends it and tells what it received.
    pub fn stop(self) -> Vec<Received> {
        self.process.signal(Signal::TERM);
        parse(&self.process.wait().stdout)
    }
}

/// Reads the log. A line that continues a value of the line before it is left out.
fn parse(lines: &[String]) -> Vec<Received> {
    let mut spans: Vec<Received> = Vec::new();
    let mut outer = Received::default();
    let mut in_span = false;
    for line in lines {
        if line.starts_with("ResourceSpans #") || line.starts_with("ResourceLog #") {
            outer = Received::default();
            in_span = false;
        } else if line.starts_with("ScopeSpans #") || line.starts_with("ScopeLogs #") {
            in_span = false;
        } else if let Some(("ScopeSpans" | "ScopeLogs", url)) = line.split_once(" SchemaURL: ") {
            url.clone_into(&mut outer.schema_url);
        } else if let Some(scope) = line.strip_prefix("InstrumentationScope ") {
            scope.trim().clone_into(&mut outer.scope);
        } else if line.starts_with("Span #") || line.starts_with("LogRecord #") {
            spans.push(outer.clone());
            in_span = true;
        } else if let Some((key, value)) = line.strip_prefix("     -> ").and_then(|a| a.split_once(": ")) {
            let (key, value) = (key.to_owned(), value.to_owned());
            match spans.last_mut() {
                Some(span) if in_span => span.attributes.insert(key, value),
                _ => outer.resource.insert(key, value),
            };
        } else if let (Some(span), Some((key, value))) = (spans.last_mut(), line.split_once(':')) {
            let value = value.trim();
            match key.trim() {
                "Name" | "EventName" => value.clone_into(&mut span.name),
                "Trace ID" => value.clone_into(&mut span.trace_id),
                "ID" | "Span ID" => value.clone_into(&mut span.span_id),
                "Kind" => value.clone_into(&mut span.kind),
                "Start time" => span.start = value.parse().unwrap_or(0),
                "End time" => span.end = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_of_two_resources() {
        let log = "ResourceSpans #0\nResource SchemaURL: \nResource attributes:\n     -> process.pid: Int(7)\n\
                   ScopeSpans #0\nScopeSpans SchemaURL: u\nInstrumentationScope plainspan 0.1\nSpan #0\n    \
                   Trace ID       : 0a\n    Parent ID      : \n    ID             : 0b\n    Name           : chat m\n    \
                   Kind           : SPAN_KIND_CLIENT\nStart time: 5\nEnd time: 9\nAttributes:\n     -> a: Str(x)\n\
                   ResourceSpans #1\nResource attributes:\n     -> process.pid: Int(8)\nScopeSpans #0\nSpan #0\n    \
                   Name           : chat: n";
        let spans = parse(&log.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(spans.len(), 2);
        assert_eq!((spans[0].name.as_str(), spans[0].span_id.as_str(), spans[0].end), ("chat m", "0b", 9));
        assert_eq!(spans[0].attributes["a"], "Str(x)");
        assert_eq!(spans[0].resource["process.pid"], "Int(7)");
        assert_eq!(
            (spans[1].name.as_str(), spans[1].resource["process.pid"].as_str()),
            ("chat: n", "Int(8)")
        );
    }
    #[test]
    fn log_of_an_event() {
        let log = "ResourceLog #0\nResource SchemaURL: u\nResource attributes:\n     -> process.pid: Int(7)\nScopeLogs #0\n\
                   ScopeLogs SchemaURL: u\nInstrumentationScope plainspan 0.1\nLogRecord #0\nTimestamp: 5\nEventName: said\n\
                   Attributes:\n     -> a: Slice(Str(x))\n    Trace ID       : 0a\n    Span ID        : 0b\nFlags: 1";
        let events = parse(&log.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((events.len(), events[0].name.as_str(), events[0].span_id.as_str()), (1, "said", "0b"));
        assert_eq!(
            (events[0].attributes["a"].as_str(), events[0].resource["process.pid"].as_str()),
            ("Slice(Str(x))", "Int(7)")
        );
    }
}
