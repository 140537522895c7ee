//! What comes from outside, as bytes: a peer's frames and changes, records, what lies on the disk, texts.
//!
//! Each [`Target`] takes any bytes and panics if a promise breaks. The bytes are [made](mutant) from what gets
//! far, each from a seed: some in the tests, and by `xfuzz` as many as one wants.

mod change;
mod conversation;
mod genesis;
mod history;
mod mutant;
mod node;
mod reader;
mod records;
mod tape;
mod texts;

use std::panic::catch_unwind;

pub use mutant::mutant;

/// One way in.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes the bytes, and panics if a promise breaks.
    pub take: fn(&[u8]),
    /// Bytes that get far, to begin from.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// All ways in.
pub const TARGETS: [Target; 6] = [
    Target { name: "change", take: change::take, samples: change::samples },
    Target { name: "conversation", take: conversation::take, samples: conversation::samples },
    Target { name: "genesis", take: genesis::take, samples: genesis::samples },
    Target { name: "history", take: history::take, samples: history::samples },
    Target { name: "tape", take: tape::take, samples: tape::samples },
    Target { name: "texts", take: texts::take, samples: texts::samples },
];

impl Target {
    /// Tries inputs, one for each seed, and tells after each how many that were, until it is told to stop.
    ///
    /// # Errors
    /// The seed whose bytes break a promise; what broke was printed with the panic.
    pub fn try_seeds(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        mut goes_on: impl FnMut(u64) -> bool,
    ) -> Result<u64, u64> {
        let samples = (self.samples)();
        let mut tried = 0;
        for seed in seeds {
            let bytes = mutant(&samples, seed);
            catch_unwind(|| (self.take)(&bytes)).map_err(|_| seed)?;
            tried += 1;
            if !goes_on(tried) {
                break;
            }
        }
        Ok(tried)
    }
}
