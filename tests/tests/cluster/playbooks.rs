//! The playbooks of `xcli`, through three nodes.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use xbook_tests::cluster::Cluster;

/// The playbooks beside the sources of `xcli`.
fn playbooks() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-cli/playbooks");
    let files = std::fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let mut files: Vec<_> =
        files.into_iter().filter(|file| file.extension().is_some_and(|end| end == "play")).collect();
    files.sort();
    Ok(files)
}

/// Plays one; returns its exit code, and what it said.
async fn play(nodes: &str, file: &Path) -> Result<(u8, String)> {
    let file = file.to_str().unwrap_or_default();
    let args = ["xcli", "play", file, "--node", nodes].map(str::to_owned);
    let cli = xcli::parse(&args).map_err(|usage| anyhow::anyhow!("{usage:?}"))?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = xcli::run(cli, &args, xcli::Terminal::NONE, &mut out, &mut err).await;
    out.extend(err);
    Ok((exit as u8, String::from_utf8(out)?))
}

#[tokio::test]
async fn each_playbook_goes_as_it_says_also_without_one_of_the_nodes() -> Result<()> {
    let mut cluster = Cluster::start(3).await?;
    cluster.connected().await?;
    let addresses: Vec<String> =
        cluster.addresses().into_iter().map(|address| address.socket().to_string()).collect();
    let playbooks = playbooks()?;
    ensure!(playbooks.len() >= 4, "there are {playbooks:?}");
    for file in &playbooks {
        let (exit, told) = play(&addresses.join(","), file).await?;
        ensure!(exit == 0, "{}: exit {exit}\n{told}", file.display());
    }
    // The story names no node: it goes on with those that are left. The first is the directory's only voter.
    cluster.kill(2).await?;
    let conversation = playbooks.iter().find(|file| file.ends_with("conversation.play"));
    let nodes = [&addresses[2], &addresses[0], &addresses[1]].map(String::as_str).join(",");
    let (exit, told) = play(&nodes, conversation.unwrap_or(&playbooks[0])).await?;
    ensure!(exit == 0, "without a node: exit {exit}\n{told}");
    Ok(())
}

#[tokio::test]
async fn a_playbook_ends_at_the_first_step_that_is_not_as_expected() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(
        &file,
        "let market = X$run/USD\nmarket create $market --tick 1 --lot 1\nbuy 1 $market 5\n  expect order.status is \
         FILLED\n  expect order.open_quantity is 1\nbuy 1 $market 7\n",
    )?;
    let (exit, told) = play(&cluster.addresses()[0].socket().to_string(), file.path()).await?;
    ensure!(exit == 1, "exit {exit}");
    let miss = "   4  NOT AS EXPECTED: expect order.status is FILLED\n      but: ORDER_STATUS_OPEN\n";
    ensure!(told.contains(miss) && !told.contains("$market 7"), "{told}");
    Ok(())
}
