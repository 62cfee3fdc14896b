//! The signals that the agent listens to.

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that the agent listens to.
pub(super) struct Signals {
    pub interrupt: Signal,
    pub terminate: Signal,
    pub report: Signal,
    /// Settings are to be read again. At a terminal the signal says that this is gone, and the agent goes with it.
    pub reload: Option<Signal>,
    /// Ctrl-Z, where it must not stop the agent.
    pub stop: Option<Signal>,
}

impl Signals {
    /// `holds` if programs wait for the agent.
    pub fn new(holds: bool) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals can't be handled");
        let stop = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            report: on(SignalKind::user_defined1())?,
            reload: if std::io::stdin().is_terminal() { None } else { Some(on(SignalKind::hangup())?) },
            stop: if holds { Some(on(stop)?) } else { None },
        })
    }
}

/// Waits for a signal that the agent may not listen to.
pub(super) async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
