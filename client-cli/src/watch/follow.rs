//! A stream that goes on: opened again with back-off when the connection is lost, and from the
//! position that was reached.

use std::time::Duration;

use tonic::{Status, Streaming};

use crate::clock;
use crate::connect::Client;
use crate::failure::{Exit, Failure, is_transient};

/// Nodes say something at least every 5 s; after three times that the connection is dead.
const SILENCE: Duration = Duration::from_secs(15);

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the follower made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Everything up to this position has been seen.
    UpTo(u64),
    /// Something is missing: open the stream again.
    Gap,
}

/// Who reads a stream.
pub trait Follower {
    /// What the stream carries.
    type Message;

    /// Opens the stream after a position, if one is known.
    async fn open(&mut self, after: Option<u64>) -> Result<Streaming<Self::Message>, Status>;

    /// Takes a message.
    fn take(&mut self, message: Self::Message) -> Result<Taken, Failure>;

    /// The stream broke and will be opened again.
    fn interrupted(&mut self, why: &str) -> Result<(), Failure>;

    /// The stream is there again; what comes next is its first message.
    fn resumed(&mut self) -> Result<(), Failure>;
}

/// Follows until Ctrl-C, or an error that opening again would not mend.
pub async fn follow<F: Follower>(
    client: &Client,
    after: Option<u64>,
    follower: &mut F,
) -> Result<Exit, Failure> {
    tokio::select! {
        failure = go_on(client, after, follower) => Err(failure),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

/// Follows and opens again, on the next node if several were named. The first opening is tried once on
/// each: an address that never answered is likely wrong.
async fn go_on<F: Follower>(client: &Client, after: Option<u64>, follower: &mut F) -> Failure {
    let mut position = after;
    let mut pauses = Pauses::default();
    let (mut opened, mut others) = (false, client.others());
    let mut lost = false;
    loop {
        let opening = tokio::time::timeout(client.timeout(), follower.open(position)).await;
        let end = match opening {
            Ok(Ok(stream)) => {
                opened = true;
                match drain(stream, &mut position, (&mut pauses, &mut lost), follower).await {
                    Ok(end) => end,
                    Err(failure) => return failure,
                }
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded(""),
        };
        if !is_transient(&end) || !opened && others == 0 {
            return Failure::of_read(&end);
        }
        others = others.saturating_sub(1);
        let pause = pauses.next();
        let why = format!(
            "the stream was interrupted ({}); trying again in {} ms",
            Failure::of_read(&end).message(),
            pause.as_millis()
        );
        if let Err(failure) = follower.interrupted(&why) {
            return failure;
        }
        lost = true;
        tokio::time::sleep(pause).await;
        if client.others() > 0
            && let Err(failure) = client.fail_over().await
            && let Err(failure) = follower.interrupted(failure.message())
        {
            return failure;
        }
    }
}

/// Reads the stream until it ends; returns why it did.
async fn drain<F: Follower>(
    mut stream: Streaming<F::Message>,
    position: &mut Option<u64>,
    (pauses, lost): (&mut Pauses, &mut bool),
    follower: &mut F,
) -> Result<Status, Failure> {
    loop {
        let message = match tokio::time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Ok(Status::unavailable("the node ended the stream")),
            Ok(Err(status)) => return Ok(status),
            Err(_) => return Ok(Status::unavailable("the node has fallen silent")),
        };
        if std::mem::take(lost) {
            follower.resumed()?;
        }
        match follower.take(message)? {
            Taken::UpTo(seen) => {
                *position = Some(seen);
                pauses.reset();
            }
            Taken::Gap => return Ok(Status::unavailable("a change is missing")),
        }
    }
}

/// Exponential back-off: each pause is up to twice the one before, and at least half of that.
#[derive(Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    fn reset(&mut self) {
        self.failures = 0;
    }

    fn next(&mut self) -> Duration {
        let longest = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures += 1;
        longest.mul_f64(0.5 + clock::jitter() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_again() {
        let mut pauses = Pauses::default();
        let mut longest = FIRST_PAUSE;
        for _ in 0..40 {
            let pause = pauses.next();
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        pauses.reset();
        assert!(pauses.next() <= FIRST_PAUSE);
    }
}
