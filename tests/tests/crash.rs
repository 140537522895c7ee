//! A real node under load, killed again and again: whatever a client was told stays true.

use anyhow::{Context, Result};
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::{CreateMarketRequest, MarketRules, SelfTradePrevention};
use xbook_tests::client::{Crowd, Progress, Random, Record};
use xbook_tests::process::{Home, Xnode};

const MARKET: &str = "BTC/USDT";
const ROUNDS: usize = 8;

/// After a restart: every open question is answered, and every promise holds.
async fn check(clients: &mut Crowd, node: &Xnode) -> Result<Record> {
    let channel = node.connect().await?;
    clients.recover(std::slice::from_ref(&channel)).await?;
    let record = clients.record(&channel).await?;
    clients.holds_in(&record)?;
    Ok(record)
}

async fn create_market(node: &Xnode) -> Result<()> {
    // Accounts trade with themselves here.
    let rules = MarketRules {
        tick_size: "1".into(),
        lot_size: "1".into(),
        default_self_trade_prevention: SelfTradePrevention::Allow.into(),
        ..MarketRules::default()
    };
    let request = CreateMarketRequest {
        request_id: "market".into(),
        market: MARKET.into(),
        rules: Some(rules),
        voters: Vec::new(),
    };
    ClusterServiceClient::new(node.connect().await?).create_market(request).await?;
    Ok(())
}

/// A node with the market, and the random numbers of this run.
#[allow(clippy::print_stdout, reason = "whoever repeats a failed run needs the seed")]
async fn begin() -> Result<(Home, Xnode, Random)> {
    let seed = Random::seed();
    println!("XBOOK_SEED={seed} chooses the same orders and the same moments again");
    let mut home = Home::new()?;
    let node = Xnode::start(&mut home).await?;
    create_market(&node).await?;
    Ok((home, node, Random::new(seed)))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_promised_is_lost_when_the_node_is_killed_again_and_again() -> Result<()> {
    let (mut home, mut node, mut random) = begin().await?;
    let mut clients = Crowd::new(&mut random, MARKET, 8, 2, 1);
    let id = node.id().to_owned();
    for round in 1..=ROUNDS {
        let answers = 10 + random.below(100);
        let nodes = [node.address().clone()];
        let killing = async |progress: &Progress| {
            progress.answers(answers).await;
            node.kill().await
        };
        clients.trade_while(&nodes, killing).await?;
        node = Xnode::start(&mut home).await.with_context(|| format!("round {round}"))?;
        assert_eq!(node.id(), id, "it is the same node");
        let record =
            check(&mut clients, &node).await.with_context(|| format!("round {round}:\n{}", home.log()))?;
        println!(
            "round {round}: killed after {answers} answered calls; position {}, {} orders, {} trades",
            record.position,
            record.orders.len(),
            record.trades.len()
        );
    }
    let promised = clients.promised();
    println!("promised orders and fills, by calls and by sessions: {promised:?}");
    assert!(promised.iter().all(|(orders, fills)| *orders > 0 && *fills > 0), "{promised:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_end_under_load_exits_with_0_and_loses_nothing() -> Result<()> {
    let (mut home, node, mut random) = begin().await?;
    let mut clients = Crowd::new(&mut random, MARKET, 8, 2, 1);
    let nodes = [node.address().clone()];
    let ending = async |progress: &Progress| {
        progress.answers(100).await;
        node.terminate(&home).await
    };
    let exit = clients.trade_while(&nodes, ending).await?;
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(!exit.log.contains("cut off"), "calls end by themselves: {}", exit.log);
    let node = Xnode::start(&mut home).await?;
    check(&mut clients, &node).await?;
    Ok(())
}
