//! Health, reflection, request ids and the end.

use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use xbook_proto::v1;

use super::support::{MARKET, Served, buy, by, connect};

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_the_truth() {
    let served = Served::start().await;
    let mut health = HealthClient::new(connect(served.address).await);
    for service in ["", "xbook.v1.TradingService", "xbook.v1.MarketDataService", "xbook.v1.ClusterService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "x".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut status =
        async || watched.next().await.map(|answer| answer.map(|answer: HealthCheckResponse| answer.status()));
    assert_eq!(status().await.unwrap().unwrap(), ServingStatus::Serving);
    let node = served.node.clone();
    let ending = tokio::spawn(async move { node.shutdown().await });
    assert_eq!(status().await.unwrap().unwrap(), ServingStatus::NotServing);
    ending.await.unwrap();
    // The server ends once its streams have; a watch has no end of its own.
    drop(watched);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_knows_the_services() {
    let served = Served::start().await;
    let mut reflection = ServerReflectionClient::new(connect(served.address).await);
    let ask = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let requests = tokio_stream::iter([
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("xbook.v1.TradingService".into())),
    ]);
    let mut answers = reflection.server_reflection_info(requests).await.unwrap().into_inner();
    let mut next = async || answers.next().await.unwrap().unwrap();
    let answer: ServerReflectionResponse = next().await;
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "xbook.v1.TradingService",
        "xbook.v1.MarketDataService",
        "xbook.v1.ClusterService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    let answer = next().await;
    assert!(matches!(answer.message_response, Some(MessageResponse::FileDescriptorResponse(_))));
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_comes_back() {
    let mut served = Served::start().await;
    let id_of = |response: &tonic::Response<v1::GetMarketResponse>| {
        response.metadata().get("xbook-request-id").unwrap().to_str().unwrap().to_owned()
    };
    let request = || by("main", v1::GetMarketRequest { market: MARKET.into() });
    let mut named = request();
    named.metadata_mut().insert("xbook-request-id", "mine-1".parse().unwrap());
    assert_eq!(id_of(&served.data.get_market(named).await.unwrap()), "mine-1");
    let first = id_of(&served.data.get_market(request()).await.unwrap());
    let second = id_of(&served.data.get_market(request()).await.unwrap());
    assert_ne!(first, second);
    let mut odd = request();
    odd.metadata_mut().insert("xbook-request-id", "two words".parse().unwrap());
    assert_ne!(id_of(&served.data.get_market(odd).await.unwrap()), "two words");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_after_the_end_are_refused() {
    let mut served = Served::start().await;
    served.place(buy("1", "10", "1")).await.unwrap();
    let _ = served.node.shutdown().await;
    let status = served.place(buy("2", "10", "1")).await.unwrap_err();
    // Refused by the service, or by the connection if the service has just ended it.
    let cut_off =
        std::error::Error::source(&status).is_some_and(|source| source.is::<tonic::transport::Error>());
    assert!(status.code() == Code::Unavailable || cut_off, "{status:?}");
    served.end().await;
}
