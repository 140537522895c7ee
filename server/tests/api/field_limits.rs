//! Every text, list and size of every request: its limit is in the proto's comment, what is at the limit is
//! taken, and what is one above is refused by name.
//!
//! The fields are found in the descriptors, so one that is new and has no row here fails the test.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::support::{MARKET, Served, connect, create_request};

/// A limit of a field.
struct Limit {
    /// As the field's comment and the error say it.
    number: &'static str,
    /// A value at the limit, and the least that is above it.
    at: Value,
    above: Value,
}

/// What the field of a message may hold at most. `None` for what no number limits: a page's token, which
/// only a node makes, and a format, which the voters limit.
fn limit_of(field: &FieldDescriptor) -> Option<Limit> {
    let text = |number, at: String, above: String| Some(Limit { number, at: json!(at), above: json!(above) });
    let number = |number, at: u32| Some(Limit { number, at: json!(at), above: json!(at + 1) });
    match field.name() {
        "page_token" | "format" => None,
        "request_id" | "placed_by_request_id" | "session" => text("64", "r".repeat(64), "r".repeat(65)),
        "market" => {
            text("12", format!("{0}/{0}", "A".repeat(12)), format!("{}/{}", "A".repeat(13), "A".repeat(12)))
        }
        "price" | "quantity" | "total_quantity" | "open_quantity" | "tick_size" | "lot_size"
        | "min_quantity" | "max_quantity" | "price_step" | "protection_price" | "trigger_price"
        | "trail_distance" | "limit_distance" | "maker_fee_bp" | "taker_fee_bp" | "auction_fee_bp"
        | "fee_step" | "max_notional" | "reference_price" => {
            text("28", format!("{:028}", 10), format!("{:029}", 10))
        }
        "client_order_id" => text("36", "c".repeat(36), "c".repeat(37)),
        "display_quantity" => text("28", format!("{:028}", 1), format!("{:029}", 1)),
        "order_id" => text("16", format!("{:016x}-1", 255), format!("{:017x}-1", 255)),
        "node_id" => text("16", format!("{:016x}", 255), format!("{:017x}", 255)),
        "token" => text("32", "a".repeat(32), "a".repeat(33)),
        "page_size" | "depth" => number("1000", 1_000),
        "uses" => number("256", 256),
        "max_open_orders" => number("500000", 500_000),
        "protection_bp" => number("10000", 10_000),
        "static_band_bp" | "dynamic_band_bp" => number("10000", 10_000),
        "volatility_auction_seconds" | "auction_extension_seconds" => number("86400", 86_400),
        "day_end_minute" | "minute" => number("1439", 1_439),
        "sessions" => {
            let times = |count: u32| {
                let time = |minute| json!({"minute": minute, "state": "MARKET_STATE_CONTINUOUS"});
                json!((0..count).map(time).collect::<Vec<_>>())
            };
            Some(Limit { number: "24", at: times(24), above: times(25) })
        }
        "timeout" | "cancel_on_disconnect" => text("86400", "86400s".into(), "86401s".into()),
        "lifetime" => text("2592000", "2592000s".into(), "2592001s".into()),
        "voters" => {
            let nodes = |count: u64| json!((1..=count).map(|n| format!("{n:016x}")).collect::<Vec<_>>());
            Some(Limit { number: "7", at: nodes(7), above: nodes(8) })
        }
        "subscriptions" => {
            let trades = json!({"market": MARKET, "trades": {}});
            Some(Limit { number: "64", at: json!(vec![trades.clone(); 64]), above: json!(vec![trades; 65]) })
        }
        "commands" => {
            let cancel = json!({"cancel": {"order": {"order_id": "00000000000000ff-1"}}});
            Some(Limit {
                number: "4096",
                at: json!(vec![cancel.clone(); 4_096]),
                above: json!(vec![cancel; 4_097]),
            })
        }
        name => panic!(
            "{}.{name} has no limit here: give it one, and say it in its comment",
            field.parent_message().name()
        ),
    }
}

/// Whether a field is a text, a list or a size.
fn is_limited(field: &FieldDescriptor) -> bool {
    let span =
        matches!(field.kind(), Kind::Message(message) if message.full_name() == "google.protobuf.Duration");
    field.is_list() || span || matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Uint32)
}

/// The message that a field holds, of this API.
fn message_in(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if message.full_name().starts_with("xbook.v1.") => Some(message),
        _ => None,
    }
}

/// Requests that are valid but for what is put into them: of each call, as many as have each field once.
fn requests(method: &str) -> Vec<Value> {
    let order = "00000000000000ff-1";
    let node = "00000000000000ff";
    let place = json!({"side": "SIDE_BUY", "price": "10", "quantity": "10"});
    let trade = |command: Value| json!({"open": {"market": MARKET, "session": "s"}, "first_number": 1, "commands": [command]});
    match method {
        "PlaceOrder" => vec![json!({"request_id": "p", "market": MARKET, "order": place})],
        "AmendOrder" => vec![json!({"request_id": "a", "market": MARKET, "order_id": order, "price": "10"})],
        "ReplaceOrder" => {
            vec![json!({"request_id": "r", "market": MARKET, "order_id": order, "order": place})]
        }
        "CancelOrder" => vec![json!({"request_id": "c", "market": MARKET, "order_id": order})],
        "CancelAllOrders" => vec![json!({"request_id": "all", "market": MARKET})],
        "CancelAllAfter" => vec![json!({"request_id": "after", "market": MARKET, "timeout": "30s"})],
        "KillAccount" => vec![json!({"request_id": "kill", "market": MARKET, "lift": true})],
        "SetAccountLimits" => {
            vec![json!({"request_id": "l", "market": MARKET, "limits": {"max_quantity": "1000"}})]
        }
        "GetOrder" => vec![json!({"market": MARKET, "order_id": order})],
        "Trade" => vec![
            trade(json!({"place": place})),
            trade(json!({"amend": {"order": {"order_id": order}, "price": "10"}})),
            trade(json!({"replace": {"order": {"order_id": order}, "place": place}})),
            trade(json!({"cancel": {"order": {"order_id": order}}})),
        ],
        "CreateMarket" => {
            let session = json!({"minute": 5, "state": "MARKET_STATE_CONTINUOUS"});
            let rules = json!({"tick_size": "1", "lot_size": "1", "sessions": [session]});
            vec![json!({"request_id": "m", "market": "ETH/USDT", "rules": rules})]
        }
        "UpdateMarket" => vec![json!({"request_id": "u", "market": MARKET, "rules": {}})],
        "SetMarketState" => {
            vec![json!({"request_id": "s", "market": MARKET, "state": "MARKET_STATE_CONTINUOUS"})]
        }
        "CreateJoinToken" => vec![json!({"request_id": "j", "token": "0123456789abcdef0123456789abcdef"})],
        "RemoveNode" => vec![json!({"request_id": "rn", "node_id": node})],
        "AddVoter" => vec![json!({"request_id": "av", "node_id": node, "market": MARKET})],
        "RemoveVoter" => vec![json!({"request_id": "rv", "node_id": node, "market": MARKET})],
        "TransferLease" => vec![json!({"market": MARKET, "node_id": node})],
        "ListCandles" => vec![json!({"market": MARKET, "interval": "CANDLE_INTERVAL_M1"})],
        "Subscribe" => {
            let levels = json!({"market": MARKET, "levels": {"depth": 5, "price_step": "0.05"}});
            vec![json!({"subscriptions": [levels]})]
        }
        "GetNode" | "ListNodes" | "ListMarkets" => vec![json!({})],
        "GetOrderBook" => vec![json!({"market": MARKET, "detail": "BOOK_DETAIL_LEVELS"})],
        _ => vec![json!({"market": MARKET})],
    }
}

/// Other fields that can't be set beside one.
fn instead_of(field: &str) -> &'static [&'static str] {
    match field {
        "placed_by_request_id" | "session" | "client_order_id" => &["order_id"],
        "protection_price" | "trail_distance" => &["price"],
        _ => &[],
    }
}

/// A place in a request: the way to it, and the field there.
struct Place {
    pointer: String,
    field: FieldDescriptor,
}

/// The places of a request's fields that have limits; of a list of messages, those of its first.
fn places(message: &MessageDescriptor, value: &Value, pointer: &str) -> Vec<Place> {
    let mut found = Vec::new();
    for field in message.fields() {
        let pointer = format!("{pointer}/{}", field.name());
        if let Some(inner) = message_in(&field) {
            let (value, pointer) = match value.get(field.name()) {
                Some(Value::Array(list)) => (list.first(), format!("{pointer}/0")),
                other => (other, pointer.clone()),
            };
            found.extend(value.into_iter().flat_map(|value| places(&inner, value, &pointer)));
        }
        if is_limited(&field) {
            found.push(Place { pointer, field });
        }
    }
    found
}

/// All fields with limits that requests can have.
fn reachable(message: &MessageDescriptor, found: &mut BTreeSet<String>, seen: &mut BTreeSet<String>) {
    if !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        if is_limited(&field) {
            found.insert(field.full_name().to_owned());
        }
        if let Some(inner) = message_in(&field) {
            reachable(&inner, found, seen);
        }
    }
}

/// The request with another value at a place.
fn with(request: &Value, place: &Place, value: &Value, session: &str) -> Value {
    let mut request = request.clone();
    if let Some(open) = request.pointer_mut("/open/session") {
        // Each goes by itself.
        *open = json!(session);
    }
    let (parent, name) = place.pointer.rsplit_once('/').unwrap();
    let parent = request.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    for other in instead_of(name) {
        parent.remove(*other);
    }
    if name == "limit_distance" {
        // Only an order that trails has one.
        parent.remove("price");
        parent.insert("trail_distance".to_owned(), json!("10"));
    }
    parent.insert(name.to_owned(), value.clone());
    request
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; prost::bytes::Buf::remaining(buffer)];
        prost::bytes::Buf::copy_to_slice(buffer, &mut item);
        Ok(Some(item))
    }
}

/// How a call ended, or an invalid command's message, which is a result.
async fn call(
    channel: &Channel,
    method: &MethodDescriptor,
    request: &Value,
) -> Result<Option<String>, Status> {
    let message = DynamicMessage::deserialize(method.input(), request).unwrap();
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    // A call of one message is sent alike whether it is a stream or not.
    let requests = Request::new(tokio_stream::iter([message.encode_to_vec()]));
    let mut answers =
        client.streaming(requests, PathAndQuery::try_from(path).unwrap(), Plain).await?.into_inner();
    let first = answers.message().await?;
    if method.name() == "Trade" {
        let second = answers.message().await?.unwrap();
        let answer = xbook_proto::v1::TradeResponse::decode(second.as_slice()).unwrap();
        return Ok(Some(answer.results[0].message.clone()).filter(|message| !message.is_empty()));
    }
    assert!(first.is_some());
    Ok(None)
}

/// The field as an error names it: its way without the first message, a command or a list's number.
fn name_of(pointer: &str) -> String {
    let steps = pointer.split('/').filter(|step| !["", "commands", "0"].contains(step));
    let name = steps.collect::<Vec<_>>().join(".");
    if name.is_empty() { "commands".to_owned() } else { name }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_is_told_and_enforced_by_name() {
    let mut served = Served::start().await;
    served.cluster.create_market(create_request(&format!("{0}/{0}", "A".repeat(12)))).await.unwrap();
    let channel = connect(served.address).await;
    let comments = comments();
    let pool = DescriptorPool::decode(xbook_proto::DESCRIPTORS).unwrap();
    let (mut expected, mut seen, mut tried, mut calls) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), 0);
    for method in pool
        .services()
        .filter(|service| service.package_name() == "xbook.v1")
        .flat_map(|s| s.methods().collect::<Vec<_>>())
    {
        reachable(&method.input(), &mut expected, &mut seen);
        for request in requests(method.name()) {
            for place in places(&method.input(), &request, "") {
                tried.insert(place.field.full_name().to_owned());
                let Some(limit) = limit_of(&place.field) else { continue };
                let what = format!("{} {}", method.name(), place.pointer);
                let comment = &comments[place.field.full_name()];
                assert!(has_number(comment, limit.number), "{what}: {} is not in: {comment}", limit.number);

                calls += 1;
                let at =
                    call(&channel, &method, &with(&request, &place, &limit.at, &format!("s{calls}"))).await;
                let refused = at.as_ref().is_err_and(|status| status.code() == Code::InvalidArgument);
                assert!(!refused && !matches!(at, Ok(Some(_))), "{what} at its limit: {at:?}");

                calls += 1;
                let above =
                    call(&channel, &method, &with(&request, &place, &limit.above, &format!("s{calls}")))
                        .await;
                assert_named(&above, &place, &limit, &what);
            }
        }
    }
    assert_eq!(tried, expected, "fields of requests that no request here has");
    assert!(calls > 100, "{calls}");
    served.end().await;
}

/// Refused, with the field, the value (unless it is secret) and the limit.
fn assert_named(answer: &Result<Option<String>, Status>, place: &Place, limit: &Limit, what: &str) {
    let field = name_of(&place.pointer);
    let message = match answer {
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
            let info = status.get_error_details().error_info().unwrap().clone();
            assert_eq!(info.metadata["field"], field, "{what}");
            status.message().to_owned()
        }
        Ok(Some(message)) => message.clone(),
        Ok(None) => panic!("{what} above its limit is taken"),
    };
    let value = match &limit.above {
        Value::Array(list) => list.len().to_string(),
        Value::String(text) => text.trim_end_matches('s').chars().take(64).collect(),
        other => other.to_string(),
    };
    assert!(message.starts_with(&field), "{what}: {message}");
    assert!(message.contains(&value) || field == "token", "{what}: {message}");
    assert!(has_number(&message, limit.number), "{what}: {} is not in: {message}", limit.number);
}

/// Whether a number stands in a text by itself, with or without commas.
fn has_number(text: &str, number: &str) -> bool {
    let plain = text.replace(',', "");
    plain.split(|c: char| !c.is_ascii_digit()).any(|found| found == number)
}

const FILES: [&str; 5] = [
    include_str!("../../../proto/xbook/v1/trading.proto"),
    include_str!("../../../proto/xbook/v1/market_data.proto"),
    include_str!("../../../proto/xbook/v1/subscribe.proto"),
    include_str!("../../../proto/xbook/v1/cluster.proto"),
    include_str!("../../../proto/xbook/v1/types.proto"),
];

/// The comment of each field, read from the files as they are; of a message under its own name.
fn comments() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in FILES {
        let (mut message, mut comment) = (String::new(), String::new());
        for line in file.lines().map(str::trim) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["//", text @ ..] => {
                    comment.push_str(&text.join(" "));
                    comment.push(' ');
                    continue;
                }
                ["message" | "service", name, ..] => {
                    message = format!("xbook.v1.{name}");
                    found.insert(message.clone(), comment.clone());
                }
                [.., name, "=", number] if number.ends_with(';') => {
                    found.insert(format!("{message}.{name}"), comment.clone());
                }
                _ => {}
            }
            comment.clear();
        }
    }
    found
}

#[test]
fn the_comment_of_each_list_says_how_long_it_may_be() {
    let comments = comments();
    let pool = DescriptorPool::decode(xbook_proto::DESCRIPTORS).unwrap();
    let mut lists = 0;
    for message in pool.all_messages().filter(|message| message.package_name() == "xbook.v1") {
        for field in message.fields().filter(FieldDescriptor::is_list) {
            let comment = &comments[field.full_name()];
            assert!(comment.chars().any(|c| c.is_ascii_digit()), "{}: {comment}", field.full_name());
            lists += 1;
        }
    }
    assert!(lists > 25, "{lists}");
    assert!(has_number(&comments["xbook.v1.TradingService"], "32"), "an account's name");
}
