//! Fills.

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use super::{Filter, Listing, paged};
use crate::api::Api;
use crate::api::access::{self, Deadline};
use crate::api::admission;
use crate::api::convert::Units;
use crate::api::error::Refusal;
use crate::api::pages::{self, Cursor, Pick, Token};
use crate::api::submit::read_history;
use crate::api::trading::orders::find;
use crate::machine::{Account, Change};
use crate::node::MarketHandle;
use crate::types::{OrderId, Position};

/// `ListFills`, newest first.
pub(in crate::api) async fn fills(
    api: &Api,
    call: Request<v1::ListFillsRequest>,
) -> Result<v1::ListFillsResponse, Refusal> {
    let deadline = api.deadline(&call);
    let account = access::account(&call)?;
    let message = call.into_inner();
    let room = pages::size(message.page_size)?;
    let filter = Filter::asked(message.side, message.begin_time.as_ref(), message.end_time.as_ref())?;
    let only = if message.order_id.is_empty() { None } else { Some(admission::order_id(&message.order_id)?) };
    if only.is_some() && message.market.is_empty() {
        let refusal = Refusal::new(Reason::MissingField, "must be set for the fills of one order");
        return Err(refusal.field("market"));
    }
    let mut wanted = WantedFills { account, filter, only, deadline, position: Position(0) };
    let (of, page) = ((message.market.as_str(), message.at_least), (message.page_token.as_str(), room));
    let (fills, next_page_token) = paged(api, of, page, deadline, &mut wanted).await?;
    let position = if message.market.is_empty() { 0 } else { wanted.position.0 };
    Ok(v1::ListFillsResponse { fills, next_page_token, position })
}

/// The fills that are wanted.
struct WantedFills {
    account: Account,
    filter: Filter,
    only: Option<OrderId>,
    deadline: Deadline,
    /// Position of the view that was read last.
    position: Position,
}

impl Listing for WantedFills {
    type Entry = v1::Fill;

    async fn page(
        &mut self,
        market: &MarketHandle,
        token: &str,
        room: usize,
    ) -> Result<(Vec<v1::Fill>, Option<String>), Refusal> {
        let Self { account, filter, only, deadline, .. } = self;
        let named = only.map(|id| id.to_string()).unwrap_or_default();
        let list = format!("fills {} {account} {named} {filter:?}", market.name());
        let begin = Token::read(token, &list)?;
        let mut position = market.shown();
        let mut cursor = Cursor::at(position);
        if let Some(id) = *only {
            let found = find(market, id, account, *deadline).await?;
            deadline.wait(market.reached(found.position)).await??;
            position = found.position;
            cursor = Cursor::at(found.order.position);
        }
        let cursor = begin.map_or(cursor, Cursor::from_token);
        let (fills, next) = fill_page(market, (account, *filter, *only), cursor, room).await?;
        self.position = position;
        Ok((fills, next.map(|cursor| cursor.token('f').text(&list))))
    }
}

async fn fill_page(
    market: &MarketHandle,
    (account, filter, only): (&Account, Filter, Option<OrderId>),
    cursor: Cursor,
    room: usize,
) -> Result<(Vec<v1::Fill>, Option<Cursor>), Refusal> {
    let history = market.history();
    let (name, account) = (market.name().to_owned(), account.clone());
    read_history(history, move |history| {
        let blocks = history.account_blocks_before(&account, cursor.position.next());
        let blocks = blocks.take_while(|block| {
            !block.as_ref().is_ok_and(|stored| filter.begin.is_some_and(|at| stored.block.time < at))
        });
        pages::scan(blocks, cursor, room, |change, sizes| match change {
            Change::Order { order, fill: Some(fill), .. } if order.account == account => {
                let entry = Units { market: &name, sizes }.fill(order, fill);
                match only {
                    Some(id) if id != order.id => Pick::Skip,
                    _ if !filter.takes(order) => Pick::Skip,
                    // Its first fill: nothing earlier is of interest.
                    Some(_) if order.filled == fill.quantity => Pick::Last(entry),
                    _ => Pick::Take(entry),
                }
            }
            _ => Pick::Skip,
        })
    })
    .await
}
