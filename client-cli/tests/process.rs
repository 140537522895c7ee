//! What only a process of its own shows: its environment, its signals, its exit code.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod fake_node;

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

async fn run(arguments: &str, environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xcli"));
    command.env_clear().envs(environment.iter().copied()).args(arguments.split_whitespace());
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn usage_shows_nothing_that_the_environment_has_set() {
    let set = [("XBOOK_NODE", "http://127.0.0.1:1"), ("XBOOK_ACCOUNT", "alice")];
    let (code, out, err) = run("buy", &set).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("Usage: xcli buy <QUANTITY> <MARKET> <PRICE|mkt|mtl>\n"), "{err}");
    assert_eq!(run("buy", &[]).await.2, err);
    // What is wrong in the environment is still told.
    let (code, _, err) = run("node", &[("XBOOK_NODE", "https://a")]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("TLS is not supported yet"), "{err}");
}

#[tokio::test]
async fn wrong_usage_is_json_where_json_was_asked_for() {
    for line in ["buy -o json", "--output json buy", "buy --output=json", "buy -ojson"] {
        let (code, out, err) = run(line, &[]).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{line}");
        let json: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!(json["error"]["exit_code"], 2, "{line}");
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the following required arguments were not provided:"), "{message}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let (code, _, err) = run("-o json", &[]).await;
    assert_eq!((code, err.contains("a command is missing")), (Some(2), true), "{err}");
    let (code, out, err) = run("--help -o json", &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Exit codes:"), "{out}");
}

#[tokio::test]
async fn a_profile_gives_other_defaults_and_nothing_more() {
    let home = std::env::temp_dir().join(format!("xcli-profiles-{}", std::process::id()));
    let place = [("XDG_CONFIG_HOME", home.to_str().unwrap())];
    let with = |name, value| [place[0], (name, value)];
    let node = fake_node::start().await;
    let save = format!("profile save lab --node 127.0.0.1:1,{node} --account zoe --default");
    let (code, out, err) = run(&save, &place).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("lab      yes      --account zoe --node 127.0.0.1:1,http://"), "{out}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let rights = std::fs::metadata(home.join("xbook/xcli.toml")).unwrap().permissions().mode();
        assert_eq!(rights & 0o777, 0o600);
    }
    let order =
        |out: &str| serde_json::from_str::<serde_json::Value>(out).unwrap()["order"]["account"].clone();
    assert_eq!(order(&run("buy 1 A/B 10 -o json", &place).await.1), "zoe");
    assert_eq!(order(&run("buy 1 A/B 10 -o json --account amy", &place).await.1), "amy");
    assert_eq!(order(&run("buy 1 A/B 10 -o json", &with("XBOOK_ACCOUNT", "ann")).await.1), "ann");
    for (line, variable) in [("node --profile nope", "X"), ("node", "XBOOK_PROFILE")] {
        let (code, _, err) = run(line, &with(variable, "nope")).await;
        assert!(code == Some(2) && err.contains("there is no profile `nope` in "), "{err}");
    }
    let (code, _, err) = run("profile save bare", &place).await;
    assert!(code == Some(2) && err.contains("--node, --account, --timeout or --output"), "{err}");
    assert_eq!(run("profile use none", &place).await.0, Some(0));
    assert_eq!(order(&run(&format!("buy 1 A/B 10 -o json --node {node}"), &place).await.1), "main");
    std::fs::write(home.join("xbook/xcli.toml"), "[profile.lab]\nnodes = \"a\"\n").unwrap();
    let (code, _, err) = run("node -o json", &place).await;
    assert!(code == Some(2) && err.contains("a profile can't say `nodes`") && err.starts_with('{'), "{err}");
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn markets_and_orders_are_completed_by_what_the_node_has() {
    let node = fake_node::start().await;
    let (code, out, _) = run("completions bash", &[]).await;
    assert!(code == Some(0) && out.contains("COMPLETE"), "{out}");
    let ask = |line: String| {
        let index = (line.split_whitespace().count() - 1).to_string();
        async move {
            let environment = [("COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", &index), ("_CLAP_IFS", "\n")];
            let (code, out, err) = run(&format!("-- {line}"), &environment).await;
            assert_eq!(code, Some(0), "{err}");
            out.lines().map(str::to_owned).collect::<Vec<_>>()
        }
    };
    let markets = ask(format!("xcli --node {node} book A")).await;
    assert!(markets.contains(&"A/B".to_owned()) && !markets.contains(&"LIST/ED".to_owned()), "{markets:?}");
    let orders = ask(format!("xcli --node {node} cancel LIST/ED 0")).await;
    assert!(orders.iter().any(|order| order.starts_with("0000")), "{orders:?}");
    // A node that is not there says nothing, and the shell goes on.
    assert_eq!(ask("xcli --node 127.0.0.1:1 book A".to_owned()).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_manual_has_a_page_for_each_command() {
    let folder = std::env::temp_dir().join(format!("xcli-man-{}", std::process::id()));
    let (code, _, err) = run(&format!("man {}", folder.display()), &[]).await;
    assert_eq!(code, Some(0), "{err}");
    for page in ["xcli.1", "xcli-buy.1", "xcli-market-create.1", "xcli-play.1"] {
        assert!(std::fs::read_to_string(folder.join(page)).unwrap().contains(".SH"), "{page}");
    }
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(run("man /dev/null/x", &[]).await.0, Some(2));
}

#[tokio::test]
async fn every_watch_ends_alike_on_ctrl_c() {
    let node = fake_node::start().await;
    for line in ["book QUIET/X --watch", "trades QUIET/X --watch", "updates QUIET/X"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xcli"));
        command.env_clear().args(line.split(' ')).args(["--node", &node, "-o", "json"]);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        // It follows once it shows the first message.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next_line().await.unwrap().is_some(), "{line}");
        let process = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().await.unwrap().success());
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "{line}");
    }
}
