//! Finding markets and documents, and what a market's numbers count in.

use xbook_proto::v1::Reason;

use super::access::Deadline;
use super::convert::Units;
use super::error::Refusal;
use super::submit::Addressee;
use super::{Api, admission};
use crate::layers;
use crate::node::{DocumentHandle, Listed, MarketHandle};
use crate::types::Position;

/// What a market's numbers count in.
pub(in crate::api) fn units(market: &MarketHandle) -> Units<'_> {
    Units::new(market.name(), market.rules())
}

/// The name of a market that is not there, for what is said when all else of its request is right.
pub(in crate::api) fn unlisted(market: Option<&MarketHandle>, name: &str) -> String {
    if market.is_none() { name.to_owned() } else { String::new() }
}

/// All markets that there are, by name.
pub(in crate::api) fn all_markets(api: &Api, at_least: u64) -> Result<Vec<Listed>, Refusal> {
    if at_least > 0 {
        let words = "must not be set without a market: each has positions of its own";
        return Err(Refusal::new(Reason::ConflictingFields, words).field("at_least").value(at_least));
    }
    if !api.node.knows_directory() && api.node.directory().shown() == Position(0) {
        return Err(Refusal::starting("the markets"));
    }
    Ok(api.node.markets())
}

impl Api {
    /// A market by its name.
    pub(in crate::api) fn find_market(&self, name: &str) -> Result<MarketHandle, Refusal> {
        layers::concern(name, "");
        admission::market_name(name)?;
        self.listed(name)?.ok_or_else(|| Refusal::unknown_market(name))
    }

    /// A market by its name, if there is one.
    ///
    /// # Errors
    /// It is quarantined.
    pub(in crate::api) fn listed(&self, name: &str) -> Result<Option<MarketHandle>, Refusal> {
        match self.node.market(name) {
            Some(market) => Ok(Some(market.usable()?)),
            None if self.node.knows_directory() => Ok(None),
            // The first of the two words may have been said just before the second changed.
            None => match self.node.market(name) {
                Some(market) => Ok(Some(market.usable()?)),
                None => Err(Refusal::starting(&format!("a market {name}"))),
            },
        }
    }

    /// A market that shows at least a position.
    pub(in crate::api) async fn market_at(
        &self,
        name: &str,
        at_least: u64,
        deadline: Deadline,
    ) -> Result<MarketHandle, Refusal> {
        let market = self.find_market(name)?;
        let late = |_| {
            let words = "not shown before the call's deadline";
            Refusal::new(Reason::Deadline, words).field("at_least").value(at_least)
        };
        deadline.wait(market.reached(Position(at_least))).await.map_err(late)??;
        Ok(market)
    }

    /// The directory, or a market, by name.
    pub(in crate::api) fn document(&self, name: &str) -> Result<DocumentHandle, Refusal> {
        Ok(DocumentHandle::clone(&*self.addressee(name)?))
    }

    /// Where a request goes that is about the directory or a market.
    pub(in crate::api) fn addressee(&self, name: &str) -> Result<Addressee, Refusal> {
        if name == self.node.directory().name() {
            self.node.directory().check_usable()?;
            return Ok(self.node.directory().into());
        }
        admission::market_name(name)?;
        self.listed(name)?.map(Addressee::Market).ok_or_else(|| Refusal::unknown_market(name))
    }
}
