//! Lists of one's own orders and fills, in a market or in all.
//!
//! A list of orders is as of the position at which its first page was read. The later pages read what is open
//! now, leave out what was placed since, and put back what was closed since: the history tells both.

mod fills;

use std::collections::{BTreeMap, HashSet};
use std::future::Future;

use tonic::Request;
use xbook_proto::v1::{self, Reason};

use crate::api::Api;
use crate::api::access::{self, Deadline};
use crate::api::admission;
use crate::api::convert::{self, Units};
use crate::api::error::Refusal;
use crate::api::markets::{all_markets, units};
use crate::api::pages::{self, Cursor, Pick, Token};
use crate::api::submit::read_history;
use crate::history::{History, HistoryError, Sizes};
use crate::machine::{Account, Action, Change, Order};
use crate::node::MarketHandle;
use crate::replica::Replica;
use crate::types::{Micros, NodeId, OrderId, Position, Side};
pub(in crate::api) use fills::fills;

/// Most blocks with changes of an account between the first page of a list and a later one.
const MOST_SINCE: usize = 4_096;

/// Which entries of a list are wanted.
#[derive(Clone, Copy, Debug)]
struct Filter {
    side: Option<Side>,
    begin: Option<Micros>,
    end: Option<Micros>,
}

impl Filter {
    fn asked(
        side: i32,
        begin: Option<&prost_types::Timestamp>,
        end: Option<&prost_types::Timestamp>,
    ) -> Result<Self, Refusal> {
        let side = v1::Side::try_from(side).map_err(|_| admission::unknown("side", side))?;
        Ok(Self {
            side: convert::side_asked(side),
            begin: begin.map(|at| admission::time("begin_time", at)).transpose()?,
            end: end.map(|at| admission::time("end_time", at)).transpose()?,
        })
    }

    fn takes(&self, order: &Order) -> bool {
        let pending = order.position == Position(0);
        self.side.is_none_or(|side| side == order.side)
            && (pending || self.begin.is_none_or(|begin| order.updated >= begin))
            && self.end.is_none_or(|end| !pending && order.updated < end)
    }
}

/// A list of one market.
trait Listing: Send {
    type Entry: Send;

    /// A page, and where the next one begins.
    fn page(
        &mut self,
        market: &MarketHandle,
        token: &str,
        room: usize,
    ) -> impl Future<Output = Result<(Vec<Self::Entry>, Option<String>), Refusal>> + Send;
}

/// A page over one market or all, read market by market, and where the next page begins.
async fn paged<L: Listing>(
    api: &Api,
    (market, at_least): (&str, u64),
    (page_token, room): (&str, usize),
    deadline: Deadline,
    list: &mut L,
) -> Result<(Vec<L::Entry>, String), Refusal> {
    if !market.is_empty() {
        let market = api.market_at(market, at_least, deadline).await?;
        let (entries, next) = list.page(&market, page_token, room).await?;
        return Ok((entries, next.unwrap_or_default()));
    }
    let markets = all_markets(api, at_least)?;
    // In a token of all markets the name of one stands before its own.
    let (from, mut own) = match page_token.split_once('.') {
        _ if page_token.is_empty() => ("", ""),
        Some((name, own)) if admission::market_name(name).is_ok() => (name, own),
        _ => return Err(pages::not_a_token(page_token)),
    };
    let mut entries = Vec::new();
    for market in markets.into_iter().filter(|market| market.name() >= from) {
        if entries.len() == room {
            return Ok((entries, format!("{}.", market.name())));
        }
        let name = market.name().to_owned();
        let market = market.usable()?;
        let token = if name == from { std::mem::take(&mut own) } else { "" };
        let (more, next) = list.page(&market, token, room - entries.len()).await?;
        entries.extend(more);
        if let Some(next) = next {
            return Ok((entries, format!("{name}.{next}")));
        }
    }
    Ok((entries, String::new()))
}

/// `ListOrders`.
pub(in crate::api) async fn orders(
    api: &Api,
    call: Request<v1::ListOrdersRequest>,
) -> Result<v1::ListOrdersResponse, Refusal> {
    let deadline = api.deadline(&call);
    let account = access::account(&call)?;
    let message = call.into_inner();
    let room = pages::size(message.page_size)?;
    let filter = Filter::asked(message.side, message.begin_time.as_ref(), message.end_time.as_ref())?;
    let (closed, now) = (message.include_closed, api.clock_now());
    let mut wanted = Wanted { account, filter, closed, deadline, now, position: Position(0) };
    let (of, page) = ((message.market.as_str(), message.at_least), (message.page_token.as_str(), room));
    let (orders, next_page_token) = paged(api, of, page, deadline, &mut wanted).await?;
    let position = if message.market.is_empty() { 0 } else { wanted.position.0 };
    Ok(v1::ListOrdersResponse { orders, next_page_token, position })
}

/// The orders that are wanted.
struct Wanted {
    account: Account,
    filter: Filter,
    closed: bool,
    deadline: Deadline,
    /// This node's clock.
    now: Micros,
    /// Position of the view that was read last.
    position: Position,
}

impl Listing for Wanted {
    type Entry = v1::Order;

    async fn page(
        &mut self,
        market: &MarketHandle,
        token: &str,
        room: usize,
    ) -> Result<(Vec<v1::Order>, Option<String>), Refusal> {
        let list = format!("orders {} {} {} {:?}", market.name(), self.account, self.closed, self.filter);
        let begin = Token::<3>::read(token, &list)?.unwrap_or(Token { part: 'o', at: [0; 3] });
        let page = self.read(market, begin, room, self.deadline).await?;
        self.position = page.position;
        let (units, now) = (units(market), self.now);
        let told = |(order, sizes): &(Order, Sizes)| Units { sizes: *sizes, ..units }.order_at(order, now);
        Ok((page.orders.iter().map(told).collect(), page.next.map(|next| next.text(&list))))
    }
}

/// A page of one market's orders.
struct OrderPage {
    orders: Vec<(Order, Sizes)>,
    next: Option<Token<3>>,
    position: Position,
}

/// What became of an account's orders since a list was begun.
#[derive(Default)]
struct Since {
    placed: HashSet<OrderId>,
    closed: BTreeMap<OrderId, (Order, Sizes)>,
}

impl Wanted {
    async fn read(
        &self,
        market: &MarketHandle,
        begin: Token<3>,
        room: usize,
        deadline: Deadline,
    ) -> Result<OrderPage, Refusal> {
        let mut page = match begin.part {
            'c' => OrderPage { orders: Vec::new(), next: None, position: market.shown() },
            _ => self.live(market, begin, room, deadline).await?,
        };
        let as_of = if begin.at[2] == 0 { page.position.0 } else { begin.at[2] };
        if page.next.is_none() && self.closed {
            deadline.wait(market.reached(page.position)).await??;
            let cursor = match begin {
                Token { part: 'c', at: [position, taken, _] } => {
                    Cursor::from_token(Token { part: 'c', at: [position, taken] })
                }
                _ => Cursor::at(Position(as_of)),
            };
            let (closed, more) = self.closed_page(market, cursor, room - page.orders.len()).await?;
            page.orders.extend(closed);
            page.next = more.map(|cursor| Token { part: 'c', at: [cursor.position.0, cursor.taken, as_of] });
        }
        Ok(page)
    }

    /// Open orders (part `o`, after an id), then pending ones (part `p`, after a counter).
    async fn live(
        &self,
        market: &MarketHandle,
        begin: Token<3>,
        room: usize,
        deadline: Deadline,
    ) -> Result<OrderPage, Refusal> {
        let sizes = units(market).sizes;
        let [node, counter, as_of] = begin.at;
        let after = (begin.part == 'o').then_some(OrderId { node: NodeId(node), counter });
        let (mut since, mut known) = (Since::default(), Position(as_of));
        let (mut open, pending, position) = loop {
            // What was placed since is left out, so as much more is read.
            let count = room + 1 + since.placed.len();
            let (owner, filter) = (self.account.clone(), self.filter);
            let pending_after = if begin.part == 'p' { counter } else { 0 };
            let read = market.read(move |replica| {
                let open = after.map(|after| open_orders(replica, &owner, after, filter, count));
                let pending = pending_orders(replica, &owner, pending_after, filter, room + 1);
                (open.unwrap_or_default(), pending, replica.view().position())
            });
            let (read, pending, position) = deadline.wait(read).await??;
            if as_of > 0 && after.is_some() {
                deadline.wait(market.reached(position)).await??;
                since = self.since(market, since, (known, position)).await?;
                known = position;
            }
            let full = read.len() == count;
            let was: Vec<Order> =
                read.into_iter().filter(|order| !since.placed.contains(&order.id)).collect();
            if !full || was.len() > room {
                break (was, pending, position);
            }
        };
        let mut orders: BTreeMap<OrderId, (Order, Sizes)> = since.closed;
        orders.retain(|id, (order, _)| after.is_some_and(|after| *id > after) && self.filter.takes(order));
        orders.extend(open.drain(..).map(|order| (order.id, (order, sizes))));
        let mut orders: Vec<_> = orders.into_values().collect();
        let count = orders.len();
        orders.extend(pending.into_iter().map(|order| (order, sizes)));
        let more = orders.len() > room;
        orders.truncate(room);
        let part = if orders.len() > count { 'p' } else { 'o' };
        let as_of = if as_of == 0 { position.0 } else { as_of };
        let last = orders.last().filter(|_| more).map(|(order, _)| order.id);
        let next = last.map(|id| Token { part, at: [id.node.0, id.counter, as_of] });
        Ok(OrderPage { orders, next, position })
    }

    /// What became of the account's orders after one position up to another.
    async fn since(
        &self,
        market: &MarketHandle,
        since: Since,
        (after, through): (Position, Position),
    ) -> Result<Since, Refusal> {
        let history = market.history();
        let account = self.account.clone();
        let read = move |history: &History| read_since(history, &account, since, (after, through));
        read_history(history, read).await?.ok_or_else(|| {
            let words = "the list has changed too much since its first page: begin anew";
            Refusal::new(Reason::Position, words).field("page_token")
        })
    }

    async fn closed_page(
        &self,
        market: &MarketHandle,
        cursor: Cursor,
        room: usize,
    ) -> Result<(Vec<(Order, Sizes)>, Option<Cursor>), Refusal> {
        let history = market.history();
        let (account, filter) = (self.account.clone(), self.filter);
        read_history(history, move |history| {
            let blocks = history.account_blocks_before(&account, cursor.position.next());
            let blocks = blocks.take_while(|block| {
                !block.as_ref().is_ok_and(|stored| filter.begin.is_some_and(|at| stored.block.time < at))
            });
            pages::scan(blocks, cursor, room, |change, sizes| match change {
                Change::Order { order, .. }
                    if order.account == account && !order.is_live() && filter.takes(order) =>
                {
                    Pick::Take((order.clone(), sizes))
                }
                _ => Pick::Skip,
            })
        })
        .await
    }
}

fn open_orders(replica: &Replica, owner: &str, after: OrderId, filter: Filter, count: usize) -> Vec<Order> {
    let market = replica.view().machine.market();
    let orders = market.into_iter().flat_map(|market| market.orders_of(owner, after));
    orders.filter(|order| filter.takes(order)).take(count).cloned().collect()
}

fn pending_orders(replica: &Replica, owner: &str, after: u64, filter: Filter, count: usize) -> Vec<Order> {
    let pending = replica.pending().filter(|(id, _)| id.counter > after);
    let own = pending.filter(|(_, intent)| *intent.request.account == *owner);
    let placed = own.filter_map(|(id, intent)| match &intent.request.action {
        Action::Place(place) => Some(Order::pending(id, intent, place)),
        _ => None,
    });
    placed.filter(|order| filter.takes(order)).take(count).collect()
}

/// Reads what became of an account's orders; `None` if that is too much.
fn read_since(
    history: &History,
    account: &str,
    mut since: Since,
    (after, through): (Position, Position),
) -> Result<Option<Since>, HistoryError> {
    for (count, stored) in history.account_blocks_after(account, after).enumerate() {
        let stored = stored?;
        if stored.block.first > through {
            break;
        }
        if count >= MOST_SINCE {
            return Ok(None);
        }
        for change in &stored.block.changes {
            let Change::Order { order, placed, .. } = change else { continue };
            if *order.account != *account || order.position <= after || order.position > through {
                continue;
            }
            if *placed {
                since.placed.insert(order.id);
            }
            if !order.is_live() && !since.placed.contains(&order.id) {
                since.closed.insert(order.id, (order.clone(), stored.sizes));
            }
        }
    }
    Ok(Some(since))
}
