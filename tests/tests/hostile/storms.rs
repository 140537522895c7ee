//! Much at once, and for long.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tonic::Code;
use xbook::document::Entry;
use xbook::machine::{Action, Announcement, Origin, Request, encode_batch};
use xbook::types::{Micros, NodeId};
use xbook_proto::peer::v1::Changes;
use xbook_proto::peer::v1::document_message::Message as Said;
use xbook_proto::v1::Side;
use xbook_tests::clock::Stopwatch;

use super::fake::{Fake, about};
use super::target::{DIRECTORY, Target, own_change};

/// Callers that say nothing are turned away in time, and members come in meanwhile.
pub async fn silent_callers(target: &mut Target) -> Result<()> {
    let mut callers = Vec::new();
    for _ in 0..500 {
        callers.push(TcpStream::connect(target.peer_address()).await?);
    }
    target.check().await.context("while 500 callers say nothing")?;
    let ended = join_all(callers.iter_mut().map(async |caller| {
        let mut said = Vec::new();
        timeout(Duration::from_secs(15), caller.read_to_end(&mut said)).await.is_ok()
    }));
    let ended = ended.await;
    ensure!(ended.iter().all(|ended| *ended), "a caller that says nothing is still there");
    target.connect().await.context("after 500 callers")?;
    Ok(())
}

/// Callers that say what is no HTTP/2, or much before they say who they are.
pub async fn garbage(target: &mut Target) -> Result<()> {
    for _ in 0..100 {
        let mut caller = TcpStream::connect(target.peer_address()).await?;
        // The node may have gone in between.
        let _ = caller.write_all(&[0xC3; 100_000]).await;
    }
    for _ in 0..20 {
        let opened = Fake::open(target.peer_address(), Bytes::from(vec![0x0A; 8 << 20])).await;
        ensure!(opened.is_err(), "a greeting of 8 MB was taken");
    }
    target.check().await.context("after garbage")
}

/// A member that reads nothing of what it is sent.
pub async fn reader_that_does_not_read(target: &mut Target) -> Result<()> {
    let (_, fake) = target.connect().await?;
    let before = target.memory()?;
    for number in 0..300 {
        target.place(Side::Buy, "1", &format!("unread-{number}")).await?;
    }
    let grown = target.memory()?.saturating_sub(before);
    ensure!(grown < 64 << 20, "{grown} bytes for who does not read");
    drop(fake);
    target.cancel_all("1").await?;
    target.check().await.context("after a reader that does not read")
}

/// A member that connects many times at once has one link in the end.
pub async fn many_links(target: &mut Target) -> Result<()> {
    let who = target.member()?;
    let (address, directory) = (target.peer_address(), target.directory.clone());
    let connected = join_all((0..15).map(|_| Fake::connect(address, &who, &directory))).await;
    let mut fakes: Vec<Fake> = connected.into_iter().collect::<Result<_, _>>()?;
    let ended = join_all(fakes.iter_mut().map(|fake| fake.ended_within(Duration::from_secs(1)))).await;
    let open = ended.iter().filter(|ended| ended.is_none()).count();
    ensure!(open <= 1, "{open} links of one member are open");
    target.check().await.context("after many links")
}

/// A member that connects again and again is told so, and let in later.
pub async fn reconnects(target: &mut Target) -> Result<()> {
    let who = target.member()?;
    let mut refused = 0;
    for _ in 0..60 {
        let mut fake = Fake::connect(target.peer_address(), &who, &target.directory).await?;
        if fake
            .ended_within(Duration::from_millis(30))
            .await
            .is_some_and(|end| end.code() == Code::ResourceExhausted)
        {
            refused += 1;
        }
    }
    ensure!(refused >= 30, "only {refused} of 60 connections were refused");
    target.check().await.context("after reconnects")?;
    sleep(Duration::from_secs(11)).await;
    let mut fake = Fake::connect(target.peer_address(), &who, &target.directory).await?;
    ensure!(fake.ended().await.is_none(), "it is not let in again");
    Ok(())
}

/// A member that says 300 times that it is somewhere else makes few connections there.
pub async fn announcements(target: &mut Target) -> Result<()> {
    let third = TcpListener::bind("127.0.0.1:0").await?;
    let port = third.local_addr()?.port();
    let (who, mut fake) = target.connect().await?;
    let genesis = target.directory_genesis()?;
    let request = |number: u64| Request {
        account: "".into(),
        origin: Origin::Request(format!("moved-{number}").into()),
        body_hash: 0,
        action: Action::Announce(Announcement {
            address: "".into(),
            // The same place under many names.
            peer_address: format!("127.0.0.{}:{port}", 1 + number % 200).into(),
            key: who.key.verifying_key().to_bytes(),
            token: None,
        }),
    };
    let requests: Vec<Request> = (0..300).map(request).collect();
    // Its first intent made it a member.
    let batch = encode_batch(NodeId(who.node), 2, Micros(0), Micros(1), &requests);
    let change = own_change(&genesis, &who, &[Entry::Intents(batch)])?;
    fake.say(about(DIRECTORY, 0, Said::Changes(Changes { changes: vec![change] })));
    ensure!(fake.ended().await.is_none(), "its announcements are not taken");
    drop(fake);
    let (began, mut connections) = (Stopwatch::start(), 0);
    while began.elapsed() < Duration::from_secs(8) {
        if let Ok(accepted) = timeout(Duration::from_millis(100), third.accept()).await {
            drop(accepted?);
            connections += 1;
        }
    }
    ensure!(connections <= 16, "{connections} connections to a third party within 8 s");
    target.check().await.context("after announcements")
}
