//! A request that is made in one market, or in each.

use futures::{StreamExt, TryStreamExt};
use xbook_proto::v1::Reason;

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::error::Refusal;
use crate::api::markets::all_markets;
use crate::api::submit::Settled;
use crate::machine::{Request, Rules};
use crate::node::{Listed, MarketHandle};

/// Markets that are asked at a time.
const AT_A_TIME: usize = 64;

/// What became of it.
pub(in crate::api) enum Asked {
    /// In the market that it named.
    One(Box<Settled>),
    /// In each market, by name.
    Each(Vec<(String, Settled)>),
}

/// Makes a request in a market or, if that has no name, in each. `checked` is what is to be said of the request
/// itself, before any market is asked; `admit` makes it for a market.
pub(in crate::api) async fn ask(
    api: &Api,
    market: &str,
    deadline: Deadline,
    checked: Result<(), Refusal>,
    admit: impl Fn(&str, Option<&Rules>) -> Result<Request, Refusal> + Sync,
) -> Result<Asked, Refusal> {
    if market.is_empty() {
        // What is wrong with the request is told by its own fields.
        checked?;
        return everywhere(api, deadline, &admit).await.map(Asked::Each);
    }
    let handle = api.listed(market)?;
    in_market(api, market, handle, deadline, &admit).await.map(|settled| Asked::One(Box::new(settled)))
}

async fn in_market(
    api: &Api,
    name: &str,
    market: Option<MarketHandle>,
    deadline: Deadline,
    admit: &(impl Fn(&str, Option<&Rules>) -> Result<Request, Refusal> + Sync),
) -> Result<Settled, Refusal> {
    let request = admit(name, market.as_ref().map(MarketHandle::rules))?;
    let market = market.ok_or_else(|| Refusal::unknown_market(name))?;
    let settled = Box::pin(api.committed(&market, request, deadline)).await?;
    if settled.refused != Reason::Unspecified {
        return Err(Refusal::new(settled.refused, "the request was refused"));
    }
    Ok(settled)
}

/// Sends the request to each market: what this node does not show yet is done too.
async fn everywhere(
    api: &Api,
    deadline: Deadline,
    admit: &(impl Fn(&str, Option<&Rules>) -> Result<Request, Refusal> + Sync),
) -> Result<Vec<(String, Settled)>, Refusal> {
    let ask = |market: Listed| {
        let name = market.name().to_owned();
        async move {
            let settled = match market.usable() {
                Ok(market) => in_market(api, &name, Some(market), deadline, admit).await,
                Err(closed) => Err(closed.into()),
            };
            // Who repeats the request has the rest done.
            let settled = settled.map_err(|refusal| refusal.field("market").value(&name))?;
            Ok::<_, Refusal>((name, settled))
        }
    };
    futures::stream::iter(all_markets(api, 0)?).map(ask).buffered(AT_A_TIME).try_collect().await
}
