//! The signals that end the process.

use std::fmt;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for signals. Made before anything else, so that an early signal is not missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A file would become larger than the system allows this process. Listened for and not waited for:
    /// the write fails then and says so, instead of ending the process without a word.
    _file_size: Signal,
}

/// SIGXFSZ, which has this number on each system that has it.
const FILE_SIZE: i32 = 25;

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
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
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
