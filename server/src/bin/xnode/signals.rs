//! The signals that end the process.

use std::fmt;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for signals. Made before anything else, so that an early signal is not missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// One that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// SIGTERM.
    Terminate,
    /// SIGINT, or Ctrl-C.
    Interrupt,
}

impl Signals {
    /// From now on, signals no longer end the process by themselves.
    ///
    /// # Errors
    /// The system has no handler to give.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Ended {
        tokio::select! {
            _ = self.terminate.recv() => Ended::Terminate,
            _ = self.interrupt.recv() => Ended::Interrupt,
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}
