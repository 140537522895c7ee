//! The closed list of reasons, in words.

use xbook_proto::v1::Reason;

/// The reason's name as errors carry it, such as `OFF_TICK`.
pub fn name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("REASON_")
}

/// The reason that has this name; unspecified for one that this program doesn't know.
pub fn from_name(name: &str) -> Reason {
    Reason::from_str_name(&format!("REASON_{name}")).unwrap_or(Reason::Unspecified)
}

/// The reason as the end of a sentence.
pub fn phrase(reason: Reason) -> &'static str {
    match reason {
        Reason::Unspecified => "no reason was given",
        Reason::MissingField => "a needed value is missing",
        Reason::MalformedText => "a text is too long or has characters that are not allowed",
        Reason::MalformedDecimal => "a value is not a plain decimal number such as 10.25",
        Reason::UnknownValue => "the node does not know one of the values",
        Reason::ConflictingFields => "two of the options exclude each other",
        Reason::NotPositive => "a number must be greater than zero",
        Reason::OffTick => "the price is not a multiple of the market's tick size",
        Reason::OffLot => "the quantity is not a multiple of the market's lot size",
        Reason::BelowMinimum => "the quantity is below the market's minimum",
        Reason::AboveMaximum => "a value is above its maximum",
        Reason::TimePassed => "the given time has already passed",
        Reason::UnknownMarket => "there is no such market",
        Reason::MarketExists => "a market of this name exists",
        Reason::UnknownOrder => "there is no such order in this market",
        Reason::UnknownNode => "there is no such node in this cluster",
        Reason::OtherAccount => "the order belongs to another account",
        Reason::OrderClosed => "the order is already closed",
        Reason::RequestIdReused => "the request id was used before, for another request",
        Reason::SessionGap => "a command's number is not the session's next",
        Reason::Forgotten => "the request is too old to be told from a repeat",
        Reason::AlreadyVoter => "the node is a voter already, or is about to become one",
        Reason::NotVoter => "the node is no voter, or is about to be none",
        Reason::LastVoter => "the last voter can't be removed",
        Reason::TooManyVoters => "there are as many voters as there may be",
        Reason::SessionForgotten => "the market has forgotten the session",
        Reason::CommandReused => "the command's number was used before, for another command",
        Reason::ClientIdInUse => "another order that is not closed has this client id",
        Reason::WouldTrigger => "the last trade meets its trigger already",
        Reason::NoLastTrade => "nothing was traded yet that a trailing stop could begin with",
        Reason::Replaced => "another order came in its place",
        Reason::BelowFilled => "the new total quantity is not above what is already filled",
        Reason::FormatUnready => "not all voters can read the format, or the document has a newer one",
        Reason::WouldTake => "it is post-only and would have traded at once",
        Reason::NotFillable => "it could not be filled completely at once",
        Reason::NoLiquidity => "nothing (more) rests that it could trade with",
        Reason::LevelFull => "its price level can't hold any more",
        Reason::Requested => "its account asked for it",
        Reason::ExpireTime => "its time ran out",
        Reason::SequenceBy => "its turn did not come in time",
        Reason::TooMany => "a limit on open orders or markets is reached",
        Reason::SelfTrade => "it would have traded with an order of its own account",
        Reason::MinNotFillable => "less than its minimum could trade at once",
        Reason::Protection => "the rest would have traded beyond its protection price",
        Reason::AccountKilled => "the account is killed in this market",
        Reason::DeadMan => "the account's dead man's switch fired",
        Reason::Disconnected => "its session's stream broke off",
        Reason::Overloaded => "too many requests wait for their turn",
        Reason::SlowReader => "this program read the stream too slowly",
        Reason::ShuttingDown => "the node is shutting down",
        Reason::StoreFailed => "the node's disk failed",
        Reason::Deadline => "the answer did not come in time",
        Reason::Away => "it happened while the node was away, and the node has not learned it yet",
        Reason::Quarantined => "the node found a fault in this document and has set it aside",
        Reason::FormatUnreadable => "the document has a format that the node's program can't read",
        Reason::Starting => "the node does not know yet what the others know",
        Reason::TooManyConnections => "the node has as many connections or streams as it may have",
        Reason::TooMuchUnread => "too much waits on this connection that was not read",
        Reason::NotInvited => "the node showed no join token that lets it in",
        Reason::OtherKey => "the cluster knows the node by another key",
        Reason::Position => "the position is not reached yet, or no longer kept",
        other => of_market(other),
    }
}

/// What is said of a reason that has no words.
const UNKNOWN: &str = "for a reason that this program has no words for";

/// The same for what a market's rules and its state say, and the limits of an account in it.
fn of_market(reason: Reason) -> &'static str {
    match reason {
        Reason::PriceBand => "it is outside the market's price bands, or would have traded there",
        Reason::FixedRule => "tick, lot and the bounds of quantities stay as the market was made",
        Reason::AuctionEnded => "the auction ended, and it was for that alone",
        Reason::MarketState => "the market does not take it now",
        Reason::SessionEnd => "the market was closed",
        Reason::Delisted => "the market was delisted",
        Reason::AccountQuantity => "it is above the account's largest order",
        Reason::AccountNotional => "price times quantity is above the account's most",
        _ => UNKNOWN,
    }
}

/// What to do about it, if there is something.
pub fn advice(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::OffTick | Reason::OffLot | Reason::BelowMinimum | Reason::AboveMaximum => {
            "`xcli market show NAME` shows a market's grid and limits"
        }
        Reason::UnknownMarket => {
            "`xcli market list` lists the markets; `xcli market create NAME --tick T --lot L` makes one"
        }
        Reason::MarketExists => "`xcli market show NAME` shows its rules",
        Reason::UnknownNode => "`xcli nodes` lists the nodes with their ids",
        Reason::UnknownOrder => "`xcli orders MARKET --all` lists your orders with their ids",
        Reason::ClientIdInUse => {
            "`xcli orders MARKET` lists the orders that are not closed; `xcli order MARKET --client-id ID` shows the one that has it"
        }
        Reason::BelowFilled => {
            "`xcli order MARKET ORDER` shows what is filled; --open sets what is still open, and `xcli cancel MARKET ORDER` ends it"
        }
        Reason::FormatUnready => {
            "`xcli node` shows what formats a node's program reads: replace the old ones, one node after the other"
        }
        Reason::OtherAccount => "name the order's account with --account",
        Reason::OrderClosed => "`xcli order MARKET ORDER` shows how it ended",
        Reason::RequestIdReused => "leave --request-id out to draw a new one",
        Reason::Forgotten => "`xcli orders MARKET --all` shows whether it took effect long ago",
        Reason::TooMany => "cancel what you no longer need, with `xcli cancel` or `xcli cancel-all`",
        Reason::AccountQuantity | Reason::AccountNotional => {
            "`xcli limits MARKET` shows the account's limits"
        }
        Reason::MarketState => "`xcli market show NAME` shows a market's state",
        Reason::AccountKilled => "`xcli kill MARKET --lift` lets the account trade again",
        Reason::ShuttingDown
        | Reason::StoreFailed
        | Reason::Away
        | Reason::Quarantined
        | Reason::FormatUnreadable
        | Reason::Starting => "ask another node, with --node",
        Reason::Position => "leave --after out to begin now",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        assert_eq!(name(Reason::OffTick), "OFF_TICK");
        assert_eq!(from_name("OFF_TICK"), Reason::OffTick);
        assert_eq!(from_name("NEW_IN_A_LATER_VERSION"), Reason::Unspecified);
    }

    #[test]
    fn each_reason_has_words() {
        let known: Vec<Reason> = (0..1_000).filter_map(|number| Reason::try_from(number).ok()).collect();
        assert!(known.len() > 50);
        for reason in known {
            assert_ne!(phrase(reason), UNKNOWN, "{reason:?}");
        }
    }
}
