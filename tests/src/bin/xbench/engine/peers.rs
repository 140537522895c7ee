//! The engines of E2 behind one interface.
//!
//! Each gets the messages as values of its own types, made outside the timed part, with the ids that it
//! will have given the orders by then. A modify is a cancel and a new order where an engine has no
//! modify of its own.

use std::sync::{Arc, Mutex};

use xbook::book::{Book, Command, Event};
use xbook_tests::workload::e1::{Action, Message};

/// Hears of fills: the maker by the engine's own id, price, quantity.
pub trait Sink: FnMut(u64, u64, u64) {}
impl<F: FnMut(u64, u64, u64)> Sink for F {}

/// A matching engine.
pub trait Engine {
    /// A message in the engine's own types.
    type Native;
    const NAME: &'static str;
    /// What a reader should know of this engine or how it is driven.
    const NOTE: Option<&'static str>;

    /// The messages in the engine's types; and the workload's number of each of the engine's order
    /// ids, if it gives ids itself.
    fn prepare(messages: &[Message]) -> (Vec<Self::Native>, Vec<u32>);

    /// An empty book.
    fn new() -> Self;

    fn apply(&mut self, message: &Self::Native, sink: &mut impl Sink);
}

fn is_buy(message: &Message) -> bool {
    message.side == xbook::types::Side::Buy
}

/// Ours.
pub struct Xbook {
    book: Book,
    events: Vec<Event>,
}

impl Engine for Xbook {
    type Native = Command;
    const NAME: &'static str = "xbook";
    const NOTE: Option<&'static str> = None;

    fn prepare(messages: &[Message]) -> (Vec<Command>, Vec<u32>) {
        (messages.iter().map(Message::command).collect(), Vec::new())
    }

    fn new() -> Self {
        Self { book: Book::new(), events: Vec::with_capacity(1024) }
    }

    fn apply(&mut self, message: &Command, sink: &mut impl Sink) {
        self.events.clear();
        // A cancel may come too late: it is refused and trades nothing.
        _ = self.book.apply(message, &mut self.events);
        for event in &self.events {
            if let Event::Traded(trade) = event {
                sink(trade.maker.counter, trade.price.0, trade.quantity.0);
            }
        }
    }
}

/// The crate `nanobook`.
pub struct Nanobook(nanobook::Exchange);

pub enum NanobookMessage {
    New(nanobook::Side, nanobook::Price, u64, nanobook::TimeInForce),
    Modify(nanobook::OrderId, nanobook::Price, u64),
    Cancel(nanobook::OrderId),
}

impl Engine for Nanobook {
    type Native = NanobookMessage;
    const NAME: &'static str = "nanobook";
    const NOTE: Option<&'static str> = Some("as shipped: keeps events, trades and closed orders");

    /// Nanobook numbers orders itself, anew at each modify: a run beforehand learns the numbers.
    fn prepare(messages: &[Message]) -> (Vec<NanobookMessage>, Vec<u32>) {
        let mut exchange = nanobook::Exchange::new();
        let mut current = vec![nanobook::OrderId(u64::MAX); messages.len() + 1];
        let mut order_of = vec![0];
        let mut natives = Vec::with_capacity(messages.len());
        for message in messages {
            let order = message.order as usize;
            let given = match message.action {
                Action::New { price, quantity, ioc } => {
                    let side = if is_buy(message) { nanobook::Side::Buy } else { nanobook::Side::Sell };
                    let tif = if ioc { nanobook::TimeInForce::IOC } else { nanobook::TimeInForce::GTC };
                    let (price, quantity) = (nanobook::Price(price as i64), u64::from(quantity));
                    natives.push(NanobookMessage::New(side, price, quantity, tif));
                    Some(exchange.submit_limit(side, price, quantity, tif).order_id)
                }
                Action::Modify { price, quantity } => {
                    let (price, quantity) = (nanobook::Price(price as i64), u64::from(quantity));
                    natives.push(NanobookMessage::Modify(current[order], price, quantity));
                    exchange.modify(current[order], price, quantity).new_order_id
                }
                Action::Cancel => {
                    natives.push(NanobookMessage::Cancel(current[order]));
                    exchange.cancel(current[order]);
                    None
                }
            };
            if let Some(id) = given {
                current[order] = id;
                order_of.resize(id.0 as usize + 1, 0);
                order_of[id.0 as usize] = message.order;
            }
        }
        (natives, order_of)
    }

    fn new() -> Self {
        Self(nanobook::Exchange::new())
    }

    fn apply(&mut self, message: &NanobookMessage, sink: &mut impl Sink) {
        let trades = match *message {
            NanobookMessage::New(side, price, quantity, tif) => {
                self.0.submit_limit(side, price, quantity, tif).trades
            }
            NanobookMessage::Modify(id, price, quantity) => self.0.modify(id, price, quantity).trades,
            NanobookMessage::Cancel(id) => {
                std::hint::black_box(self.0.cancel(id));
                return;
            }
        };
        for trade in &trades {
            sink(trade.passive_order_id.0, trade.price.0 as u64, trade.quantity);
        }
    }
}

/// The crate `matchcore`.
pub struct Matchcore(matchcore::OrderBook);

impl Engine for Matchcore {
    type Native = matchcore::Command;
    const NAME: &'static str = "matchcore";
    const NOTE: Option<&'static str> = Some("0.4 fills a marketable limit past its own price");

    /// An order's id is the sequence number of the command that brought it.
    fn prepare(messages: &[Message]) -> (Vec<matchcore::Command>, Vec<u32>) {
        use matchcore::{
            AmendCmd, AmendPatch, CancelCmd, CommandKind, CommandMeta, LimitOrder, LimitOrderPatch, NewOrder,
            OrderFlags, OrderId, OrderKind, Price, Quantity, QuantityPolicy, SequenceNumber, SubmitCmd,
            TimeInForce, Timestamp,
        };
        let standard = |quantity: u32| QuantityPolicy::Standard { quantity: Quantity(u64::from(quantity)) };
        let mut id_of = vec![0; messages.len() + 1];
        let mut order_of = vec![0; messages.len()];
        let commands = messages.iter().map(|message| {
            let sequence = u64::from(message.seq);
            let known = OrderId(id_of[message.order as usize]);
            let kind = match message.action {
                Action::New { price, quantity, ioc } => {
                    id_of[message.order as usize] = sequence;
                    order_of[message.seq as usize] = message.order;
                    let side = if is_buy(message) { matchcore::Side::Buy } else { matchcore::Side::Sell };
                    let tif = if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc };
                    let flags = OrderFlags::new(side, false, tif);
                    let order = LimitOrder::new(Price(price), standard(quantity), flags);
                    CommandKind::Submit(SubmitCmd { order: NewOrder::Limit(order) })
                }
                Action::Modify { price, quantity } => {
                    let patch = LimitOrderPatch::new()
                        .with_price(Price(price))
                        .with_quantity_policy(standard(quantity));
                    CommandKind::Amend(AmendCmd { order_id: known, patch: AmendPatch::Limit(patch) })
                }
                Action::Cancel => {
                    CommandKind::Cancel(CancelCmd { order_id: known, order_kind: OrderKind::Limit })
                }
            };
            let meta =
                CommandMeta { sequence_number: SequenceNumber(sequence), timestamp: Timestamp(sequence) };
            matchcore::Command { meta, kind }
        });
        let commands = commands.collect();
        (commands, order_of)
    }

    fn new() -> Self {
        Self(matchcore::OrderBook::new("BTC/USDT"))
    }

    fn apply(&mut self, message: &matchcore::Command, sink: &mut impl Sink) {
        use matchcore::{CommandOutcome, CommandReport};
        let outcome = self.0.execute(message);
        let CommandOutcome::Applied(CommandReport::Submit(effects) | CommandReport::Amend(effects)) =
            &outcome
        else {
            return;
        };
        let matched = effects.target_order().match_result();
        for trade in matched.map(|result| result.trades()).unwrap_or_default() {
            sink(trade.maker_order_id().0, trade.price().0, trade.quantity().0);
        }
    }
}

/// The crate `rust_ob`.
pub struct RustOb(rust_ob::OrderBook<u64>);

pub struct RustObMessage {
    order: u64,
    side: rust_ob::Side,
    action: Action,
    price: rust_ob::Decimal,
    quantity: rust_ob::Decimal,
}

impl RustOb {
    fn place(&mut self, message: &RustObMessage, sink: &mut impl Sink) {
        let placed = self.0.process_limit_order(message.order, message.side, message.price, message.quantity);
        let matches = placed.unwrap_or_default();
        // The last one is the taker itself.
        for maker in matches.split_last().map(|(_, makers)| makers).unwrap_or_default() {
            let quantity = maker.quantity.mantissa() as u64;
            sink(maker.order, maker.cost.mantissa().unsigned_abs() as u64 / quantity.max(1), quantity);
        }
    }
}

impl Engine for RustOb {
    type Native = RustObMessage;
    const NAME: &'static str = "rust_ob";
    const NOTE: Option<&'static str> = Some("decimal prices; IOC and modify are two calls");

    fn prepare(messages: &[Message]) -> (Vec<RustObMessage>, Vec<u32>) {
        let native = |message: &Message| {
            let (price, quantity) = match message.action {
                Action::New { price, quantity, .. } | Action::Modify { price, quantity } => (price, quantity),
                Action::Cancel => (0, 0),
            };
            RustObMessage {
                order: u64::from(message.order),
                side: if is_buy(message) { rust_ob::Side::Buy } else { rust_ob::Side::Sell },
                action: message.action,
                price: price.into(),
                quantity: quantity.into(),
            }
        };
        (messages.iter().map(native).collect(), Vec::new())
    }

    fn new() -> Self {
        Self(rust_ob::OrderBook::new())
    }

    fn apply(&mut self, message: &RustObMessage, sink: &mut impl Sink) {
        match message.action {
            Action::New { ioc, .. } => {
                self.place(message, sink);
                if ioc {
                    // Refused if nothing is left, which is as well.
                    let _gone = self.0.cancel_order(message.order);
                }
            }
            Action::Modify { .. } => {
                if self.0.cancel_order(message.order).is_ok() {
                    self.place(message, sink);
                }
            }
            Action::Cancel => {
                let _unknown = self.0.cancel_order(message.order);
            }
        }
    }
}

type OrderbookRsFills = Arc<Mutex<Vec<(u64, u64, u64)>>>;

/// The crate `orderbook-rs`.
pub struct OrderbookRs {
    book: orderbook_rs::OrderBook<()>,
    /// What the trade listener heard: an IOC's fills reach nobody else.
    fills: OrderbookRsFills,
}

impl Engine for OrderbookRs {
    type Native = Message;
    const NAME: &'static str = "orderbook-rs";
    const NOTE: Option<&'static str> = Some("made for many threads, driven by one; modify is two calls");

    fn prepare(messages: &[Message]) -> (Vec<Message>, Vec<u32>) {
        (messages.to_vec(), Vec::new())
    }

    fn new() -> Self {
        let fills = OrderbookRsFills::default();
        let heard = fills.clone();
        let listener = move |result: &orderbook_rs::TradeResult| {
            let Ok(mut heard) = heard.lock() else { return };
            for trade in result.match_result.trades().as_vec() {
                let maker = trade.maker_order_id().as_u64().unwrap_or(0);
                heard.push((maker, trade.price().as_u128() as u64, trade.quantity().as_u64()));
            }
        };
        let book = orderbook_rs::OrderBook::with_trade_listener("BTC/USDT", Arc::new(listener));
        Self { book, fills }
    }

    fn apply(&mut self, message: &Message, sink: &mut impl Sink) {
        use orderbook_rs::{Id, Side, TimeInForce};
        let id = Id::Sequential(u64::from(message.order));
        let side = if is_buy(message) { Side::Buy } else { Side::Sell };
        let place = |price, quantity, tif| {
            // An IOC's cancelled remainder is an error here.
            let _remainder =
                self.book.add_limit_order(id, u128::from(price), u64::from(quantity), side, tif, None);
        };
        match message.action {
            Action::New { price, quantity, ioc } => {
                place(price, quantity, if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc });
            }
            Action::Modify { price, quantity } => {
                if matches!(self.book.cancel_order(id), Ok(Some(_))) {
                    place(price, quantity, TimeInForce::Gtc);
                }
            }
            Action::Cancel => {
                let _unknown = self.book.cancel_order(id);
                return;
            }
        }
        if let Ok(mut fills) = self.fills.lock() {
            for (maker, price, quantity) in fills.drain(..) {
                sink(maker, price, quantity);
            }
        }
    }
}
