//! `subscribe`: many markets and channels on one stream, each resumed by its own position.

use tonic::{Status, Streaming};
use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::{OrderEntry, SubscribeRequest, SubscribeResponse, Subscription};

use super::follow::{Follower, Taken, follow};
use super::steps;
use crate::args::{SubscribeArgs, Topic};
use crate::connect::Client;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Terminal};
use crate::show;
use crate::show::steps::Steps;

/// Shows a line for whatever comes.
pub async fn subscribe(
    client: &Client,
    args: SubscribeArgs,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    for topic in args.topics {
        let steps = steps(client, &topic.market, output).await;
        lines.push(Line { topic, steps, after: None });
    }
    follow(client, None, &mut Subscriptions { client, lines, output }).await
}

/// A subscription, and how far it has come.
struct Line {
    topic: Topic,
    steps: Steps,
    after: Option<u64>,
}

struct Subscriptions<'a, 'out> {
    client: &'a Client,
    lines: Vec<Line>,
    output: &'a mut Output<'out>,
}

impl Follower for Subscriptions<'_, '_> {
    type Message = SubscribeResponse;

    async fn open(&mut self, _after: Option<u64>) -> Result<Streaming<Self::Message>, Status> {
        let subscription = |line: &Line| Subscription {
            market: line.topic.market.clone(),
            after_position: line.after,
            channel: Some(line.topic.channel.clone()),
        };
        let subscriptions = self.lines.iter().map(subscription).collect();
        let request = self.client.stream_request(SubscribeRequest { subscriptions });
        Ok(self.client.subscriptions().subscribe(request).await?.into_inner())
    }

    fn take(&mut self, message: SubscribeResponse) -> Result<Taken, Failure> {
        let line = usize::try_from(message.subscription).ok().and_then(|number| self.lines.get_mut(number));
        let line = line.ok_or_else(|| Failure::internal("the node sent what was not subscribed to"))?;
        let stands_alone = matches!(message.event, Some(Event::LevelsSnapshot(_) | Event::OrdersSnapshot(_)));
        if !stands_alone && line.after.is_some_and(|after| after != message.previous_position) {
            return Ok(Taken::Gap);
        }
        if !message.more {
            line.after = Some(message.position);
        }
        self.output.show(&message, |terminal| lines(&message, line, terminal))?;
        Ok(Taken::UpTo(message.position))
    }

    fn interrupted(&mut self, why: &str) -> Result<(), Failure> {
        self.output.note(why)
    }

    fn resumed(&mut self) -> Result<(), Failure> {
        self.output.note("reconnected: each goes on after its last event, a book with its changes or anew")
    }
}

/// A line for each thing that a message tells, the market first.
fn lines(message: &SubscribeResponse, line: &Line, terminal: Terminal) -> String {
    let (position, steps) = (message.position, &line.steps);
    let levels = |levels: &xbook_proto::v1::BookLevels| {
        let level = |side, level| show::market::level(position, side, level, steps);
        let bids = levels.bids.iter().map(|bid| level(xbook_proto::v1::Side::Buy, bid));
        bids.chain(levels.asks.iter().map(|ask| level(xbook_proto::v1::Side::Sell, ask))).collect()
    };
    let text: String = match &message.event {
        Some(Event::LevelsSnapshot(snapshot)) => {
            format!("{position:>8}  the book anew: what is not listed now is gone\n{}", levels(snapshot))
        }
        Some(Event::LevelsChange(change)) => levels(change),
        Some(Event::OrdersSnapshot(snapshot)) => {
            let orders = snapshot.orders.iter().map(|order| entry(position, order, steps));
            let orders: String = orders.collect();
            format!("{position:>8}  the book anew: what is not listed now is gone\n{orders}")
        }
        Some(Event::OrdersChange(change)) => {
            change.orders.iter().map(|order| entry(position, order, steps)).collect()
        }
        Some(Event::Quote(quote)) => show::candles::quote(quote, steps),
        Some(Event::Trades(trades)) => {
            trades.trades.iter().map(|trade| show::market::trade(trade, steps, terminal)).collect()
        }
        Some(Event::Ticker(ticker)) => show::candles::ticker_line(ticker, steps),
        Some(Event::Candles(candles)) => {
            candles.candles.iter().map(|candle| show::candles::candle_line(candle, steps)).collect()
        }
        Some(Event::Updates(updates)) => {
            updates.updates.iter().map(|update| show::order::update(update, steps)).collect()
        }
        Some(Event::End(end)) => format!("ended: {}\n", end.message),
        Some(Event::Heartbeat(_)) | None => String::new(),
    };
    text.lines().map(|text| format!("{}  {text}\n", line.topic.market)).collect()
}

/// An order that changed.
fn entry(position: u64, order: &OrderEntry, steps: &Steps) -> String {
    let side = if order.price.is_empty() { String::new() } else { show::words::side(order.side) };
    let what = match (order.price.is_empty(), order.back) {
        (true, _) => "gone".to_owned(),
        (false, true) => format!("{} at the back", order.quantity),
        (false, false) => order.quantity.clone(),
    };
    format!("{position:>8}  {side:<4}  {:>14}  {what}  {}\n", steps.price(&order.price), order.order_id)
}

#[cfg(test)]
mod tests {
    use xbook_proto::v1::{BookOrders, Side};

    use super::*;
    use crate::show::steps::tests::steps;

    #[test]
    fn lines_begin_with_the_market() {
        let line = Line { topic: "A/B:orders".parse().unwrap(), steps: steps("0.01", "1"), after: None };
        let there = OrderEntry {
            order_id: "a-1".to_owned(),
            side: Side::Buy.into(),
            price: "10".to_owned(),
            quantity: "5".to_owned(),
            back: true,
        };
        let gone =
            OrderEntry { order_id: "a-2".to_owned(), quantity: "0".to_owned(), ..OrderEntry::default() };
        let event = Some(Event::OrdersChange(BookOrders { orders: vec![there, gone] }));
        let message = SubscribeResponse { position: 7, event, ..SubscribeResponse::default() };
        let expected = "\
A/B         7  buy            10.00  5 at the back  a-1
A/B         7                        gone  a-2
";
        assert_eq!(lines(&message, &line, Terminal::NONE), expected);
    }
}
