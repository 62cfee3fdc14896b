//! Requests of any signal to one collector, and what it says of them.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::{
    ExportError, OpenError, OtlpConfig, Protocol,
    answer::{Answer, Rejected},
    backoff, grpc, http,
    signal::Export,
};

/// Tries of one request within its time.
pub(super) const TRIES: usize = 5;
/// First pause between two tries; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One connection to a collector.
#[derive(Debug)]
pub(in crate::export) struct Sender {
    client: Client,
    /// Where to, without credentials.
    endpoint: String,
    timeout: Duration,
}

#[derive(Debug)]
enum Client {
    Grpc(grpc::Client),
    Http(http::Client),
}

impl Sender {
    /// It connects with the first request. Needs a tokio runtime.
    pub(in crate::export) fn new(config: &OtlpConfig) -> Result<Self, OpenError> {
        let client = match config.protocol {
            Protocol::Grpc => Client::Grpc(grpc::Client::new(config)?),
            Protocol::HttpProtobuf => Client::Http(http::Client::new(config)?),
        };
        Ok(Self { client, endpoint: config.shown_endpoint(), timeout: config.timeout })
    }

    /// Where to, without credentials.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One request, with as many tries as its time allows.
    pub(in crate::export) async fn request<R: Export>(&mut self, request: R) -> Result<Rejected, Denied> {
        let until = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let sent = async {
                match &mut self.client {
                    Client::Grpc(client) => client.send(request.clone()).await,
                    Client::Http(client) => client.send(&request).await,
                }
            };
            let answer = timeout_at(until, sent).await.unwrap_or_else(|_| Answer::Later {
                reason: format!("no answer within {:?}", self.timeout),
                after: None,
            });
            let endpoint = self.endpoint.clone();
            let unserved = matches!(answer, Answer::Unserved(_));
            match answer {
                Answer::Taken(rejected) => return Ok(rejected),
                Answer::Never(reason) | Answer::Unserved(reason) => {
                    let error = ExportError::Refused { endpoint, reason };
                    return Err(Denied { error, after: None, unserved });
                }
                Answer::Later { reason, after } => {
                    let wait = after.unwrap_or_else(|| backoff::jittered(pause));
                    if tries >= TRIES || Instant::now() + wait >= until {
                        let error = ExportError::Unavailable { endpoint, reason };
                        return Err(Denied { error, after, unserved });
                    }
                    sleep(wait).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        Ok(Rejected::default())
    }
}

/// Why a request was not taken, and how long the collector wants to be left alone.
#[derive(Debug)]
pub(in crate::export) struct Denied {
    pub(in crate::export) error: ExportError,
    pub(in crate::export) after: Option<Duration>,
    /// The collector takes nothing of the kind at all.
    pub(in crate::export) unserved: bool,
}
