//! Workload E1 through a real node: what it answers is, line by line, what an engine must report.

use std::time::Duration;

use anyhow::Result;
use xbook_tests::cluster::Cluster;
use xbook_tests::process::{Home, Xnode};
use xbook_tests::replay::{Pace, create_market, replay, replay_killing};
use xbook_tests::workload::e1::{QUICK_COUNT, Scenario, messages};

/// Replays a scenario on a market of its own.
async fn report_of(node: &Xnode, scenario: Scenario, pace: Pace) -> Result<String> {
    let channel = node.connect().await?;
    let market = create_market(channel.clone(), Vec::new()).await?;
    let messages = messages(scenario, QUICK_COUNT);
    let replayed = replay(channel, &market, &messages, pace, || Duration::ZERO, |_| {}, async |_| {}).await?;
    assert_eq!(replayed.commands, messages.len() as u64);
    assert_eq!(replayed.latencies.len(), replayed.commands, "each command was timed");
    Ok(replayed.hash)
}

#[tokio::test]
async fn a_node_reports_what_is_published_whatever_the_batches() -> Result<()> {
    let mut home = Home::new()?;
    let node = Xnode::start(&mut home).await?;
    let paces = [
        (Scenario::Static, Pace { window: 2_000, batch: 7 }),
        (Scenario::Normal, Pace { window: 8_192, batch: 1_024 }),
        (Scenario::Swing25, Pace { window: 4_096, batch: 4_096 }),
    ];
    for (scenario, pace) in paces {
        let hash = report_of(&node, scenario, pace).await?;
        assert_eq!(Some(hash.as_str()), scenario.known_hash(QUICK_COUNT), "{} at {pace:?}", scenario.name());
    }
    assert_eq!(node.terminate(&home).await?.code, Some(0));
    Ok(())
}

#[tokio::test]
async fn three_nodes_report_what_is_published_although_the_lease_holder_is_killed() -> Result<()> {
    // Documents so small that some are sealed on the way.
    let homes = (0..3).map(|_| Ok(Home::new()?.with_document_size("256KiB"))).collect::<Result<_>>()?;
    let mut cluster = Cluster::start_at(homes).await?;
    let messages = messages(Scenario::Normal, QUICK_COUNT);
    let pace = Pace { window: 4_096, batch: 256 };
    let replayed = replay_killing(&mut cluster, &messages, pace, 3, || Duration::ZERO, |_| {}).await?;
    assert_eq!(Some(replayed.hash.as_str()), Scenario::Normal.known_hash(QUICK_COUNT));
    Ok(())
}
