//! Data directories that are copied and put back.

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use xbook_tests::client::Progress;

use super::{LEASE, MARKET, begin, check};

/// A copy of a voter's directory is put back, from which only acknowledgements are missing; then the
/// holder dies.
async fn an_old_copy_is_refused(in_place: bool) -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    let holder = cluster.holder(MARKET).await?;
    let (copied, last) = ((holder + 1) % 3, (holder + 2) % 3);
    // Nobody asks the copied node for anything, so it writes nothing of its own.
    let addresses = [cluster.address(holder), cluster.address(last)];
    let act = async |progress: &Progress| {
        progress.answers(30).await;
        cluster.stop(copied)?;
        cluster.home(copied).copy_data()?;
        cluster.go_on(copied)?;
        progress.answers(100).await;
        ensure!(cluster.holder(MARKET).await? == holder, "the lease went elsewhere");
        anyhow::Ok(())
    };
    clients.trade_while(&addresses, act).await?;
    cluster.agree(MARKET).await?;
    for node in [copied, holder] {
        cluster.kill(node).await?;
    }
    cluster.home(copied).put_copy_back(in_place)?;

    // The one that is left was told, and tells.
    let exit = cluster.home(copied).run_to_end().await?;
    ensure!(exit.code == Some(1), "{}", exit.log);
    let words = "remembers what this node acknowledged in generation 0, and its disk has less";
    ensure!(exit.log.contains(words) && exit.log.contains(cluster.id(last)), "{}", exit.log);
    // From then on it needs nobody to tell it.
    let again = cluster.home(copied).run_to_end().await?;
    ensure!(again.code == Some(1), "{}", again.log);
    ensure!(again.log.contains("this data directory was refused before"), "{}", again.log);

    // Without the holder nothing goes on; with it everything is there.
    cluster.restart(holder).await?;
    check(&cluster, &mut clients).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_voter_that_has_only_acknowledged_is_refused() -> Result<()> {
    an_old_copy_is_refused(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_that_does_not_look_like_one_is_refused() -> Result<()> {
    an_old_copy_is_refused(true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_directory_votes_after_it_has_heard_the_others_or_is_trusted() -> Result<()> {
    let (mut cluster, mut clients, _) = begin(3).await?;
    let holder = cluster.holder(MARKET).await?;
    let (moved, last) = ((holder + 1) % 3, (holder + 2) % 3);
    let addresses = cluster.addresses();
    clients.trade_while(&addresses, async |progress: &Progress| progress.answers(60).await).await;
    cluster.agree(MARKET).await?;
    let move_it = |cluster: &xbook_tests::cluster::Cluster| {
        cluster.home(moved).copy_data()?;
        cluster.home(moved).put_copy_back(false)
    };

    // One of the two others is not enough.
    for node in [moved, holder] {
        cluster.kill(node).await?;
    }
    move_it(&cluster)?;
    cluster.restart(moved).await?;
    sleep(4 * LEASE).await;
    let status = cluster.status(last, MARKET).await?.context("no market")?;
    ensure!(status.holder == cluster.id(holder), "two of three made a holder: {status:?}");
    ensure!(cluster.home(moved).log().contains("was copied from another place"), "it says nothing");

    // Both are.
    cluster.restart(holder).await?;
    check(&cluster, &mut clients).await?;
    cluster.wait_until("it votes", async || Ok(votes(&cluster.home(moved).log()) == 2)).await?;

    // It belongs there now, and one is enough again.
    for node in [moved, holder] {
        cluster.kill(node).await?;
    }
    cluster.restart(moved).await?;
    let next = cluster.holder(MARKET).await?;
    ensure!(next != holder);
    cluster.restart(holder).await?;
    check(&cluster, &mut clients).await?;

    // Whoever runs it may know better.
    for node in [moved, holder] {
        cluster.kill(node).await?;
    }
    move_it(&cluster)?;
    cluster.home_mut(moved).trust_directory(true);
    cluster.restart(moved).await?;
    cluster.holder(MARKET).await?;
    check(&cluster, &mut clients).await
}

/// How many of its documents a node votes in, having been held back.
fn votes(log: &str) -> usize {
    log.matches("a majority of the other voters was heard").count()
}
