//! What clients may take of a node: connections, streams, and memory for what they don't read.

use std::time::Duration;

use futures::future::join_all;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use xbook::api::Limits;
use xbook_proto::v1;
use xbook_proto::v1::market_data_service_client::MarketDataServiceClient;

use super::streams::trade;
use super::support::{MARKET, Served, assert_refused, connect, new_order, reason};

/// Many more than the transport holds of a stream that nobody reads.
const TRADES: usize = 8_000;

async fn trades(
    data: &mut MarketDataServiceClient<Channel>,
) -> Result<Streaming<v1::StreamTradesResponse>, tonic::Status> {
    let request = v1::StreamTradesRequest { market: MARKET.into(), after_position: Some(0) };
    data.stream_trades(request).await.map(tonic::Response::into_inner)
}

/// Reads a stream until it ends with an error.
async fn end_of(mut stream: Streaming<v1::StreamTradesResponse>) -> tonic::Status {
    loop {
        if let Err(status) = stream.message().await {
            return status;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_streams_are_ended_by_name_and_others_go_on() {
    let limits = Limits { unread_of_connection: 64 * 1_024, ..Limits::default() };
    let mut served = Served::limited(limits).await;
    // The client takes little of each stream. Of all it may take much: its library ends a connection that
    // has many small pieces unread.
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(16 * 1_024).initial_connection_window_size(64 << 20);
    let mut greedy = MarketDataServiceClient::new(endpoint.connect().await.unwrap());
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(trades(&mut greedy).await.unwrap());
    }
    let mut reading = trades(&mut served.data).await.unwrap();
    trade(&served, "main", vec![new_order(v1::Side::Sell, "10", "1"); TRADES]).await;
    trade(&served, "main", vec![new_order(v1::Side::Buy, "10", "1"); TRADES]).await;
    let mut read = 0;
    while read < TRADES {
        let message = tokio::time::timeout(Duration::from_secs(10), reading.message()).await.unwrap();
        // What is told at the beginning, and signs of life, are no trades.
        let event = message.unwrap().unwrap().event;
        read += usize::from(matches!(event, Some(v1::stream_trades_response::Event::Trade(_))));
    }
    // Nothing of the others is read for longer than a stream waits for room.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ends = unread.into_iter().map(|stream| tokio::time::timeout(Duration::from_secs(5), end_of(stream)));
    let ended: Vec<tonic::Status> = join_all(ends).await.into_iter().flatten().collect();
    for status in &ended {
        let told = (status.code(), reason(status));
        assert_eq!(told, (Code::ResourceExhausted, "TOO_MUCH_UNREAD".to_owned()), "{status:?}");
    }
    assert!(ended.len() >= 10, "{}", ended.len());
    // The same connection serves again what is read.
    let mut again = trades(&mut greedy).await.unwrap();
    for _ in 0..TRADES {
        again.message().await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_there_may_be_are_refused() {
    let mut served = Served::limited(Limits { streams: 2, ..Limits::default() }).await;
    let _first = trades(&mut served.data).await.unwrap();
    let second = trades(&mut served.data).await.unwrap();
    let message = "the node has 2 streams, as many as it may have: end some, or ask another node";
    let third = trades(&mut served.data).await;
    assert_refused(third, Code::ResourceExhausted, "TOO_MANY_CONNECTIONS", message);
    drop(second);
    let ended = async {
        while trades(&mut served.data).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_there_may_be_are_told_so() {
    let served = Served::limited(Limits { connections: 2, ..Limits::default() }).await;
    let get = |channel: Channel| async {
        let mut data = MarketDataServiceClient::new(channel);
        data.get_market(v1::GetMarketRequest { market: MARKET.into() }).await
    };
    let second = connect(served.address).await;
    get(second.clone()).await.unwrap();
    let message = "the node has 2 connections, as many as it may have: close some, or ask another node";
    for _ in 0..3 {
        let third = get(connect(served.address).await).await;
        assert_refused(third, Code::ResourceExhausted, "TOO_MANY_CONNECTIONS", message);
    }
    drop(second);
    let served_again = async {
        while get(connect(served.address).await).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), served_again).await.unwrap();
}
