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
