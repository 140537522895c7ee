//! How many threads serve calls and peers and match.

use std::io;
use std::num::NonZero;
use std::str::FromStr;

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use super::SettingError;

/// Up to so many processors one thread serves a node best: what it does is one order after the other, and to
/// wake another processor costs more than it gains.
const FEW_PROCESSORS: usize = 2;

/// A number of threads, from 1 to [`Threads::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub struct Threads(usize);

impl Threads {
    /// The most.
    pub const MAX: usize = 256;

    /// As many as this machine's processors ask for.
    #[must_use]
    pub fn of_machine() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self(if processors <= FEW_PROCESSORS { 1 } else { processors.min(Self::MAX) })
    }

    /// A runtime with so many threads; those that wait for the disk come on top.
    ///
    /// # Errors
    /// The system has no threads to give.
    pub fn runtime(self) -> io::Result<Runtime> {
        let mut builder = match self.0 {
            1 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        builder.worker_threads(self.0).enable_all().build()
    }
}

impl TryFrom<i64> for Threads {
    type Error = SettingError;

    fn try_from(number: i64) -> Result<Self, SettingError> {
        let threads = usize::try_from(number).ok().filter(|threads| (1..=Self::MAX).contains(threads));
        threads.map(Self).ok_or_else(|| SettingError::Threads(number.to_string()))
    }
}

impl FromStr for Threads {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        text.parse::<i64>().map_err(|_| SettingError::Threads(text.to_owned()))?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_and_many_run_what_they_are_given() {
        for threads in ["1", "3"] {
            let runtime = threads.parse::<Threads>().unwrap().runtime().unwrap();
            assert_eq!(runtime.block_on(async { tokio::spawn(async { 7 }).await.unwrap() }), 7);
        }
        assert!((1..=Threads::MAX).contains(&Threads::of_machine().0));
    }
}
