//! The OTLP file format: one JSON-encoded `TracesData` or `LogsData` a line, one span or event a line, in the order of the input
//! (OpenTelemetry protocol file exporter specification).

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Batching, BoxFuture, ExportError, Exporter, Failure, OpenError, Told};
use crate::contract::{Delivery, otlp, otlp_logs};

/// Appends spans, or the events that go with them, to a file; each batch is in the file, and not in a buffer, when it counts as delivered.
#[derive(Debug)]
pub struct File {
    name: String,
    /// Of a file that is one, and not a pipe or a device.
    absolute: Option<PathBuf>,
    sink: Arc<Mutex<std::fs::File>>,
    told: Told,
    schema_url: &'static str,
}

impl File {
    /// Opens a file for appending, or creates it so that only its owner may read it: spans may hold prompts.
    pub fn open(path: &Path, told: Told, schema_url: &'static str) -> Result<Self, OpenError> {
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|source| {
                OpenError::File { path: path.display().to_string(), remedy: remedy(&source), reason: source }
            })?;
        if !ends_with_line(path) {
            // A line that was cut off by a crash must not swallow the next one; should this fail, so does the
            // first batch, and says so.
            let _ = file.write_all(b"\n");
        }
        Ok(Self {
            name: named(told, path),
            absolute: path.canonicalize().ok().filter(|path| path.is_file()),
            sink: Arc::new(Mutex::new(file)),
            told,
            schema_url,
        })
    }

    /// Adds the line of a call, if it has one.
    fn line(&self, lines: &mut Vec<u8>, of: &Delivery) -> serde_json::Result<()> {
        match self.told {
            Told::Spans => serde_json::to_writer(&mut *lines, &otlp::traces_data(of, self.schema_url))?,
            Told::Events => match otlp_logs::logs_data(of, self.schema_url) {
                Some(event) => serde_json::to_writer(&mut *lines, &event)?,
                None => return Ok(()),
            },
        }
        lines.push(b'\n');
        Ok(())
    }
}

/// As in `-o`.
fn named(told: Told, path: &Path) -> String {
    let kind = match told {
        Told::Spans => "file",
        Told::Events => "events",
    };
    format!("{kind}:{}", path.display())
}

impl Exporter for File {
    fn name(&self) -> &str {
        &self.name
    }

    fn kept_as(&self) -> Option<String> {
        self.absolute.as_ref().map(|path| named(self.told, path))
    }

    fn batching(&self) -> Batching {
        Batching { spans: 512, bytes: 4 << 20, delay: Duration::ZERO }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let mut lines = Vec::new();
            let mut unencoded = None;
            let mut lost = 0;
            for delivery in batch {
                let start = lines.len();
                if let Err(error) = self.line(&mut lines, delivery) {
                    lines.truncate(start);
                    lost += 1;
                    unencoded = Some(error);
                }
            }
            let sink = Arc::clone(&self.sink);
            // A file may be a pipe that nobody reads at the moment, or on a disk that is slow.
            let written = tokio::task::spawn_blocking(move || {
                append(&mut sink.lock().unwrap_or_else(PoisonError::into_inner), &lines)
            });
            let (retry, error) = match written.await.map_err(io::Error::other).and_then(|result| result) {
                Ok(()) => match unencoded {
                    None => return Ok(()),
                    Some(error) => (Vec::new(), error.into()),
                },
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    lost = batch.len();
                    (Vec::new(), ExportError::Closed)
                }
                // There may be room again.
                Err(error) => {
                    lost = 0;
                    ((0..batch.len()).collect(), ExportError::Write(error))
                }
            };
            Err(Failure { retry, lost, error, after: None })
        })
    }
}

/// Writes all of it, or takes back what was written of it (a disk may fill in the middle of a line).
fn append(file: &mut std::fs::File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?;
    file.write_all(lines).inspect_err(|_| {
        if before.is_file() {
            // If this fails too, a reader finds one line that is no JSON.
            let _ = file.set_len(before.len());
        }
    })
}

fn ends_with_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        // Only a regular file has an end; opening a pipe to look at it would wait for a writer.
        if !path.metadata()?.is_file() {
            return Ok(b'\n');
        }
        let mut file = std::fs::File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(b'\n');
        }
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    last().map_or(true, |byte| byte == b'\n')
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create its directory first",
        io::ErrorKind::PermissionDenied => "choose a path that you may write, or change its permissions",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::ReadOnlyFilesystem => "choose a path on a file system that can be written",
        _ => "choose another path",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::convert::tests::delivery, *};
    use crate::contract::Value;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn batch(pids: &[i64]) -> Vec<Arc<Delivery>> {
        pids.iter()
            .map(|pid| Arc::new(delivery(*pid, &[("k", Value::String("line\nbreak".into()))])))
            .collect()
    }

    fn pids(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|line| {
                let json: serde_json::Value = serde_json::from_str(line).unwrap();
                let data: opentelemetry_proto::tonic::trace::v1::TracesData =
                    serde_json::from_str(line).unwrap();
                assert_eq!(data.resource_spans.len(), 1);
                let attributes = &json["resourceSpans"][0]["resource"]["attributes"];
                attributes[1]["value"]["intValue"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_span_a_line_in_order_and_appended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        File::open(&path, Told::Spans, "s").unwrap().export(&batch(&[3, 1])).await.unwrap();
        File::open(&path, Told::Spans, "s").unwrap().export(&batch(&[2])).await.unwrap();
        assert_eq!(pids(&path), ["3", "1", "2"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_torn_line_swallows_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calls.jsonl");
        fs::write(&path, "{\"torn").unwrap();
        File::open(&path, Told::Spans, "s").unwrap().export(&batch(&[1])).await.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(serde_json::from_str::<serde_json::Value>(text.lines().nth(1).unwrap()).is_ok());
    }

    #[test]
    fn a_path_that_cannot_be_written_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for (path, remedy) in [
            (dir.path().join("no/such.jsonl"), "create its directory first"),
            (dir.path().into(), "name a file in it"),
        ] {
            let error = File::open(&path, Told::Spans, "s").unwrap_err().to_string();
            assert!(error.starts_with(&format!("cannot write to {}: ", path.display())), "{error}");
            assert!(error.ends_with(remedy) && !error.contains('\n'), "{error}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_a_failure_and_not_a_delivery() {
        let mut file = File::open(Path::new("/dev/full"), Told::Spans, "s").unwrap();
        let failure = file.export(&batch(&[1, 2])).await.unwrap_err();
        assert_eq!((failure.lost, failure.retry), (0, vec![0, 1]));
        assert!(failure.error.to_string().starts_with("cannot write: "), "{}", failure.error);
    }
}
