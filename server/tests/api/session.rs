//! The Trade stream.

use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use xbook_proto::v1::trade_command::Command;
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{self, CommandOutcome, OrderStatus, Reason, Side, TimeInForce};

use super::support::{MARKET, Served, assert_refused, by, new_order, reason};

/// A client of one session.
pub struct Session {
    requests: Option<mpsc::Sender<v1::TradeRequest>>,
    answers: Streaming<v1::TradeResponse>,
    next: u64,
}

impl Session {
    pub async fn open(served: &Served, name: &str) -> Result<Self, Status> {
        Self::open_guarded(served.trading.clone(), name, None).await
    }

    /// One whose orders are cancelled when it breaks off, through a connection of its own.
    pub async fn open_guarded(
        trading: TradingServiceClient<Channel>,
        name: &str,
        cancel_on_disconnect: Option<prost_types::Duration>,
    ) -> Result<Self, Status> {
        let open = Some(v1::TradeSession { cancel_on_disconnect, ..opening(name) });
        let mut session = Self::begin(trading, v1::TradeRequest { open, ..Default::default() }).await?;
        let first = session.answers.message().await?.unwrap();
        session.next = first.opened.unwrap().next_number;
        Ok(session)
    }

    async fn begin(
        mut trading: TradingServiceClient<Channel>,
        first: v1::TradeRequest,
    ) -> Result<Self, Status> {
        let (requests, received) = mpsc::channel(64);
        requests.send(first).await.unwrap();
        let call = by("main", ReceiverStream::new(received));
        let answers = trading.trade(call).await?.into_inner();
        Ok(Self { requests: Some(requests), answers, next: 0 })
    }

    async fn send(&self, first_number: u64, commands: Vec<v1::TradeCommand>) {
        let message = v1::TradeRequest { open: None, first_number, commands };
        self.requests.as_ref().unwrap().send(message).await.unwrap();
    }

    async fn results(&mut self, count: usize) -> Vec<v1::TradeResult> {
        let mut results = Vec::new();
        while results.len() < count {
            results.extend(self.answers.message().await.unwrap().unwrap().results);
        }
        results
    }

    pub async fn run(&mut self, commands: Vec<v1::TradeCommand>) -> Vec<v1::TradeResult> {
        let count = commands.len();
        self.send(self.next, commands).await;
        self.next += count as u64;
        self.results(count).await
    }

    /// Sends no more; returns what comes until the stream ends, and how it ends.
    pub async fn finish(mut self) -> (Vec<v1::TradeResult>, Result<(), Status>) {
        self.requests = None;
        let mut results = Vec::new();
        loop {
            match self.answers.message().await {
                Ok(Some(message)) => results.extend(message.results),
                Ok(None) => return (results, Ok(())),
                Err(status) => return (results, Err(status)),
            }
        }
    }
}

fn opening(name: &str) -> v1::TradeSession {
    v1::TradeSession { market: MARKET.into(), session: name.into(), ..Default::default() }
}

pub fn place(side: Side, price: &str, quantity: &str) -> v1::TradeCommand {
    v1::TradeCommand { command: Some(Command::Place(new_order(side, price, quantity))) }
}

fn of_command(number: u64) -> Option<v1::OrderRef> {
    Some(v1::OrderRef { order: Some(v1::order_ref::Order::CommandNumber(number)) })
}

fn cancel(number: u64) -> v1::TradeCommand {
    v1::TradeCommand { command: Some(Command::Cancel(v1::TradeCancel { order: of_command(number) })) }
}

fn amend(number: u64, price: &str) -> v1::TradeCommand {
    let amend = v1::TradeAmend { order: of_command(number), price: price.into(), ..Default::default() };
    v1::TradeCommand { command: Some(Command::Amend(amend)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_done_in_their_order() {
    let served = Served::start().await;
    let mut session = Session::open(&served, "s").await.unwrap();
    assert_eq!(session.next, 1);
    let results = session
        .run(vec![
            place(Side::Sell, "10", "2"),
            place(Side::Buy, "10", "0.5"),
            amend(1, "11"),
            cancel(1),
            cancel(1),
            place(Side::Buy, "10.005", "1"),
            v1::TradeCommand { command: None },
            place(Side::Buy, "", "1"),
        ])
        .await;
    let numbers: Vec<u64> = results.iter().map(|result| result.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let seen: Vec<_> =
        results.iter().map(|result| (result.outcome(), result.status(), result.reason())).collect();
    use CommandOutcome::{Done, Invalid, Refused};
    let none = OrderStatus::Unspecified;
    assert_eq!(
        seen,
        [
            (Done, OrderStatus::Open, Reason::Unspecified),
            (Done, OrderStatus::Filled, Reason::Unspecified),
            (Done, OrderStatus::PartiallyFilled, Reason::Unspecified),
            (Done, OrderStatus::Cancelled, Reason::Requested),
            (Refused, OrderStatus::Cancelled, Reason::OrderClosed),
            (Invalid, none, Reason::OffTick),
            (Invalid, none, Reason::MissingField),
            (Done, OrderStatus::Cancelled, Reason::NoLiquidity),
        ]
    );
    assert_eq!(results[5].message, "place.price is \"10.005\": must be a multiple of 0.01");
    assert_eq!(results[6].message, "command: must be set");
    let fill = &results[1].fills[0];
    assert_eq!(
        (&fill.maker_order_id, fill.price.as_str(), fill.quantity.as_str()),
        (&results[0].order_id, "10", "0.5")
    );
    assert_eq!((results[1].open_quantity.as_str(), results[2].open_quantity.as_str()), ("0", "1.5"));
    assert_eq!(results[2].order_id, results[0].order_id);
    assert!(results.windows(2).all(|pair| pair[0].position < pair[1].position));
    let (rest, end) = session.finish().await;
    assert!(rest.is_empty());
    end.unwrap();
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_consumed_once() {
    let served = Served::start().await;
    let mut session = Session::open(&served, "s").await.unwrap();
    session
        .run(vec![place(Side::Buy, "10", "1"), place(Side::Buy, "10", "x"), place(Side::Buy, "9", "1")])
        .await;
    session.finish().await.1.unwrap();

    // The same session goes on where it was; what is sent again has no effect.
    let mut session = Session::open(&served, "s").await.unwrap();
    assert_eq!(session.next, 4);
    session.send(2, vec![place(Side::Buy, "8", "1"); 4]).await;
    let results = session.results(4).await;
    let seen: Vec<_> = results.iter().map(|result| (result.number, result.outcome())).collect();
    use CommandOutcome::{Done, Invalid, Refused};
    assert_eq!(seen, [(2, Invalid), (3, Refused), (4, Done), (5, Done)]);
    assert!(results[0].repeated);
    assert_eq!(results[1].reason(), Reason::CommandReused);
    let first = results[2].clone();

    // A repeat gets the first outcome.
    session.send(4, vec![place(Side::Buy, "8", "1")]).await;
    let again = session.results(1).await;
    assert_eq!(again, [v1::TradeResult { repeated: true, ..first.clone() }]);
    // Session and number find the order, and cancel it.
    let found = v1::GetOrderRequest {
        market: MARKET.into(),
        session: "s".into(),
        command_number: 4,
        ..Default::default()
    };
    let order = served.trading.clone().get_order(found).await.unwrap().into_inner().order.unwrap();
    assert_eq!((order.order_id.as_str(), order.session.as_str()), (&*first.order_id, "s"));
    assert_eq!(order.command_number, 4);
    let cancel_four = v1::CancelOrderRequest {
        request_id: "cancel-four".into(),
        market: MARKET.into(),
        session: "s".into(),
        command_number: 4,
        ..Default::default()
    };
    let cancelled = served.trading.clone().cancel_order(cancel_four).await.unwrap().into_inner();
    assert_eq!(cancelled.order.unwrap().order_id, first.order_id);

    // A gap ends the stream after all results.
    session.send(6, vec![place(Side::Buy, "7", "1")]).await;
    session.send(8, vec![place(Side::Buy, "7", "1")]).await;
    let (results, end) = session.finish().await;
    assert_eq!(results.len(), 1);
    let words = "first_number is \"8\": must be at most 7, the session's next number";
    assert_refused(end, Code::FailedPrecondition, "SESSION_GAP", words);
    // Another name, or another account, is another session.
    assert_eq!(Session::open(&served, "t").await.unwrap().next, 1);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_no_part_of_a_session_end_it() {
    let served = Served::start().await;
    let open = || Some(opening("s"));
    let named = |market: &str, session: &str| {
        Some(v1::TradeSession { market: market.into(), session: session.into(), ..Default::default() })
    };
    let invalid = Code::InvalidArgument;
    let table = [
        (None, invalid, "MISSING_FIELD", "open: must be set in the first message"),
        (named(MARKET, ""), invalid, "MISSING_FIELD", "open.session: must be set"),
        (
            named("x", "s"),
            invalid,
            "MALFORMED_TEXT",
            "open.market is \"x\": must be BASE/QUOTE, each 1 to 12 of A-Z and 0-9",
        ),
        (named("A/B", "s"), Code::NotFound, "UNKNOWN_MARKET", "open.market is \"A/B\": no such market"),
    ];
    for (open, code, reason, message) in table {
        let first = v1::TradeRequest { open, ..Default::default() };
        let (_, end) = Session::begin(served.trading.clone(), first).await.unwrap().finish().await;
        assert_refused(end, code, reason, message);
    }
    let later = |first_number, count, open| v1::TradeRequest {
        open,
        first_number,
        commands: vec![place(Side::Buy, "10", "1"); count],
    };
    let table = [
        (later(1, 1, open()), "CONFLICTING_FIELDS", "open: must be set in the first message only"),
        (later(0, 1, None), "MISSING_FIELD", "first_number: must be set"),
        (later(1, 4_097, None), "ABOVE_MAXIMUM", "commands is \"4097\": must be at most 4096 in a message"),
    ];
    for (message, reason, words) in table {
        let session = Session::open(&served, "s").await.unwrap();
        session.requests.as_ref().unwrap().send(message).await.unwrap();
        assert_refused(session.finish().await.1, invalid, reason, words);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_results_come_after_a_half_close() {
    let served = Served::start().await;
    let first = v1::TradeRequest {
        open: Some(opening("s")),
        first_number: 1,
        commands: vec![place(Side::Sell, "10", "1"); 4_096],
    };
    let session = Session::begin(served.trading.clone(), first).await.unwrap();
    let taker = v1::NewOrder { time_in_force: TimeInForce::Ioc.into(), ..new_order(Side::Buy, "10", "1") };
    let takers = vec![v1::TradeCommand { command: Some(Command::Place(taker)) }; 4_096];
    for n in 1..8 {
        session.send(1 + n * 4_096, takers.clone()).await;
    }
    let (results, end) = session.finish().await;
    end.unwrap();
    assert_eq!(results.len(), 8 * 4_096);
    assert!(results.iter().zip(1..).all(|(result, number)| result.number == number));
    let filled = results.iter().filter(|result| result.fills.len() == 1).count();
    assert_eq!(filled, 4_096);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outstanding_commands_are_bounded() {
    let served = Served::start().await;
    let session = Session::open(&served, "s").await.unwrap();
    // Nobody reads results: the server stops reading commands long before this many.
    let messages = 260;
    let sender = session.requests.clone().unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..messages {
            let commands = vec![cancel(1); 4_096];
            sender
                .send(v1::TradeRequest { open: None, first_number: 1 + n * 4_096, commands })
                .await
                .unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!sending.is_finished(), "the server took everything");
    // It goes on once results are read.
    let results = session.finish();
    let (sent, (results, end)) = tokio::join!(sending, results);
    sent.unwrap();
    end.unwrap();
    assert_eq!(results.len() as u64, messages * 4_096);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_told_of_the_shutdown() {
    let mut served = Served::start().await;
    let mut session = Session::open(&served, "s").await.unwrap();
    session.run(vec![place(Side::Buy, "10", "1")]).await;
    served.stop();
    let mut answers = session.answers;
    let status = answers.next().await.unwrap().unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    served.end().await;
}
