//! What every intent keeps to, whichever node accepted it: the rules of admission that need nothing
//! but the request and the rules of its market.
//!
//! A node admits only such requests, so an intent from elsewhere that breaks one was made by no
//! correct node.

use super::directory::MAX_ADDRESS_BYTES;
use super::intent::{Action, Amend, Intent, NewMarket, NewSize, Origin, Place, Target};
use super::{Announcement, MAX_SWITCH, MAX_TOKEN_USES, MAX_VOTERS, Rules, Stop, StreamSwitch, Switch, Terms};
use crate::decimal::MAX_STEPS;
use crate::types::{Lots, MarketState, Micros, NodeId, SelfTrade, Ticks, TimeInForce, rests};

/// Whether a text is a market's name: BASE/QUOTE, each 1 to 12 of A-Z and 0-9.
#[must_use]
pub fn is_market_name(name: &str) -> bool {
    let code = |code: &str| {
        (1..=12).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    name.split_once('/').is_some_and(|(base, quote)| code(base) && code(quote))
}

/// Whether a text is an account's name: 1 to 32 of A-Z, a-z, 0-9, '.', '_' and '-'.
#[must_use]
pub fn is_account(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=32).contains(&name.len()) && name.bytes().all(allowed)
}

/// Whether a text is a client's id of a request, or its name of a session: 1 to 64 visible ASCII
/// characters.
#[must_use]
pub fn is_chosen_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text is an address that others can be told: host and port, at most 255 bytes; or empty.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let plain = text.len() <= MAX_ADDRESS_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
    let reachable = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    text.is_empty() || (plain && reachable)
}

/// Whether a correct node can have accepted an intent, in the document of a market with these rules
/// or, without any, in the directory.
#[must_use]
pub fn is_admissible(intent: &Intent, rules: Option<&Rules>) -> bool {
    let request = &intent.request;
    let in_session = matches!(request.origin, Origin::Command { .. });
    let told_apart = match &request.origin {
        Origin::Request(id) => is_chosen_name(id),
        Origin::Command { session, number } => is_chosen_name(&session.name) && *number > 0,
    };
    let of_node = matches!(request.action, Action::Announce(_) | Action::Invite(_));
    let owned = is_account(&request.account) || (of_node && request.account.is_empty());
    let names = |target: Target| match target {
        Target::Order(id) => id.node.0 > 0 && id.counter > 0,
        Target::Command(number) => in_session && number > 0,
        Target::Client(_) => true,
    };
    let possible = match (&request.action, rules) {
        (Action::Place(place), Some(rules)) => {
            is_place(place, rules) && place.replaces.as_deref().is_none_or(|target| names(*target))
        }
        (Action::Amend(amend), Some(rules)) => names(amend.target) && is_amend(amend, rules),
        (Action::Cancel(target), Some(_)) => names(*target),
        (Action::Withdraw(order), Some(_)) => names(Target::Order(*order)),
        (Action::CancelAll(_) | Action::Kill(_) | Action::SetLimits(_) | Action::SetRules(_), Some(_)) => {
            true
        }
        (Action::Switch(switch), Some(_)) => is_switch(switch),
        (Action::SetState(state), Some(_)) => *state != MarketState::Unspecified,
        (Action::Invalid, Some(_)) => in_session,
        (Action::ChangeVoters(change), _) => {
            use super::intent::VoterChange::{Add, Remove};
            matches!(change, Add(node) | Remove(node) if node.0 > 0)
        }
        (Action::CreateMarket(market), None) => is_market(market),
        (Action::Announce(Announcement { address, peer_address, .. }), None) => {
            is_address(address) && is_address(peer_address)
        }
        (Action::RemoveNode(node), None) => node.0 > 0,
        (Action::Invite(invitation), None) => (1..=MAX_TOKEN_USES).contains(&invitation.uses),
        _ => false,
    };
    told_apart && owned && possible
}

fn is_market(market: &NewMarket) -> bool {
    let voters = &market.voters;
    let ascending =
        voters.is_sorted_by(|a, b| a < b) && voters.first().is_some_and(|first| *first > NodeId(0));
    is_market_name(&market.name) && ascending && voters.len() <= MAX_VOTERS
}

fn is_place(place: &Place, rules: &Rules) -> bool {
    let rests = rests(place.time_in_force);
    let known = place.time_in_force != TimeInForce::Unspecified;
    let terms = place.terms.as_deref().copied().unwrap_or_default();
    place.limit.is_none_or(is_price)
        && are_terms(&terms, place, rules)
        && (rules.min_lots..=rules.max_lots).contains(&place.quantity)
        && known
        && (place.limit.is_some() || terms.stop.is_some() || rests == terms.market_to_limit)
        && (rests || !place.post_only)
        && (place.expires.is_some() == (place.time_in_force == TimeInForce::Gtd))
        && place.self_trade != SelfTrade::Allow
}

fn are_terms(terms: &Terms, place: &Place, rules: &Rules) -> bool {
    let Terms { market_to_limit, slide, protection, minimum, display, client_id: _, shown, stop } = *terms;
    let is_market = place.limit.is_none() && !market_to_limit;
    let of_auction = place.time_in_force == TimeInForce::Auction;
    let at_once = !place.post_only && !of_auction && place.time_in_force != TimeInForce::Fok;
    (!market_to_limit || place.limit.is_none() && !place.post_only)
        && (!slide || place.post_only)
        && protection.is_none_or(|price| is_market && !of_auction && is_price(price))
        && (minimum.is_zero() || at_once && minimum <= place.quantity)
        && (display.is_zero() || are_parts(terms, place, rules))
        && shown.is_zero()
        && stop.is_none_or(|stop| is_stop(stop, terms, place))
}

/// Whether an order may wait for a trade in this way.
fn is_stop(stop: Stop, terms: &Terms, place: &Place) -> bool {
    let alone = Terms { stop: Some(stop), client_id: terms.client_id, ..Terms::default() };
    let Stop { trigger, distance, limit_distance, .. } = stop;
    let trails = stop.trails() && trigger == Ticks(0) && place.limit.is_none() && is_price(distance);
    let waits = !stop.trails() && limit_distance == Ticks(0) && is_price(trigger);
    stop == Stop { trigger, distance, limit_distance, ..Stop::default() }
        && (trails || waits)
        && limit_distance.0 <= MAX_STEPS
        && *terms == alone
        && rests(place.time_in_force)
        && !place.post_only
}

/// Whether an order may show itself in such parts.
fn are_parts(terms: &Terms, place: &Place, rules: &Rules) -> bool {
    place.limit.is_some()
        && rests(place.time_in_force)
        && (rules.min_lots..place.quantity).contains(&terms.display)
        && terms.can_show(place.quantity)
}

fn is_amend(amend: &Amend, rules: &Rules) -> bool {
    let sized = match amend.size {
        None => amend.price.is_some() || amend.trigger.is_some(),
        Some(NewSize::Total(lots)) => (rules.min_lots..=rules.max_lots).contains(&lots),
        Some(NewSize::Open(lots)) => (Lots(1)..=rules.max_lots).contains(&lots),
    };
    amend.price.is_none_or(is_price) && amend.trigger.is_none_or(is_price) && sized
}

fn is_switch(switch: &Switch) -> bool {
    let timeout = |timeout: Micros| (Micros(1)..=MAX_SWITCH).contains(&timeout);
    match switch {
        Switch::Account(after) => after.is_none_or(timeout),
        Switch::Stream { session, stream, does } => {
            let lasts = match does {
                StreamSwitch::Lives { after, .. } => timeout(*after),
                StreamSwitch::Left | StreamSwitch::Lost => true,
            };
            is_chosen_name(session) && *stream > 0 && lasts
        }
    }
}

fn is_price(price: Ticks) -> bool {
    (1..=MAX_STEPS).contains(&price.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Grid;
    use crate::machine::{Invitation, Request};
    use crate::types::{OrderId, Side};

    fn rules() -> Rules {
        let grid = Grid::new("1".parse().unwrap()).unwrap();
        Rules { max_lots: Lots(100), min_lots: Lots(2), ..Rules::new(grid, grid) }
    }

    fn intent(account: &str, id: &str, action: Action) -> Intent {
        let origin = Origin::Request(id.into());
        let request = Request { account: account.into(), origin, body_hash: 0, action };
        Intent { request, based_on: Micros(0), accepted: Micros(0) }
    }

    fn place() -> Place {
        Place::new(Side::Buy, Some(Ticks(1)), Lots(2), TimeInForce::Gtc)
    }

    fn announce(address: &str) -> Action {
        let peer_address = address.into();
        Action::Announce(Announcement { address: "".into(), peer_address, key: [0; 32], token: None })
    }

    fn in_market(action: Action) -> bool {
        is_admissible(&intent("main", "1", action), Some(&rules()))
    }

    fn in_directory(action: Action) -> bool {
        is_admissible(&intent("main", "1", action), None)
    }

    fn market(name: &str, voters: &[u64]) -> Action {
        let voters = voters.iter().copied().map(NodeId).collect();
        Action::CreateMarket(NewMarket { name: name.into(), rules: rules(), voters })
    }

    #[test]
    fn a_market_that_no_node_admits_is_refused() {
        assert!(in_directory(market("BTC/USDT", &[1, 2, 7])));
        for name in ["directory", "", "BTC", "B\0C/X", "btc/usdt", &"A".repeat(300)] {
            assert!(!in_directory(market(name, &[1])), "{name}");
        }
        for voters in [&[][..], &[0], &[2, 1], &[1, 1], &[1, 2, 3, 4, 5, 6, 7, 8]] {
            assert!(!in_directory(market("BTC/USDT", voters)), "{voters:?}");
        }
    }

    #[test]
    fn an_account_or_id_that_no_node_admits_is_refused() {
        let by = |account: &str, id: &str| {
            is_admissible(&intent(account, id, Action::CancelAll(None)), Some(&rules()))
        };
        assert!(by("a.B_9-", &"r".repeat(64)));
        for account in ["", "a b", "a\0", &"a".repeat(33), &"a".repeat(1_000_000)] {
            assert!(!by(account, "1"), "{} bytes", account.len());
        }
        for id in ["", "a b", "é", &"r".repeat(65)] {
            assert!(!by("main", id), "{id}");
        }
        assert!(is_admissible(&intent("", "1", announce("host:7001")), None));
        let long = format!("{}:1", "h".repeat(MAX_ADDRESS_BYTES));
        for address in ["host", ":1", "host:0", "host:65536", "a b:1", "a\n:1", "a/b:1", "u@a:1", &long] {
            assert!(!is_admissible(&intent("", "1", announce(address)), None), "{address:?}");
        }
    }

    #[test]
    fn an_order_that_no_node_admits_is_refused() {
        use TimeInForce::{Fok, Gtd, Ioc, Unspecified};
        assert!(in_market(Action::Place(place())));
        let market = Place { limit: None, time_in_force: Ioc, ..place() };
        assert!(in_market(Action::Place(market)));
        let bad = [
            Place { quantity: Lots(1), ..place() },
            Place { quantity: Lots(101), ..place() },
            Place { quantity: Lots(u64::MAX), ..place() },
            Place { limit: Some(Ticks(0)), ..place() },
            Place { limit: Some(Ticks(u64::MAX)), ..place() },
            Place { limit: None, ..place() },
            Place { time_in_force: Unspecified, ..place() },
            Place { time_in_force: Fok, post_only: true, ..place() },
            Place { time_in_force: Gtd, ..place() },
            Place { expires: Some(Micros(5)), ..place() },
            Place { self_trade: SelfTrade::Allow, ..place() },
        ];
        for place in bad {
            assert!(!in_market(Action::Place(place.clone())), "{place:?}");
        }
        let target = Target::Order(OrderId { node: NodeId(1), counter: 1 });
        let amend = |size| Action::Amend(Amend { target, price: None, size, trigger: None });
        assert!(in_market(amend(Some(NewSize::Open(Lots(1))))));
        for size in [None, Some(NewSize::Open(Lots(0))), Some(NewSize::Total(Lots(u64::MAX)))] {
            assert!(!in_market(amend(size)), "{size:?}");
        }
        assert!(!in_market(Action::Cancel(Target::Command(1))), "only a session numbers commands");
    }

    #[test]
    fn terms_that_no_node_admits_are_refused() {
        use TimeInForce::{Fok, Ioc};
        let with = |terms: Terms, place: Place| Action::Place(Place { terms: terms.shared(), ..place });
        let market = || Place { limit: None, time_in_force: Ioc, ..place() };
        let to_limit = || Place { limit: None, ..place() };
        let post_only = || Place { post_only: true, ..place() };
        let mtl = Terms { market_to_limit: true, ..Terms::default() };
        let slide = Terms { slide: true, ..Terms::default() };
        let protected = |price| Terms { protection: Some(Ticks(price)), ..Terms::default() };
        let at_least = |lots| Terms { minimum: Lots(lots), ..Terms::default() };
        let shows = |lots| Terms { display: Lots(lots), ..Terms::default() };
        let large = |lots| Place { quantity: Lots(lots), ..place() };
        let stop = |trigger| Terms {
            stop: Some(Stop { trigger: Ticks(trigger), ..Stop::default() }),
            ..Terms::default()
        };
        let trail = |distance, limit| Terms {
            stop: Some(Stop { distance: Ticks(distance), limit_distance: Ticks(limit), ..Stop::default() }),
            ..Terms::default()
        };
        for good in [
            with(trail(9, 0), Place { limit: None, ..place() }),
            with(trail(9, 2), Place { limit: None, ..place() }),
            with(stop(9), place()),
            with(stop(9), Place { limit: None, ..place() }),
            with(shows(2), large(3)),
            with(shows(99), large(100)),
            with(shows(2), Place { post_only: true, ..large(9) }),
            with(mtl, to_limit()),
            with(Terms { minimum: Lots(2), ..mtl }, to_limit()),
            with(slide, post_only()),
            with(protected(9), market()),
            with(protected(9), Place { time_in_force: Fok, ..market() }),
            with(at_least(2), place()),
            with(at_least(1), market()),
        ] {
            assert!(in_market(good.clone()), "{good:?}");
        }
        for bad in [
            with(shows(1), large(3)),
            with(shows(3), large(3)),
            with(shows(2), Place { time_in_force: Ioc, ..large(3) }),
            with(Terms { shown: Lots(2), ..shows(2) }, large(3)),
            with(Terms { display: Lots(2), ..mtl }, Place { limit: None, ..large(3) }),
            with(stop(9), Place { time_in_force: Ioc, ..place() }),
            with(stop(9), Place { limit: None, time_in_force: Fok, ..place() }),
            with(trail(9, 0), place()),
            with(trail(0, 2), Place { limit: None, ..place() }),
            with(trail(9, u64::MAX), Place { limit: None, ..place() }),
            with(stop(9), post_only()),
            with(stop(0), place()),
            with(Terms { minimum: Lots(1), ..stop(9) }, place()),
            with(Terms { stop: Some(Stop { runs: true, ..stop(9).stop.unwrap() }), ..stop(9) }, place()),
            with(mtl, place()),
            with(mtl, market()),
            with(mtl, Place { post_only: true, ..to_limit() }),
            with(Terms { protection: Some(Ticks(9)), ..mtl }, to_limit()),
            with(slide, place()),
            with(protected(9), place()),
            with(protected(u64::MAX), market()),
            with(at_least(3), place()),
            with(at_least(2), post_only()),
            with(at_least(2), Place { time_in_force: Fok, ..place() }),
        ] {
            assert!(!in_market(bad.clone()), "{bad:?}");
        }
    }

    #[test]
    fn a_switch_that_no_node_admits_is_refused() {
        use StreamSwitch::{Left, Lives, Lost};
        let stream = |session: &str, stream, does| Switch::Stream { session: session.into(), stream, does };
        for good in [
            Switch::Account(None),
            Switch::Account(Some(MAX_SWITCH)),
            stream("s", 1, Lives { after: Micros(1), by: Micros(0) }),
            stream("s", 9, Left),
            stream("s", 9, Lost),
        ] {
            assert!(in_market(Action::Switch(good.clone())), "{good:?}");
            assert!(!in_directory(Action::Switch(good)));
        }
        for bad in [
            Switch::Account(Some(Micros(0))),
            Switch::Account(Some(MAX_SWITCH.plus(Micros(1)))),
            stream("", 1, Left),
            stream("s", 0, Lost),
            stream("s", 1, Lives { after: Micros(0), by: Micros(5) }),
            stream("s", 1, Lives { after: Micros(u64::MAX), by: Micros(5) }),
        ] {
            assert!(!in_market(Action::Switch(bad.clone())), "{bad:?}");
        }
    }

    #[test]
    fn an_action_in_another_kind_of_document_is_refused() {
        assert!(!in_directory(Action::Place(place())));
        assert!(!in_directory(Action::CancelAll(None)));
        assert!(in_market(Action::Kill(true)) && !in_directory(Action::Kill(true)));
        let state = Action::SetState;
        assert!(in_market(state(MarketState::Halted)) && !in_directory(state(MarketState::Halted)));
        assert!(!in_market(state(MarketState::Unspecified)));
        assert!(!in_market(market("BTC/USDT", &[1])));
        assert!(!in_market(Action::RemoveNode(NodeId(1))));
        assert!(!in_market(announce("host:7001")));
        let invite = |uses| Action::Invite(Invitation { hash: [0; 32], uses, expires: Micros(1) });
        assert!(in_directory(invite(1)) && !in_market(invite(1)));
        assert!(!in_directory(invite(0)) && !in_directory(invite(u32::MAX)));
    }
}
