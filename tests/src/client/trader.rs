//! A client that makes one call at a time.

use std::ops::ControlFlow;
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};
use xbook_proto::v1::trading_service_client::TradingServiceClient;
use xbook_proto::v1::{
    AmendOrderRequest, AnswerWhen, CancelOrderRequest, Fill, Order, OrderStatus, PlaceOrderRequest, Reason,
    amend_order_request::Size,
};

use super::promises::check;
use super::{Broken, Flow, Next, Promises, Random, Refused, request_of};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How many of its orders a client has in mind to change.
const MOST_RESTING: usize = 100;

/// How many answered requests are repeated after a crash.
const REPEATS: u64 = 20;

/// A client with an account of its own.
pub struct Trader {
    account: AsciiMetadataValue,
    market: String,
    random: Random,
    flow: Flow,
    promises: Promises,
    /// What was sent and not answered yet.
    unknown: Option<Call>,
    answered: Vec<(Call, Answer)>,
    /// Orders that may rest.
    resting: Vec<String>,
    sent: u64,
    refused: u64,
}

/// A request that changes something.
#[derive(Clone, Debug)]
enum Call {
    Place(PlaceOrderRequest),
    Amend(AmendOrderRequest),
    Cancel(CancelOrderRequest),
}

/// What a call was told.
#[derive(Clone, PartialEq, Debug)]
enum Answer {
    Done { order: Box<Order>, fills: Vec<Fill>, position: u64 },
    Refused(Reason),
}

impl Trader {
    /// A client that will act by these random numbers.
    ///
    /// # Panics
    /// If the account's name can't be sent.
    #[must_use]
    pub fn new(account: &str, market: &str, random: Random) -> Self {
        Self {
            account: account.parse().expect("a plain account name"),
            market: market.to_owned(),
            random,
            flow: Flow::WILD,
            promises: Promises::default(),
            unknown: None,
            answered: Vec::new(),
            resting: Vec::new(),
            sent: 0,
            refused: 0,
        }
    }

    /// Does this instead of everything.
    #[must_use]
    pub fn with_flow(mut self, flow: Flow) -> Self {
        self.flow = flow;
        self
    }

    /// Whose orders these are.
    #[must_use]
    pub fn account(&self) -> &AsciiMetadataValue {
        &self.account
    }

    /// What it was promised.
    #[must_use]
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// How many of its requests were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Trades until the connection is lost, or until it is told at an answer not to go on; `answered` is told
    /// how many were refused.
    pub async fn trade(&mut self, channel: Channel, mut answered: impl FnMut(u64) -> ControlFlow<()>) {
        let mut client = TradingServiceClient::new(channel);
        while self.call(&mut client).await && answered(self.refused).is_continue() {}
    }

    /// Makes the next call, or the last one again if it got no answer; `false` if the connection is
    /// lost.
    pub async fn call(&mut self, client: &mut TradingServiceClient<Channel>) -> bool {
        if self.unknown.is_none() {
            self.unknown = Some(self.next_call());
        }
        self.resolve(client).await
    }

    /// After a restart: learns what became of the request that was not answered, and checks that
    /// repeating answered ones changes nothing.
    ///
    /// # Errors
    /// Another answer than before.
    pub async fn recover(&mut self, channel: Channel) -> Result<(), Broken> {
        let mut client = TradingServiceClient::new(channel);
        let resolved = self.resolve(&mut client).await;
        check(resolved, || format!("no answer after the restart: {:?}", self.unknown))?;
        for _ in 0..REPEATS.min(self.answered.len() as u64) {
            let (call, first) = self.random.pick(&self.answered).clone();
            let again = self.send(&mut client, &call).await;
            let again = again.map_err(|status| Broken(format!("{call:?} again: {status:?}")))?;
            self.compare(&call, &first, &again)?;
            self.note(&again);
        }
        Ok(())
    }

    /// The first answer is given again. What was answered on acceptance showed the order as it was
    /// found at that moment, so there only the order is the same.
    fn compare(&self, call: &Call, first: &Answer, again: &Answer) -> Result<(), Broken> {
        let on_acceptance = match call {
            Call::Place(place) => place.answer_when() == AnswerWhen::Accepted,
            Call::Amend(_) | Call::Cancel(_) => false,
        };
        let same = match (first, again) {
            (Answer::Done { order: first, position, .. }, Answer::Done { order: again, .. })
                if on_acceptance || *position == 0 =>
            {
                first.order_id == again.order_id
            }
            _ => first == again,
        };
        check(same, || format!("{call:?}\nfirst answer: {first:?}\nagain: {again:?}"))
    }

    /// Sends what was not answered until it is; `false` if the connection is lost.
    async fn resolve(&mut self, client: &mut TradingServiceClient<Channel>) -> bool {
        while let Some(call) = self.unknown.clone() {
            match self.send(client, &call).await {
                Ok(answer) => {
                    self.unknown = None;
                    self.note(&answer);
                    self.answered.push((call, answer));
                }
                Err(Refused::NotNow) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => return false,
            }
        }
        true
    }

    async fn send(&self, client: &mut TradingServiceClient<Channel>, call: &Call) -> Result<Answer, Refused> {
        let answer: Result<_, Status> = match call.clone() {
            Call::Place(place) => client.place_order(self.request(place)).await.map(|answer| {
                let answer = answer.into_inner();
                (answer.order, answer.fills, answer.position)
            }),
            Call::Amend(amend) => client.amend_order(self.request(amend)).await.map(|answer| {
                let answer = answer.into_inner();
                (answer.order, answer.fills, answer.position)
            }),
            Call::Cancel(cancel) => client.cancel_order(self.request(cancel)).await.map(|answer| {
                let answer = answer.into_inner();
                (answer.order, Vec::new(), answer.position)
            }),
        };
        match answer {
            Ok((order, fills, position)) => {
                let order =
                    Box::new(order.unwrap_or_else(|| panic!("{call:?} was answered without an order")));
                Ok(Answer::Done { order, fills, position })
            }
            Err(status) => match Refused::of(&status) {
                Refused::Finally(reason) => Ok(Answer::Refused(reason)),
                refused => Err(refused),
            },
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = request_of(&self.account, message);
        request.set_timeout(TIMEOUT);
        request
    }

    fn note(&mut self, answer: &Answer) {
        let Answer::Done { order, fills, position } = answer else {
            self.refused += 1;
            return;
        };
        self.promises.note_order(order);
        self.promises.note_position(*position);
        for fill in fills {
            self.promises.note_fill(
                &fill.order_id,
                fill.position,
                &fill.counter_order_id,
                &fill.price,
                &fill.quantity,
            );
        }
        self.resting.retain(|id| *id != order.order_id);
        let may_rest = [OrderStatus::Pending, OrderStatus::Open, OrderStatus::PartiallyFilled];
        if may_rest.contains(&order.status()) {
            self.resting.push(order.order_id.clone());
            if self.resting.len() > MOST_RESTING {
                self.resting.remove(0);
            }
        }
    }

    fn next_call(&mut self) -> Call {
        self.sent += 1;
        let request_id = format!("r-{}", self.sent);
        let market = self.market.clone();
        match self.flow.next(&mut self.random, !self.resting.is_empty()) {
            Next::Place(order, when) => Call::Place(PlaceOrderRequest {
                request_id,
                market,
                order: Some(order),
                answer_when: when.into(),
            }),
            Next::Amend { price, open_quantity } => {
                let order_id = self.random.pick(&self.resting).clone();
                let size = Some(Size::OpenQuantity(open_quantity));
                Call::Amend(AmendOrderRequest {
                    request_id,
                    market,
                    order_id,
                    price,
                    size,
                    ..AmendOrderRequest::default()
                })
            }
            Next::Cancel { withdraw } => {
                let order_id = self.random.pick(&self.resting).clone();
                Call::Cancel(CancelOrderRequest {
                    request_id,
                    market,
                    order_id,
                    withdraw,
                    ..Default::default()
                })
            }
        }
    }
}
