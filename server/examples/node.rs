//! A node inside another program: `cargo run --example node -- DIRECTORY [ADDRESS]`.
//!
//! It begins a cluster of its own in the directory, or goes on with what is there, and serves clients until Ctrl-C.

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use xbook::api::Limits;
use xbook::node::{Node, Start};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().context("name a data directory")?.into();
    let listener = TcpListener::bind(arguments.next().as_deref().unwrap_or("127.0.0.1:7001")).await?;
    let node = Node::start(Start { data, bootstrap: true, ..Start::default() }).await?;
    let ended = async { drop(tokio::signal::ctrl_c().await) };
    xbook::api::serve(node.clone(), listener, Limits::default(), ended).await?;
    // What was taken is finished and on the disk before this returns.
    node.shutdown().await;
    Ok(())
}
