//! Plays a row: reads its words, has a state decide, another one follow, and writes down what they say.

use std::collections::BTreeMap;

use xbook_core::book::{Auction, Resting, Trade};
use xbook_core::decimal::Grid;
use xbook_core::machine::{
    Action, Amend, Batch, Cause, Event, Fee, FeeRates, Intent, Limits, Machine, Market, NewRules, NewSize,
    Origin, Place, Request, Rules, Session, SessionId, SessionTime, State, Stop, StreamSwitch, Switch,
    Target, Terms,
};
use xbook_core::types::{
    ClientId, Lots, MarketState, Micros, NodeId, OrderId, Position, Reason, SelfTrade, Side, Term, Ticks,
    TimeInForce,
};

/// Name, market, start, commands, events, book.
pub type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const NODE: NodeId = NodeId(1);

/// In units of 10^-8.
const CENT: i64 = 1_000_000;

/// T1 is a second, so that batches at one time of a row have room for times of their own.
const SECOND: u64 = 1_000_000;

/// Plays a row, and panics with its name if it ends otherwise.
pub fn play(row: &Row) {
    let (name, market, start, commands, events, book) = *row;
    let mut table = Table::new(market);
    if let Some(last) = market.split(", ").find_map(|setting| setting.strip_prefix("last ")) {
        // Two strangers trade.
        table.run(&format!("v1 S 1@{last}; w1 B 1@{last}"));
    }
    if let Some(price) = market.split(", ").find_map(|setting| setting.strip_prefix("uncrossed ")) {
        table.run(&format!("state AUCTION; v1 S 1@{price}; w1 B 1@{price}; uncross"));
    }
    if market.split(", ").any(|setting| setting == "AUCTION") {
        table.run("state AUCTION");
    }
    table.run(start);
    table.said.clear();
    table.run(commands);
    assert_eq!(table.said.join("; "), events, "{name}: events");
    assert_eq!(table.book(), book, "{name}: book");
}

struct Table {
    holder: State,
    follower: State,
    time: Micros,
    counter: u64,
    names: BTreeMap<String, OrderId>,
    /// What each intent asked for.
    intents: BTreeMap<OrderId, Intent>,
    /// How many commands each session had.
    commands: BTreeMap<SessionId, u64>,
    said: Vec<String>,
    /// Whether what an auction would give is written down.
    tells: bool,
    is_uncross: bool,
}

impl Table {
    fn new(market: &str) -> Self {
        let one = Grid::new("1".parse().unwrap()).unwrap();
        let fees = FeeRates { maker: -100, taker: 500, auction: 200, step: CENT.unsigned_abs() };
        let mut rules = Rules { fees, ..Rules::new(one, one) };
        for setting in market.split(", ").filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once(' ').unwrap_or((setting, ""));
            set_rule(&mut rules, name, value);
        }
        let tells = market.split(", ").any(|setting| setting == "indications");
        let market = || Machine::Market(Box::new(Market::new("A/B".into(), rules.clone())));
        let state = || State::new(market(), vec![NODE], [0; 32]);
        let (holder, follower) = (state(), state());
        Self {
            holder,
            follower,
            time: Micros(0),
            counter: 0,
            names: BTreeMap::new(),
            intents: BTreeMap::new(),
            commands: BTreeMap::new(),
            said: Vec::new(),
            tells,
            is_uncross: false,
        }
    }

    fn run(&mut self, commands: &str) {
        for command in commands.split("; ").filter(|command| !command.is_empty()) {
            let words: Vec<&str> = command.split(' ').collect();
            self.is_uncross = words[0] == "uncross";
            let action = match words[0] {
                "time" => {
                    self.time = time(words[1]);
                    None
                }
                "amend" => Some((account(words[1]), Action::Amend(self.amend(&words[1..])))),
                "replace" => {
                    self.names.insert(words[2].to_owned(), id(self.counter + 1));
                    let replaces = Some(Box::new(self.target(words[1])));
                    Some((account(words[2]), Action::Place(Place { replaces, ..place(&words[3..]) })))
                }
                "switch" => Some((words[1].into(), Action::Switch(Switch::Account(self.after(words[2]))))),
                "stream" => Some((words[1].into(), Action::Switch(self.stream(&words[2..])))),
                "limits" => Some((words[1].into(), Action::SetLimits(limits(&words[2..])))),
                "state" => {
                    let name = format!("MARKET_STATE_{}", words[1]);
                    Some(("operator".into(), Action::SetState(MarketState::from_str_name(&name).unwrap())))
                }
                "update" => {
                    let reference = words.iter().find_map(|word| word.strip_prefix("reference="));
                    let reference = reference.map(|price| Ticks(number(price)));
                    let rules = self.updated(&words[1..]);
                    Some(("operator".into(), Action::SetRules(Box::new(NewRules { rules, reference }))))
                }
                "uncross" => Some(("operator".into(), Action::SetState(MarketState::Continuous))),
                "kill" => Some((words[1].into(), Action::Kill(words[2] == "on"))),
                "cancel" => Some((account(words[1]), Action::Cancel(self.target(words[1])))),
                name => {
                    self.names.insert(name.to_owned(), id(self.counter + 1));
                    Some((account(name), Action::Place(place(&words[1..]))))
                }
            };
            let session = words.iter().find_map(|word| word.strip_prefix("via="));
            self.batch(action, session);
        }
    }

    /// The market's rules, some of them changed.
    fn updated(&self, words: &[&str]) -> Rules {
        let mut rules = self.holder.machine.market().unwrap().rules().clone();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            set_rule(&mut rules, name, value);
        }
        rules
    }

    /// An order by its id, or by its client's name: `a=k` is account a's order k.
    fn target(&self, word: &str) -> Target {
        match word.split_once('=') {
            Some((_, name)) => Target::Client(ClientId::new(name).unwrap()),
            None => Target::Order(self.names[word]),
        }
    }

    /// So many seconds from now, by the row's clock; the next batch is a few microseconds later.
    fn after(&self, seconds: &str) -> Option<Micros> {
        let turn = self.holder.time().plus(Micros(1)).max(self.time);
        let fires = self.time.0 / SECOND * SECOND + number(seconds) * SECOND;
        (seconds != "0").then(|| Micros(fires - turn.0))
    }

    fn stream(&self, words: &[&str]) -> Switch {
        let does = match words[2] {
            "lives" => {
                let after = self.after(words[3]).unwrap();
                let by = words.get(4).map_or(Micros(u64::MAX), |by| time(by));
                StreamSwitch::Lives { after, by }
            }
            "left" => StreamSwitch::Left,
            "lost" => StreamSwitch::Lost,
            other => panic!("{other}?"),
        };
        Switch::Stream { session: words[0].into(), stream: number(words[1]), does }
    }

    fn amend(&self, words: &[&str]) -> Amend {
        let mut amend = Amend { target: self.target(words[0]), price: None, size: None, trigger: None };
        for word in &words[1..] {
            match word.split_once('=').unwrap() {
                ("price", price) => amend.price = Some(Ticks(number(price))),
                ("stop", trigger) => amend.trigger = Some(Ticks(number(trigger))),
                ("open", open) => amend.size = Some(NewSize::Open(Lots(number(open)))),
                ("total", total) => amend.size = Some(NewSize::Total(Lots(number(total)))),
                other => panic!("{other:?}?"),
            }
        }
        amend
    }

    /// A batch of one intent, or of none: decided, written, read back and followed.
    fn batch(&mut self, action: Option<(String, Action)>, session: Option<&str>) {
        let mut builder = self.holder.begin(Term(1), self.time, Position(0)).unwrap();
        let intent = action.map(|(account, action)| {
            self.counter += 1;
            let origin = match session.map(|name| Session::new(&account, name)) {
                None => Origin::Request(self.counter.to_string().into()),
                Some(session) => {
                    let number = self.commands.entry(session.id).or_default();
                    *number += 1;
                    Origin::Command { session, number: *number }
                }
            };
            let request = Request { account: account.into(), origin, body_hash: 0, action };
            Intent { request, based_on: Micros(self.time.0.max(1)), accepted: self.time }
        });
        self.intents.extend(intent.clone().map(|intent| (id(self.counter), intent)));
        if let Some(intent) = &intent {
            self.holder.sequence(&mut builder, id(self.counter), intent, &()).unwrap();
        }
        let batch = self.holder.end(builder);
        let batch = Batch::from_record(&batch.to_record()).unwrap();
        self.follower.apply(&batch, |_| intent.as_ref()).unwrap();
        assert_eq!(self.follower.digest(), self.holder.digest());
        let books = [&self.holder, &self.follower].map(|state| state.machine.market().unwrap().book());
        let parts = self.holder.surviving_parts(&[NODE]);
        assert_eq!(parts.as_ref(), Some(&self.follower.to_parts()), "what the next generation begins with");
        for book in books {
            assert_eq!(book.audit(), Ok(()));
            assert_eq!(book.digest(), books[0].digest());
        }
        for (cause, events) in batch.steps() {
            let places = intent.as_ref().is_some_and(|it| matches!(it.request.action, Action::Place(_)));
            let of = matches!(cause, Cause::Intent(_)) && places;
            if let Cause::Trigger(order) = cause {
                self.said.push(format!("[{} runs]", self.name(order)));
            }
            let said: Vec<String> = events.iter().filter_map(|event| self.say(event, of)).collect();
            self.said.extend(said);
        }
    }

    fn say(&self, event: &Event, places: bool) -> Option<String> {
        Some(match *event {
            Event::Accepted { order, expires: Some(at), .. } => {
                format!("{} until T{}", self.name(order), at.0 / SECOND)
            }
            Event::Accepted { price: None, .. } => return None,
            Event::Accepted { order, price: Some(price), .. } => {
                format!("{} accepted at {}", self.name(order), price.0)
            }
            Event::Refused { reason } => {
                let late = matches!(reason, Reason::ExpireTime | Reason::SequenceBy);
                let status = if late { "EXPIRED" } else { "REJECTED" };
                // A new order that was to replace what is not there never was.
                match places && !matches!(reason, Reason::UnknownOrder | Reason::OtherAccount) {
                    true => format!("{} {status} {}", self.name(id(self.counter)), word(reason)),
                    false => format!("refused {}", word(reason)),
                }
            }
            Event::Traded(Trade { maker, taker, price, quantity, .. }, fees) => {
                let (who, cost) =
                    ((self.name(maker), self.name(taker)), (cents(fees.maker), cents(fees.taker)));
                format!("{}@{} {}/{} {}/{}", quantity.0, price.0, who.0, who.1, cost.0, cost.1)
            }
            Event::Prevented(it) => format!(
                "Prevented {} {}/{} left {}/{}",
                it.quantity.0,
                self.name(it.maker),
                self.name(it.taker),
                it.maker_open.0,
                it.taker_open.0
            ),
            Event::Rested { order, price, open, shown, .. } => {
                let shows = if shown == open { String::new() } else { format!(" shows {}", shown.0) };
                format!("Rested {} {}@{}{shows}", self.name(order), open.0, price.0)
            }
            Event::Replenished { order, shown } => format!("Replenished {} {}", self.name(order), shown.0),
            Event::Waiting { order, trigger, .. } => format!("Waiting {} at {}", self.name(order), trigger.0),
            Event::TriggerMoved { order, trigger } => {
                format!("TriggerMoved {} {}", self.name(order), trigger.0)
            }
            Event::Triggered { order, .. } => format!("Triggered {}", self.name(order)),
            Event::Reduced { order, open } => format!("Reduced {} {}", self.name(order), open.0),
            Event::Lifted { order, price, open, .. } => {
                format!("Lifted {} {}@{}", self.name(order), open.0, price.0)
            }
            Event::Removed { order, open, reason } => {
                format!("Removed {} {} {}", self.name(order), open.0, word(reason))
            }
            Event::SwitchSet { fires: None } => format!("SwitchSet {} off", self.account(id(self.counter))),
            Event::SwitchSet { fires: Some(at) } => {
                format!("SwitchSet {} fires T{}", self.account(id(self.counter)), at.0 / SECOND)
            }
            Event::SwitchFired { switch } => format!("SwitchFired {}", self.account(switch)),
            Event::Killed => match self.intents[&id(self.counter)].request.action {
                Action::Kill(true) => format!("Killed {} on", self.account(id(self.counter))),
                _ => format!("Killed {} off", self.account(id(self.counter))),
            },
            Event::LimitsSet => format!("LimitsSet {}", self.account(id(self.counter))),
            Event::Nothing => "nothing".into(),
            ref other => return self.say_market(other),
        })
    }

    /// What is said of the market, its auctions and its rules.
    fn say_market(&self, event: &Event) -> Option<String> {
        Some(match *event {
            // That an uncross opens trading goes without saying.
            Event::StateChanged { .. } if self.is_uncross => return None,
            Event::StateChanged { state, until } => {
                let until = until.map(|at| format!(" until T{}", at.0 / SECOND)).unwrap_or_default();
                let state = state.as_str_name().trim_start_matches("MARKET_STATE_");
                format!("StateChanged {state}{until}")
            }
            Event::RulesChanged => "RulesChanged".into(),
            Event::RestedAtMarket { order, open } => format!("Rested {} {}", self.name(order), open.0),
            Event::Uncrossed(Auction { price, volume, surplus }) => {
                format!("Uncrossed {} volume {} surplus {surplus:+}", price.0, volume.0)
            }
            Event::Indicated(_) if !self.tells => return None,
            Event::Indicated(None) => "indicates nothing".into(),
            Event::Indicated(Some(Auction { price, volume, surplus })) => {
                format!("indicates {} volume {} surplus {surplus:+}", price.0, volume.0)
            }
            ref other => panic!("{other:?}?"),
        })
    }

    fn account(&self, intent: OrderId) -> &str {
        &self.intents[&intent].request.account
    }

    fn name(&self, order: OrderId) -> &str {
        self.names.iter().find(|(_, id)| **id == order).map(|(name, _)| name).unwrap()
    }

    /// The orders that wait, by name.
    fn waiting(&self) -> Vec<String> {
        let market = self.follower.machine.market().unwrap();
        let waiting = self.names.iter().filter_map(|(name, id)| Some((name, market.order(id)?)));
        let waiting = waiting.filter(|(_, order)| order.is_waiting());
        waiting
            .map(|(name, it)| format!("{name} {} at {}", it.open.0, it.stop().unwrap().trigger.0))
            .collect()
    }

    fn book(&self) -> String {
        let book = self.follower.machine.market().unwrap().book();
        let side = |side, word: &str| {
            let order = |it: Resting| {
                let whole = if it.hidden.is_zero() { String::new() } else { format!("({})", it.whole().0) };
                format!("{} {}{whole}@{}", self.name(it.id), it.open.0, it.price.0)
            };
            let orders: Vec<String> = book.orders(side).map(order).collect();
            (!orders.is_empty()).then(|| format!("{word} {}", orders.join(", ")))
        };
        let waits = self.waiting();
        let waits = (!waits.is_empty()).then(|| format!("waiting {}", waits.join(", ")));
        let market = self.follower.machine.market().unwrap();
        let at_market = self.names.iter().filter_map(|(name, id)| Some((name, market.order(id)?)));
        let at_market = at_market.filter(|(_, order)| order.limit.is_none() && !order.is_waiting());
        let at_market: Vec<String> = at_market.map(|(name, it)| format!("{name} {}", it.open.0)).collect();
        let at_market = (!at_market.is_empty()).then(|| format!("at market {}", at_market.join(", ")));
        let sides = [side(Side::Buy, "B"), side(Side::Sell, "S"), waits, at_market];
        sides.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// A setting of a market that is a rule.
fn set_rule(rules: &mut Rules, name: &str, value: &str) {
    match (name, value) {
        ("last" | "AUCTION" | "indications" | "uncrossed" | "reference", _) => {}
        ("tick", tick) => rules.tick = Grid::new(tick.parse().unwrap()).unwrap(),
        ("static_bp", bp) => rules.bands.static_bp = bp.parse().unwrap(),
        ("dynamic_bp", bp) => rules.bands.dynamic_bp = bp.parse().unwrap(),
        ("volatility", seconds) => rules.bands.volatility_auction = Micros(number(seconds) * SECOND),
        ("extension", seconds) => rules.bands.auction_extension = Micros(number(seconds) * SECOND),
        ("day_end", at) => rules.day_end = time(at),
        ("maker_fee", rate) => rules.fees.maker = rate.parse().unwrap(),
        ("taker_fee", rate) => rules.fees.taker = rate.parse().unwrap(),
        ("protection_bp", bp) => rules.protection_bp = bp.parse().unwrap(),
        ("default", way) => rules.self_trade = self_trade(way).unwrap(),
        ("sessions", "none") => rules.sessions.clear(),
        (at, state) if at.starts_with('T') => {
            let state = MarketState::from_str_name(&format!("MARKET_STATE_{state}")).unwrap();
            rules.sessions.push(SessionTime { at: time(at), state });
        }
        other => panic!("{other:?}?"),
    }
}

fn id(counter: u64) -> OrderId {
    OrderId { node: NODE, counter }
}

fn account(name: &str) -> String {
    name.split('=')
        .next()
        .unwrap_or_default()
        .trim_end_matches(|digit: char| digit.is_ascii_digit())
        .to_owned()
}

fn place(words: &[&str]) -> Place {
    let side = if words[0] == "B" { Side::Buy } else { Side::Sell };
    let mut terms = Terms::default();
    let (quantity, limit) = match words[1].split_once('@') {
        Some((quantity, "mtl")) => {
            terms.market_to_limit = true;
            (quantity, None)
        }
        Some((quantity, price)) => (quantity, Some(Ticks(number(price)))),
        None => (words[1], None),
    };
    let rests = limit.is_some() || terms.market_to_limit;
    let usual = if rests { TimeInForce::Gtc } else { TimeInForce::Ioc };
    let mut place = Place::new(side, limit, Lots(number(quantity)), usual);
    for word in &words[2..] {
        match word.split_once('=').unwrap_or((word, "")) {
            ("IOC", _) => place.time_in_force = TimeInForce::Ioc,
            ("FOK", _) => place.time_in_force = TimeInForce::Fok,
            ("AUCTION", _) => place.time_in_force = TimeInForce::Auction,
            ("DAY", _) => place.time_in_force = TimeInForce::Day,
            ("PO", _) => place.post_only = true,
            ("SLIDE", _) => (place.post_only, terms.slide) = (true, true),
            ("trail", distances) => {
                let (distance, limit) = distances.split_once('/').unwrap_or((distances, "0"));
                let (distance, limit_distance) = (Ticks(number(distance)), Ticks(number(limit)));
                terms.stop = Some(Stop { distance, limit_distance, ..Stop::default() });
                place.time_in_force = TimeInForce::Gtc;
            }
            ("stop", price) => {
                terms.stop = Some(Stop { trigger: Ticks(number(price)), ..Stop::default() });
                place.time_in_force = TimeInForce::Gtc;
            }
            ("id", name) => terms.client_id = ClientId::new(name),
            ("show", lots) => terms.display = Lots(number(lots)),
            ("min", lots) => terms.minimum = Lots(number(lots)),
            ("prot", price) => terms.protection = Some(Ticks(number(price))),
            ("via", _) => {}
            ("exp", at) => {
                (place.time_in_force, place.expires) = (TimeInForce::Gtd, Some(time(at)));
            }
            (way, _) => place.self_trade = self_trade(way).unwrap(),
        }
    }
    place.terms = terms.shared();
    place
}

fn limits(words: &[&str]) -> Limits {
    let mut limits = Limits::default();
    for word in words {
        match word.split_once('=').unwrap() {
            ("quantity", most) => limits.quantity = Lots(number(most)),
            ("notional", most) => limits.notional = number(most).into(),
            ("orders", most) => limits.orders = most.parse().unwrap(),
            other => panic!("{other:?}?"),
        }
    }
    limits
}

/// A fee as rows write it.
fn cents(fee: Fee) -> String {
    let cents = fee.0 / CENT;
    assert_eq!(fee.0 % CENT, 0);
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

fn self_trade(way: &str) -> Option<SelfTrade> {
    SelfTrade::from_str_name(&format!("SELF_TRADE_{way}"))
}

fn word(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("REASON_")
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn time(text: &str) -> Micros {
    Micros(number(&text[1..]) * SECOND)
}
