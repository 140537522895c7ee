//! A fake peer against real nodes: whatever it says, the worst that happens is the end of its stream.
//!
//! `fake` is the peer, with an encoder of its own; `changes` makes changes that no node writes; `cases` and
//! `members` are the tables of what it says; `target` is the attacked node, which after each case serves
//! as before: with its books as they were, in time, within its memory, and after a restart.

mod cases;
mod changes;
mod fake;
mod members;
mod storms;
mod target;

use anyhow::{Context, Result};

use cases::{Case, End};
use target::Target;

/// Plays a table, and checks after each case.
async fn play(target: &mut Target, cases: Vec<Case>) -> Result<usize> {
    let count = cases.len();
    for case in cases {
        let name = case.name.clone();
        let ended = case.play(target).await.with_context(|| format!("in the case \"{name}\""))?;
        match (&case.end, &ended) {
            (End::Refused(code), Some(status)) if status.code() == *code && !status.message().is_empty() => {}
            (End::Ignored, None) => {}
            (expected, _) => anyhow::bail!("the case \"{name}\" ended with {ended:?}, not {expected:?}"),
        }
        target.check().await.with_context(|| format!("after the case \"{name}\""))?;
    }
    target.restart().await?;
    target.check().await.context("after a restart")?;
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_hurts_nobody() -> Result<()> {
    let mut target = Target::start(0).await?;
    let cases = cases::of_strangers(&target);
    println!("{} cases", play(&mut target, cases).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_member_hurts_nobody() -> Result<()> {
    let mut target = Target::start(12).await?;
    let cases = members::cases(&target)?;
    println!("{} cases", play(&mut target, cases).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn storms_pass() -> Result<()> {
    let mut target = Target::start(4).await?;
    storms::silent_callers(&mut target).await?;
    storms::garbage(&mut target).await?;
    storms::reader_that_does_not_read(&mut target).await?;
    storms::many_links(&mut target).await?;
    storms::reconnects(&mut target).await?;
    storms::announcements(&mut target).await?;
    target.restart().await?;
    target.check().await.context("after a restart")?;
    Ok(())
}
