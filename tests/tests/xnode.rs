//! The binary `xnode` as whoever runs it meets it.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use xbook_proto::v1::cluster_service_client::ClusterServiceClient;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{CancelOrderRequest, CreateMarketRequest, MarketRules, SelfTradePrevention};
use xbook_tests::process::{Home, Signal, Xnode, binary};

#[tokio::test]
async fn both_signals_end_a_node_with_0() -> Result<()> {
    let mut home = Home::new()?;
    for signal in [Signal::TERM, Signal::INT] {
        let node = Xnode::start(&mut home).await?;
        node.signal(signal)?;
        let exit = node.ended(&home).await?;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert!(exit.log.contains("ended: everything is written"), "{}", exit.log);
    }
    Ok(())
}

#[tokio::test]
async fn a_node_with_a_peer_ends_without_waiting_for_it() -> Result<()> {
    let mut first_home = Home::new()?;
    let first = Xnode::start(&mut first_home).await?;
    let mut second_home = Home::joining(&first)?;
    let _second = Xnode::start(&mut second_home).await?;
    let connected = async {
        while !first_home.log().contains("a peer connected") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), connected).await?;
    let exit = first.terminate(&first_home).await?;
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    assert!(!exit.log.contains("cut off"), "{}", exit.log);
    Ok(())
}

#[tokio::test]
async fn a_damaged_data_directory_is_refused_with_the_reason() -> Result<()> {
    let mut home = Home::new()?;
    Xnode::start(&mut home).await?.terminate(&home).await?;
    let path = home.data().join("documents/meta");
    let bytes = std::fs::read(&path)?;
    let at = bytes.len() / 2;
    let file = std::fs::OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(&[bytes[at] ^ 0x10], at as u64)?;
    let exit = home.run_to_end().await?;
    assert_eq!(exit.code, Some(1), "{}", exit.log);
    let reason = exit.log.lines().last().unwrap_or_default();
    assert!(reason.starts_with("error: can't start on the data directory "), "{}", exit.log);
    println!("{reason}");
    Ok(())
}

#[tokio::test]
async fn a_second_node_on_the_same_directory_is_refused() -> Result<()> {
    let mut home = Home::new()?;
    let first = Xnode::start(&mut home).await?;
    let exit = home.on_another_port().run_to_end().await?;
    assert_eq!(exit.code, Some(1), "{}", exit.log);
    let reason = exit.log.lines().last().unwrap_or_default();
    assert!(reason.contains("is used by another process"), "{}", exit.log);
    assert_eq!(first.terminate(&home).await?.code, Some(0), "the first one is not disturbed");
    Ok(())
}

#[tokio::test]
async fn a_second_node_on_the_same_address_is_refused() -> Result<()> {
    let mut home = Home::new()?;
    let _first = Xnode::start(&mut home).await?;
    let exit = home.run_to_end().await?;
    assert_eq!(exit.code, Some(1), "{}", exit.log);
    assert!(exit.log.contains("error: can't listen on 127.0.0.1:"), "{}", exit.log);
    Ok(())
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_file() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("xnode.toml");
    std::fs::write(&file, "listen = \"filed\"")?;
    let refused = async |flag: Option<&str>, environment: Option<&str>| -> Result<String> {
        let mut command = Command::new(binary()?);
        command.env_clear().arg("run").arg("--config").arg(&file).current_dir(&directory);
        command.args(flag.map(|flag| format!("--listen={flag}")));
        command.envs(environment.map(|value| ("XNODE_LISTEN", value)));
        let output = command.output().await?;
        assert_eq!(output.status.code(), Some(2));
        Ok(String::from_utf8(output.stderr)?)
    };
    let filed = refused(None, None).await?;
    assert!(filed.contains("xnode.toml is wrong") && filed.contains("\"filed\""), "{filed}");
    assert!(refused(None, Some("from-env")).await?.contains("\"from-env\""));
    assert!(refused(Some("flagged"), Some("from-env")).await?.contains("\"flagged\""));
    Ok(())
}

#[tokio::test]
async fn the_demo_prints_the_example_as_json() -> Result<()> {
    let output =
        Command::new(binary()?).env_clear().args(["demo", "--once", "--output", "json"]).output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stderr)?, "", "the demo is quiet");
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(shown["bids"], json!([["10", "75"]]));
    assert_eq!(shown["asks"], json!([]));
    let ids = |of: &Value, field: &str| -> Result<Vec<String>> {
        let all = of.as_array().context("no list")?.iter();
        all.map(|one| Ok(one[field].as_str().context("no id")?.to_owned())).collect()
    };
    let nodes = ids(&shown["nodes"], "node_id")?;
    let voters: Vec<String> = serde_json::from_value(shown["lease"]["voters"].clone())?;
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!((nodes.len(), set(&voters)), (3, set(&nodes)));
    assert!(nodes.iter().any(|node| shown["lease"]["holder"] == node.as_str()), "{shown}");
    assert_eq!(set(&ids(&shown["orders"], "through")?), set(&nodes));
    let trades = shown["trades"].as_array().context("no trades")?;
    let facts: Vec<Value> =
        trades.iter().map(|trade| json!([trade["price"], trade["quantity"], trade["taker_side"]])).collect();
    assert_eq!(
        facts,
        [json!(["11", "50", "sell"]), json!(["11", "50", "sell"]), json!(["10", "25", "sell"])]
    );
    Ok(())
}

#[tokio::test]
async fn the_demo_shows_the_example_to_people() -> Result<()> {
    let output = Command::new(binary()?).env_clear().args(["demo", "--once"]).output().await?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    for part in [
        "filled: 50 @ 11 with order 2",
        "filled: 50 @ 11 with order 2, 25 @ 10 with order 1",
        "The same on all 3 nodes",
        "of 3 voters.",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let directory = text.split_whitespace().find(|word| word.contains("xbook-demo-"));
    assert!(!PathBuf::from(directory.context("no directory is named")?).exists(), "it was removed");
    Ok(())
}

/// Runs a command to its end; returns its exit code and what it said on stderr.
async fn run_to_end(arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(binary()?).env_clear().args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.context("it does not end")??;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn a_configuration_that_can_not_work_is_refused_with_advice() -> Result<()> {
    for (arguments, words) in [
        (["--listen", "0.0.0.0:17001"], "add --advertise HOST:17001, or listen on one address"),
        (["--log-filter", "nonsense"], "nothing that logs is named \"nonsense\""),
        (["--log-filter", "xbok=debug"], "nothing that logs is named \"xbok\""),
    ] {
        let (code, log) = run_to_end(&["run", "--bootstrap", arguments[0], arguments[1]]).await?;
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains(words), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn joining_what_is_no_other_node_ends_with_the_cause() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().to_str().context("a path in UTF-8")?;
    // A port that was free a moment ago, under another name of this host.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let (listen, myself) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    for (join, words) in [
        (myself.as_str(), format!("can't join: {myself} is this node itself")),
        ("no.such.host.invalid:7001", "there is no host of the name in no.such.host.invalid:7001".to_owned()),
    ] {
        let (code, log) = run_to_end(&["run", "--data", data, "--listen", &listen, "--join", join]).await?;
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("ERROR") && log.contains(&words), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_joined() -> Result<()> {
    let (mut first_home, mut other_home) = (Home::new()?, Home::new()?);
    Xnode::start(&mut first_home).await?.terminate(&first_home).await?;
    let other = Xnode::start(&mut other_home).await?;
    first_home.join(other.peer_address());
    let exit = first_home.run_to_end().await?;
    assert_eq!(exit.code, Some(1), "{}", exit.log);
    let reason = exit.log.lines().last().unwrap_or_default();
    assert!(reason.contains("it belongs to another cluster"), "{}", exit.log);
    assert!(exit.log.contains("\"level\":\"ERROR\""), "{}", exit.log);
    assert_eq!(other.terminate(&other_home).await?.code, Some(0), "the other one is not disturbed");
    Ok(())
}

#[tokio::test]
async fn a_node_is_let_in_with_a_token_and_on_the_right_port_only() -> Result<()> {
    let mut home = Home::new()?;
    let node = Xnode::start(&mut home).await?;
    let directory = tempfile::tempdir()?;
    let data = directory.path().to_str().context("a path in UTF-8")?;
    let join = async |address: &str, token: &[&str]| {
        let arguments = ["run", "--data", data, "--listen", "127.0.0.1:0", "--join", address];
        run_to_end(&[&arguments, token].concat()).await
    };
    let (clients, nodes) = (node.url(), node.peer_address().to_string());
    let (code, log) = join(clients.trim_start_matches("http://"), &[]).await?;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("no other nodes are let in there"), "{log}");
    for token in [&[][..], &["--join-token", "00000000000000000000000000000001"]] {
        let (code, log) = join(&nodes, token).await?;
        assert_eq!(code, Some(1), "{log}");
        let words = "the node is not in the cluster's directory, and showed no join token that lets it in";
        assert!(log.contains(words), "{log}");
    }
    assert_eq!(node.terminate(&home).await?.code, Some(0), "the other one is not disturbed");
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_logged_with_reason_market_order_and_account() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    command.env_clear().args(["run", "--bootstrap", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.args(["--log-filter", "xbook=debug", "--data"]).arg(directory.path());
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(node.stdout.take().context("no stdout")?).lines();
    let line = lines.next_line().await?.context("it does not serve")?;
    let announced: Value = serde_json::from_str(&line)?;
    let url = format!("http://{}", announced["listen"].as_str().context("no address")?);
    let mut log = BufReader::new(node.stderr.take().context("no stderr")?).lines();

    ClusterServiceClient::connect(url.clone())
        .await?
        .create_market(CreateMarketRequest {
            request_id: "r1".into(),
            market: "BTC/USDT".into(),
            rules: Some(MarketRules {
                tick_size: "10000".into(),
                lot_size: "250".into(),
                default_self_trade_prevention: SelfTradePrevention::Allow.into(),
                ..MarketRules::default()
            }),
            voters: Vec::new(),
        })
        .await?;
    let order_id = "0123456789abcdef-7".to_owned();
    let message = CancelOrderRequest {
        request_id: "r2".into(),
        market: "BTC/USDT".into(),
        order_id: order_id.clone(),
        ..CancelOrderRequest::default()
    };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("xbook-account", "alice".parse()?);
    let refused = TradingServiceClient::connect(url).await?.cancel_order(request).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(tonic::Code::NotFound));
    let logged = loop {
        let line: Value =
            serde_json::from_str(&log.next_line().await?.context("the refusal is not logged")?)?;
        if line["reason"] == "UNKNOWN_ORDER" {
            break line;
        }
    };
    assert_eq!(logged["level"], "DEBUG");
    for (field, value) in [("market", "BTC/USDT"), ("order", order_id.as_str()), ("account", "alice")] {
        assert_eq!(logged["span"][field], value, "{logged}");
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_takes_the_ports_that_it_is_told() -> Result<()> {
    // Three ports in a row that were free a moment ago; another process may have been quicker.
    for first in (17_500..17_900).step_by(10) {
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if !(first..first + 3).all(free) {
            continue;
        }
        let arguments = ["demo", "--once", "-o", "json", "--port", &first.to_string()];
        let output = Command::new(binary()?).env_clear().args(arguments).output().await?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let shown: Value = serde_json::from_slice(&output.stdout)?;
        let urls = (first..first + 3).map(|port| format!("http://127.0.0.1:{port}"));
        let nodes = shown["nodes"].as_array().context("no nodes")?;
        assert_eq!(
            nodes.iter().map(|node| node["url"].clone()).collect::<Vec<_>>(),
            urls.collect::<Vec<_>>()
        );
        return Ok(());
    }
    anyhow::bail!("no three free ports")
}
