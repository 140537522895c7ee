//! `book`, `replay`, `trades`, `ticker`, `candles`, `market list`, `market show`: what everyone sees.

use tonic::Response;
use xbook_proto::v1::get_order_book_request::AsOf;
use xbook_proto::v1::{
    BookDetail, CandleInterval, GetMarketRequest, GetOrderBookRequest, GetTickerRequest, ListCandlesRequest,
    ListCandlesResponse, ListMarketsRequest, ListTradesRequest, ListTradesResponse,
};

use super::Context;
use super::lists::{MAX_PAGE, Page, more, pages};
use crate::args::{BookArgs, CandlesArgs, Moment, ReplayArgs, TickerArgs, TradesArgs};
use crate::book::{Book, BookPages};
use crate::clock;
use crate::connect::Client;
use crate::failure::{Exit, Failure};
use crate::{show, watch};

const DEFAULT_DEPTH: u32 = 20;
const DEFAULT_TRADES: u32 = 100;
/// Trades that are shown before new ones are followed.
const TRADES_BEFORE_WATCH: u32 = 10;

pub async fn book(context: Context<'_, '_>, args: BookArgs) -> Result<Exit, Failure> {
    let depth = if args.all { u32::MAX } else { args.depth.unwrap_or(DEFAULT_DEPTH) };
    let detail = if args.orders { BookDetail::Orders } else { BookDetail::Levels };
    let request = GetOrderBookRequest {
        market: args.market.clone(),
        depth: depth.min(MAX_PAGE),
        detail: detail.into(),
        price_step: args.step.clone().unwrap_or_default(),
        as_of: args.as_of.map(|as_of| as_of.resolve(clock::now())),
        ..GetOrderBookRequest::default()
    };
    let pages = read_book(context.client, request, depth).await?;
    let book = Book::of_answer(&pages.answer)?;
    let steps = context.steps(&args.market).await;
    context.output.show(&pages.answer, |terminal| {
        let shown = if args.orders {
            show::market::book_orders(&pages.answer, &steps, terminal)
        } else {
            show::ladder::ladder(&args.market, &book, depth as usize, &steps, terminal)
        };
        shown + &show::words::as_of(pages.answer.time.as_ref()) + &pages.note()
    })?;
    Ok(Exit::Done)
}

/// The best levels of a book, with all their orders if they are wanted.
async fn read_book(
    client: &Client,
    mut request: GetOrderBookRequest,
    depth: u32,
) -> Result<BookPages, Failure> {
    let mut pages: Option<BookPages> = None;
    loop {
        request.page_token = pages.as_ref().map(BookPages::next_page_token).unwrap_or_default();
        let answer = client.market_data().get_order_book(client.request(request.clone())).await;
        let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
        match &mut pages {
            None => pages = Some(BookPages::new(answer)),
            Some(pages) => pages.add(answer),
        }
        if let Some(done) = pages.take_if(|pages| pages.has(depth as usize)) {
            return Ok(done.cut(depth as usize));
        }
    }
}

/// Shows the book after each batch of events, or each so many positions.
pub async fn replay(context: Context<'_, '_>, args: ReplayArgs) -> Result<Exit, Failure> {
    let client = context.client;
    let (now, steps) = (clock::now(), context.steps(&args.market).await);
    let frame = async |as_of| {
        let request = GetOrderBookRequest {
            market: args.market.clone(),
            depth: args.depth,
            price_step: args.step.clone().unwrap_or_default(),
            as_of,
            ..GetOrderBookRequest::default()
        };
        let answer = client.market_data().get_order_book(client.request(request)).await;
        answer.map(Response::into_inner).map_err(|status| Failure::of_read(&status))
    };
    let last = frame(args.to.map(|to| to.resolve(now))).await?.position;
    let mut at = match args.from {
        Moment::Position(position) => position.max(1),
        from @ Moment::Time(_) => frame(Some(from.resolve(now))).await?.position.max(1),
    };
    let mut shown = None;
    while at <= last {
        let answer = frame(Some(AsOf::AsOfPosition(at))).await?;
        // The last one is shown, however far it is.
        at = if at < last { at.saturating_add(args.every).min(last) } else { u64::MAX };
        // The positions of a batch have one book, that of its last; before it, that of the batch before.
        if shown.replace(answer.position) == Some(answer.position) || answer.position == 0 {
            continue;
        }
        let book = Book::of_answer(&answer)?;
        context.output.show(&answer, |terminal| {
            let ladder = show::ladder::ladder(&args.market, &book, args.depth as usize, &steps, terminal);
            ladder + &show::words::as_of(answer.time.as_ref()) + "\n"
        })?;
        tokio::time::sleep(args.pause).await;
    }
    Ok(Exit::Done)
}

pub async fn trades(context: Context<'_, '_>, args: TradesArgs) -> Result<Exit, Failure> {
    if let Some(after) = args.after.filter(|_| args.watch) {
        let past = ListTradesResponse { position: after, ..ListTradesResponse::default() };
        return watch::trades(context.client, &args.market, past, context.output).await;
    }
    let default = if args.watch { TRADES_BEFORE_WATCH } else { DEFAULT_TRADES };
    let limit = args.limit.unwrap_or(default);
    let answer = list_trades(context.client, &args, limit).await?;
    if args.watch {
        return watch::trades(context.client, &args.market, answer, context.output).await;
    }
    let steps = context.steps(&args.market).await;
    context.output.show(&answer, |terminal| {
        show::market::trades(&args.market, &answer.trades, &steps, terminal)
            + &more(&answer.next_page_token, limit)
    })?;
    Ok(Exit::Done)
}

/// The newest trades. The position is that of the first page: what came while older pages were
/// read is not in the list.
async fn list_trades(client: &Client, args: &TradesArgs, limit: u32) -> Result<ListTradesResponse, Failure> {
    let mut first_position = None;
    let now = clock::now();
    let page = pages(limit, async |page_size, page_token| {
        let request = ListTradesRequest {
            market: args.market.clone(),
            page_size,
            page_token,
            at_least: 0,
            after_position: args.after.unwrap_or(0),
            before_position: args.before.unwrap_or(0),
            begin_time: args.from.map(|from| from.resolve(now)),
            end_time: args.to.map(|to| to.resolve(now)),
        };
        let answer = client.market_data().list_trades(client.request(request)).await?.into_inner();
        first_position.get_or_insert(answer.position);
        Ok(Page { items: answer.trades, next_page_token: answer.next_page_token, position: answer.position })
    })
    .await?;
    let Page { items: trades, next_page_token, position } = page;
    Ok(ListTradesResponse { trades, next_page_token, position: first_position.unwrap_or(position) })
}

pub async fn ticker(context: Context<'_, '_>, args: TickerArgs) -> Result<Exit, Failure> {
    let now = clock::now();
    let end = args.to.map_or_else(|| now.into(), |to| to.resolve(now));
    let request = GetTickerRequest { market: args.market.clone(), at_least: 0, end_time: Some(end) };
    let answer = context.client.market_data().get_ticker(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    let steps = context.steps(&args.market).await;
    context.output.show(&answer, |_| show::candles::ticker(&answer, &steps))?;
    Ok(Exit::Done)
}

pub async fn candles(context: Context<'_, '_>, args: CandlesArgs) -> Result<Exit, Failure> {
    let client = context.client;
    let now = clock::now();
    let page = pages(args.limit, async |page_size, page_token| {
        let request = ListCandlesRequest {
            market: args.market.clone(),
            interval: CandleInterval::from(args.interval).into(),
            begin_time: args.from.map(|from| from.resolve(now)),
            end_time: args.to.map(|to| to.resolve(now)),
            page_size,
            page_token,
            at_least: 0,
        };
        let answer = client.market_data().list_candles(client.request(request)).await?.into_inner();
        Ok(Page { items: answer.candles, next_page_token: answer.next_page_token, position: answer.position })
    })
    .await?;
    let Page { items: candles, next_page_token, position } = page;
    let answer = ListCandlesResponse { candles, next_page_token, position };
    let steps = context.steps(&args.market).await;
    context.output.show(&answer, |terminal| {
        show::candles::candles(&args.market, &answer.candles, &steps, terminal)
            + &more(&answer.next_page_token, args.limit)
    })?;
    Ok(Exit::Done)
}

pub async fn markets(context: Context<'_, '_>) -> Result<Exit, Failure> {
    let request = context.client.request(ListMarketsRequest {});
    let answer = context.client.market_data().list_markets(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::market::markets(&answer.markets, terminal))?;
    Ok(Exit::Done)
}

pub async fn market(context: Context<'_, '_>, name: String) -> Result<Exit, Failure> {
    let request = context.client.request(GetMarketRequest { market: name });
    let answer = context.client.market_data().get_market(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    let market = answer.market.clone().unwrap_or_default();
    context.output.show(&answer, |_| show::market::detail(&market))?;
    Ok(Exit::Done)
}
