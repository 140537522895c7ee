//! `order`, `orders`, `fills`: what an account has.

use tonic::Status;
use xbook_proto::v1::{
    GetOrderRequest, ListFillsRequest, ListFillsResponse, ListOrdersRequest, ListOrdersResponse,
    ListPositionsRequest, Side,
};

use super::Context;
use crate::args::{FillsArgs, OrderArgs, OrdersArgs, PositionsArgs, SideArg};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::show;
use crate::show::steps::Steps;

/// The most that a node puts on a page.
pub const MAX_PAGE: u32 = 1_000;

/// A page of a list, or several put together.
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_page_token: String,
    pub position: u64,
}

/// Reads pages, by size and token, until there are `limit` items or no more.
pub async fn pages<T>(
    limit: u32,
    mut read: impl AsyncFnMut(u32, String) -> Result<Page<T>, Status>,
) -> Result<Page<T>, Failure> {
    let mut all = Page { items: Vec::new(), next_page_token: String::new(), position: 0 };
    loop {
        let have = u32::try_from(all.items.len()).unwrap_or(u32::MAX);
        let missing = limit.saturating_sub(have);
        if missing == 0 {
            return Ok(all);
        }
        let page = read(missing.min(MAX_PAGE), all.next_page_token)
            .await
            .map_err(|status| Failure::of_read(&status))?;
        all.items.extend(page.items);
        all.next_page_token = page.next_page_token;
        all.position = page.position;
        if all.next_page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// A line for people whose list was cut off.
pub fn more(next_page_token: &str, limit: u32) -> String {
    if next_page_token.is_empty() {
        String::new()
    } else {
        format!("There are more: see them with `--limit {}`.\n", limit.saturating_mul(10))
    }
}

pub async fn order(context: Context<'_, '_>, args: OrderArgs) -> Result<Exit, Failure> {
    let request = GetOrderRequest {
        market: args.market,
        order_id: args.named.order.unwrap_or_default(),
        client_order_id: args.named.client_id.unwrap_or_default(),
        ..GetOrderRequest::default()
    };
    let request = context.client.request(request);
    let answer = context.client.trading().get_order(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    let order = answer.order.clone().unwrap_or_default();
    context.output.show(&answer, |_| show::order::detail(&order))?;
    Ok(Exit::Done)
}

pub async fn orders(context: Context<'_, '_>, args: OrdersArgs) -> Result<Exit, Failure> {
    let client = context.client;
    let now = clock::now();
    let page = pages(args.limit, async |page_size, page_token| {
        let request = ListOrdersRequest {
            market: args.market.clone().unwrap_or_default(),
            include_closed: args.all,
            page_size,
            page_token,
            side: side(args.filter.side),
            begin_time: args.filter.from.map(|from| from.resolve(now)),
            end_time: args.filter.to.map(|to| to.resolve(now)),
            ..ListOrdersRequest::default()
        };
        let answer = client.trading().list_orders(client.request(request)).await?.into_inner();
        Ok(Page { items: answer.orders, next_page_token: answer.next_page_token, position: answer.position })
    })
    .await?;
    let Page { items: orders, next_page_token, position } = page;
    let answer = ListOrdersResponse { orders, next_page_token, position };
    let steps = steps(&context, args.market.as_deref()).await;
    context.output.show(&answer, |terminal| {
        let market = args.market.as_deref();
        let table = show::order::orders(market, &answer.orders, args.all, &steps, terminal);
        table + &more(&answer.next_page_token, args.limit)
    })?;
    Ok(Exit::Done)
}

pub async fn fills(context: Context<'_, '_>, args: FillsArgs) -> Result<Exit, Failure> {
    let client = context.client;
    let now = clock::now();
    let page = pages(args.limit, async |page_size, page_token| {
        let request = ListFillsRequest {
            market: args.market.clone().unwrap_or_default(),
            order_id: args.order.clone().unwrap_or_default(),
            page_size,
            page_token,
            side: side(args.filter.side),
            begin_time: args.filter.from.map(|from| from.resolve(now)),
            end_time: args.filter.to.map(|to| to.resolve(now)),
            ..ListFillsRequest::default()
        };
        let answer = client.trading().list_fills(client.request(request)).await?.into_inner();
        Ok(Page { items: answer.fills, next_page_token: answer.next_page_token, position: answer.position })
    })
    .await?;
    let Page { items: fills, next_page_token, position } = page;
    let answer = ListFillsResponse { fills, next_page_token, position };
    let steps = steps(&context, args.market.as_deref()).await;
    context.output.show(&answer, |terminal| {
        let (market, order) = (args.market.as_deref(), args.order.as_deref());
        let table = show::order::fills(market, order, &answer.fills, &steps, terminal);
        table + &more(&answer.next_page_token, args.limit)
    })?;
    Ok(Exit::Done)
}

pub async fn positions(context: Context<'_, '_>, args: PositionsArgs) -> Result<Exit, Failure> {
    let request = ListPositionsRequest { market: args.market.unwrap_or_default(), at_least: 0 };
    let answer = context.client.trading().list_positions(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::order::positions(&answer.positions, terminal))?;
    Ok(Exit::Done)
}

/// The grid of a market; of all of them each has its own.
async fn steps(context: &Context<'_, '_>, market: Option<&str>) -> Steps {
    match market {
        Some(market) => context.steps(market).await,
        None => Steps::default(),
    }
}

fn side(side: Option<SideArg>) -> i32 {
    match side {
        None => Side::Unspecified.into(),
        Some(SideArg::Buy) => Side::Buy.into(),
        Some(SideArg::Sell) => Side::Sell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `limit` of 2,500 numbers; also returns the sizes that were asked for.
    async fn read(limit: u32) -> (Page<u32>, Vec<u32>) {
        let mut sizes = Vec::new();
        let page = pages(limit, async |size, token: String| {
            sizes.push(size);
            let first: u32 = token.parse().unwrap_or(0);
            let end = (first + size).min(2_500);
            let next_page_token = if end < 2_500 { end.to_string() } else { String::new() };
            Ok(Page { items: (first..end).collect(), next_page_token, position: u64::from(end) })
        })
        .await
        .unwrap();
        (page, sizes)
    }

    #[tokio::test]
    async fn pages_are_read_up_to_the_limit() {
        let (page, sizes) = read(1_200).await;
        assert_eq!(sizes, [1_000, 200]);
        assert_eq!(page.items, (0..1_200).collect::<Vec<_>>());
        assert_eq!(more(&page.next_page_token, 1_200), "There are more: see them with `--limit 12000`.\n");
    }

    #[tokio::test]
    async fn the_last_page_ends_the_list() {
        let (page, sizes) = read(10_000).await;
        assert_eq!(sizes, [1_000, 1_000, 1_000]);
        assert_eq!((page.items.len(), page.position), (2_500, 2_500));
        assert_eq!(more(&page.next_page_token, 10_000), "");
    }
}
