//! `ListPositions`: what an account has bought and sold, from its fills.
//!
//! The sums are made of the history. Those that were asked for last are kept, and go on from where they are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tonic::Request;
use xbook_proto::v1;

use crate::api::Api;
use crate::api::access::{self};
use crate::api::error::Refusal;
use crate::api::markets::all_markets;
use crate::api::submit::read_history;
use crate::history::{History, HistoryError, Turnover};
use crate::machine::{Account, Change, Fee};
use crate::node::{Listed, MarketHandle};
use crate::types::{Position, Side};

/// Most sums that are kept.
const MOST_KEPT: usize = 4_096;

/// Blocks after which sums on the way are kept.
const KEEP_EVERY: usize = 1_024;

/// Whose sums they are: market and account.
type Key = (String, Account);

/// What an account has bought and sold in a market, up to a position.
#[derive(Clone, Default)]
struct Sums {
    bought: Turnover,
    sold: Turnover,
    /// In units of 10^-8, as fees are counted.
    fees: i128,
    position: Position,
}

/// A node's sums. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::api) struct Positions(Arc<Mutex<VecDeque<(Key, Sums)>>>);

impl Positions {
    fn take(&self, key: &Key) -> Sums {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(of, _)| of == key);
        at.and_then(|at| kept.remove(at)).map(|(_, sums)| sums).unwrap_or_default()
    }

    fn keep(&self, key: Key, sums: Sums) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back((key, sums));
        while kept.len() > MOST_KEPT {
            kept.pop_front();
        }
    }

    /// The sums up to a position at least.
    fn at(&self, history: &History, key: &Key, shown: Position) -> Result<Sums, HistoryError> {
        let mut sums = self.take(key);
        let from = sums.position;
        for (count, stored) in history.account_blocks_after(&key.1, from).enumerate() {
            let stored = stored?;
            for change in &stored.block.changes {
                let Change::Order { order, fill: Some(fill), .. } = change else { continue };
                if order.account == key.1 && order.position > from {
                    let side = match order.side {
                        Side::Buy => &mut sums.bought,
                        Side::Sell => &mut sums.sold,
                    };
                    side.add(fill.price, fill.quantity, stored.sizes);
                    sums.fees = sums.fees.saturating_add(fill.fee.0.into());
                }
            }
            sums.position = stored.block.last;
            if count % KEEP_EVERY == KEEP_EVERY - 1 {
                self.keep(key.clone(), sums.clone());
            }
        }
        // Up to what was shown before it was read nothing else has happened.
        sums.position = sums.position.max(shown);
        self.keep(key.clone(), sums.clone());
        Ok(sums)
    }
}

/// `ListPositions`.
pub(in crate::api) async fn list(
    api: &Api,
    call: Request<v1::ListPositionsRequest>,
) -> Result<v1::ListPositionsResponse, Refusal> {
    let deadline = api.deadline(&call);
    let account = access::account(&call)?;
    let message = call.into_inner();
    let markets = match message.market.as_str() {
        "" => all_markets(api, message.at_least)?,
        name => vec![Listed::Opened(api.market_at(name, message.at_least, deadline).await?)],
    };
    let mut positions = Vec::new();
    for market in markets {
        let market = market.usable()?;
        let sums = deadline.wait(sums(api, &market, &account)).await??;
        positions.extend((sums.bought.fills + sums.sold.fills > 0).then(|| told(&market, &sums)));
    }
    Ok(v1::ListPositionsResponse { positions })
}

async fn sums(api: &Api, market: &MarketHandle, account: &Account) -> Result<Sums, Refusal> {
    let history = market.history();
    let key = (market.name().to_owned(), account.clone());
    let (kept, shown) = (api.positions.clone(), market.shown());
    read_history(history, move |history| kept.at(history, &key, shown)).await
}

fn told(market: &MarketHandle, sums: &Sums) -> v1::MarketPosition {
    let Sums { bought, sold, fees, position } = sums;
    v1::MarketPosition {
        market: market.name().to_owned(),
        position: position.0,
        bought_quantity: bought.quantity_text(),
        bought_value: bought.value_text(),
        sold_quantity: sold.quantity_text(),
        sold_value: sold.value_text(),
        net_quantity: bought.less(sold),
        fill_count: bought.fills + sold.fills,
        fees: Fee::sum_text(*fees),
    }
}
