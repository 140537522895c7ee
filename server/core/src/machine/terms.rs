//! What few orders ask for, apart from the order: the others carry nothing of it.

use std::sync::Arc;

use xbook_proto::record::v1 as record;

use crate::decimal::MAX_STEPS;
use crate::types::{ClientId, Lots, Position, Side, Ticks};

/// What an order asks for beside side, price, quantity and time in force.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Terms {
    /// Its limit becomes the best opposite price as it begins.
    pub market_to_limit: bool,
    /// Post-only: takes the price one tick behind the best opposite one rather than take.
    pub slide: bool,
    /// The worst price that a market order accepts.
    pub protection: Option<Ticks>,
    /// How much must trade at once; zero for nothing.
    pub minimum: Lots,
    /// How much it shows at a time while it rests; zero for all of it.
    pub display: Lots,
    /// That it waits outside the book for a trade, and what became of that.
    pub stop: Option<Stop>,
    /// Its client's own name of it.
    pub client_id: Option<ClientId>,
    /// What it shows now, if it is not to show all: not asked for, but what became of it.
    pub shown: Lots,
}

/// An order that waits until a trade meets its trigger: a sell one at or below it, a buy one at or above.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stop {
    /// The trigger. That of a trailing stop is what became of it.
    pub trigger: Ticks,
    /// A trailing stop: how far its trigger is behind the best trade since it waits; zero for others.
    pub distance: Ticks,
    /// How far its limit is beyond the trigger when it is triggered; zero if it has none then.
    pub limit_distance: Ticks,
    /// Position since which it waits; zero while it does not. This and what follows nobody asks
    /// for: it is what became of it.
    pub since: Position,
    /// Position at which it was triggered; zero before.
    pub triggered: Position,
    /// Whether it has begun to run, and is an order like others.
    pub runs: bool,
}

impl Stop {
    /// Whether its trigger follows the trades.
    #[must_use]
    pub fn trails(&self) -> bool {
        self.distance > Ticks(0)
    }

    /// The limit of an order that is triggered with this trigger, if it has one.
    #[must_use]
    pub fn limit(&self, side: Side) -> Option<Ticks> {
        let beyond = match side {
            Side::Buy => self.trigger.0.saturating_add(self.limit_distance.0).min(MAX_STEPS),
            Side::Sell => self.trigger.0.saturating_sub(self.limit_distance.0).max(1),
        };
        (self.limit_distance > Ticks(0)).then_some(Ticks(beyond))
    }
}

/// As many parts an order may be shown in at most, one after the other: so that what one command may trade with is
/// bounded.
pub const MAX_PARTS: u64 = 100;

impl Terms {
    /// These terms, for an order; `None` if they ask for nothing.
    #[must_use]
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }

    /// Their record.
    #[must_use]
    pub fn to_record(&self) -> record::Terms {
        record::Terms {
            market_to_limit: self.market_to_limit,
            slide: self.slide,
            protection: self.protection.map_or(0, |price| price.0),
            minimum: self.minimum.0,
            display: self.display.0,
            shown: self.shown.0,
            stop: self.stop.map(|stop| record::Stop {
                trigger: stop.trigger.0,
                distance: stop.distance.0,
                limit_distance: stop.limit_distance.0,
                since: stop.since.0,
                triggered: stop.triggered.0,
                runs: stop.runs,
            }),
            client_id: self.client_id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }

    /// Reads an order's record; `None` if there is one and it asks for nothing, which nobody writes.
    #[must_use]
    pub fn of_record(record: Option<&record::Terms>) -> Option<Option<Arc<Self>>> {
        let Some(record) = record else {
            return Some(None);
        };
        let terms = Self {
            market_to_limit: record.market_to_limit,
            slide: record.slide,
            protection: (record.protection > 0).then_some(Ticks(record.protection)),
            minimum: Lots(record.minimum),
            display: Lots(record.display),
            shown: Lots(record.shown),
            stop: record.stop.as_ref().map(|stop| Stop {
                trigger: Ticks(stop.trigger),
                distance: Ticks(stop.distance),
                limit_distance: Ticks(stop.limit_distance),
                since: Position(stop.since),
                triggered: Position(stop.triggered),
                runs: stop.runs,
            }),
            client_id: match record.client_id.as_str() {
                "" => None,
                id => Some(ClientId::new(id)?),
            },
        };
        terms.shared().map(Some)
    }

    /// What of a rest is shown at first.
    #[must_use]
    pub fn shown_of(&self, open: Lots) -> Lots {
        if self.display.is_zero() { open } else { open.min(self.display) }
    }

    /// Whether so much can be shown in no more parts than an order may have.
    #[must_use]
    pub fn can_show(&self, open: Lots) -> bool {
        self.display.is_zero() || open.0.div_ceil(self.display.0) <= MAX_PARTS
    }

    /// All of them as numbers.
    pub(in crate::machine) fn numbers(&self) -> [u64; 15] {
        let stop = self.stop.unwrap_or_default();
        let flags = u64::from(self.market_to_limit)
            | u64::from(self.slide) << 1
            | u64::from(self.stop.is_some()) << 2
            | u64::from(stop.runs) << 3;
        let protection = self.protection.map_or(0, |price| price.0);
        let [a, b, c, d, e] = self.client_id.map_or([0; 5], |id| id.numbers());
        let [trigger, since, triggered] = [stop.trigger.0, stop.since.0, stop.triggered.0];
        let amounts = [self.minimum.0, self.display.0, self.shown.0];
        let [minimum, display, shown] = amounts;
        let (distance, limit) = (stop.distance.0, stop.limit_distance.0);
        [
            flags, protection, minimum, display, shown, trigger, distance, limit, since, triggered, a, b, c,
            d, e,
        ]
    }
}
