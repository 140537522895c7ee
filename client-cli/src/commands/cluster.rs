//! `node`, `nodes`, `verify` and `market create`: running the exchange.

use std::time::Duration;

use tonic::Response;
use xbook_proto::v1::{
    AddVoterRequest, CreateJoinTokenRequest, CreateMarketRequest, GetMarketRequest, GetNodeRequest,
    ListLeasesRequest, ListNodesRequest, Market, MarketRules, MarketState, RemoveNodeRequest,
    RemoveVoterRequest, SelfTradePrevention, SessionTime, SetMarketStateRequest, TransferLeaseRequest,
    UpdateMarketRequest, UpgradeDocumentRequest, VerifyMarketRequest, VerifyVerdict,
};

use super::{Context, candidate};
use crate::args::{
    AddVoterArgs, CreateMarketArgs, DefaultSelfTradeArg, InviteArgs, MarketStateArg, RemoveNodeArgs,
    RequestArgs, RulesArgs, UpdateMarketArgs, UpgradeArgs, VerifyArgs, VoterArgs,
};
use crate::failure::{Exit, Failure};
use crate::show;
use crate::show::steps::Steps;
use crate::show::words;
use crate::{clock, repeat};

pub async fn create_market(context: Context<'_, '_>, args: CreateMarketArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let mut rules = MarketRules {
        tick_size: args.tick,
        lot_size: args.lot,
        min_quantity: args.min.unwrap_or_default(),
        max_quantity: args.max.unwrap_or_default(),
        ..MarketRules::default()
    };
    change(&mut rules, args.rules);
    let request = CreateMarketRequest {
        request_id: repeat.request_id.clone(),
        market: args.name,
        rules: Some(rules),
        voters: args.voters,
    };
    let request = context.client.request(request);
    let answer = context.client.cluster().create_market(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    let market = answer.market.clone().unwrap_or_default();
    let steps = Steps::new(market.rules.as_ref());
    context.output.show(&answer, |_| {
        format!(
            "Created {name}. Place an order with `xcli buy {} {name} {}`.\n{}",
            steps.any_quantity(),
            steps.any_price(),
            show::market::detail(&market),
            name = market.name
        )
    })?;
    Ok(Exit::Done)
}

/// Changes a market's rules: those that are not given are sent as they are.
pub async fn update_market(context: Context<'_, '_>, args: UpdateMarketArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let request = context.client.request(GetMarketRequest { market: args.name.clone() });
    let market = context.client.market_data().get_market(request).await;
    let market = market.map_err(|status| Failure::of_read(&status))?;
    let mut rules = market.into_inner().market.and_then(|market| market.rules).unwrap_or_default();
    if args.no_sessions {
        rules.sessions.clear();
    }
    change(&mut rules, args.rules);
    let request = UpdateMarketRequest {
        request_id: repeat.request_id.clone(),
        market: args.name.clone(),
        rules: Some(rules),
        reference_price: args.reference.unwrap_or_default(),
    };
    let request = context.client.request(request);
    let answer = context.client.cluster().update_market(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| {
        let market = Market { name: args.name, rules: answer.rules.clone(), ..Market::default() };
        show::market::rules(&market)
    })?;
    Ok(Exit::Done)
}

/// Changes the rules that are given.
fn change(rules: &mut MarketRules, args: RulesArgs) {
    fn set<T>(rule: &mut T, given: Option<T>) {
        if let Some(given) = given {
            *rule = given;
        }
    }
    set(&mut rules.default_self_trade_prevention, args.self_trade.map(|way| default_self_trade(way).into()));
    set(&mut rules.protection_bp, args.protection_bp);
    set(&mut rules.day_end_minute, args.day_end);
    set(&mut rules.maker_fee_bp, args.maker_fee);
    set(&mut rules.taker_fee_bp, args.taker_fee);
    set(&mut rules.auction_fee_bp, args.auction_fee);
    set(&mut rules.fee_step, args.fee_step);
    set(&mut rules.static_band_bp, args.static_band);
    set(&mut rules.dynamic_band_bp, args.dynamic_band);
    set(&mut rules.volatility_auction_seconds, args.volatility_auction.map(seconds));
    set(&mut rules.auction_extension_seconds, args.auction_extension.map(seconds));
    if !args.sessions.is_empty() {
        rules.sessions = args.sessions.into_iter().map(session_time).collect();
    }
}

/// Changes what a market takes; without a state it is delisted.
pub async fn set_market_state(
    context: Context<'_, '_>,
    market: String,
    state: Option<MarketStateArg>,
    request: RequestArgs,
) -> Result<Exit, Failure> {
    let repeat = context.repeat(request, None);
    let state = match state {
        Some(state) => market_state(state),
        None => MarketState::Delisted,
    };
    let request = SetMarketStateRequest {
        request_id: repeat.request_id.clone(),
        market: market.clone(),
        state: state.into(),
    };
    let request = context.client.request(request);
    let answer = context.client.cluster().set_market_state(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| {
        let ended = match answer.ended_orders {
            0 => String::new(),
            count => format!(" {} ended with it.", words::count_of(count, "order")),
        };
        format!("{market} is {} now.{ended}\n", words::market_state(state.into()))
    })?;
    Ok(Exit::Done)
}

fn market_state(state: MarketStateArg) -> MarketState {
    match state {
        MarketStateArg::PreOpen => MarketState::PreOpen,
        MarketStateArg::Auction => MarketState::Auction,
        MarketStateArg::Continuous => MarketState::Continuous,
        MarketStateArg::PostOnly => MarketState::PostOnly,
        MarketStateArg::CancelOnly => MarketState::CancelOnly,
        MarketStateArg::Halted => MarketState::Halted,
        MarketStateArg::Closed => MarketState::Closed,
    }
}

fn session_time((minute, state): (u32, MarketStateArg)) -> SessionTime {
    SessionTime { minute, state: market_state(state).into() }
}

/// Whole seconds, and not none if there are any.
fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}

fn default_self_trade(way: DefaultSelfTradeArg) -> SelfTradePrevention {
    match way {
        DefaultSelfTradeArg::CancelTaker => SelfTradePrevention::CancelTaker,
        DefaultSelfTradeArg::CancelMaker => SelfTradePrevention::CancelMaker,
        DefaultSelfTradeArg::CancelBoth => SelfTradePrevention::CancelBoth,
        DefaultSelfTradeArg::Decrement => SelfTradePrevention::Decrement,
        DefaultSelfTradeArg::Allow => SelfTradePrevention::Allow,
    }
}

pub async fn node(context: Context<'_, '_>) -> Result<Exit, Failure> {
    let request = context.client.request(GetNodeRequest {});
    let answer = context.client.cluster().get_node(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::node::node(&answer, terminal))?;
    Ok(Exit::Done)
}

pub async fn nodes(context: Context<'_, '_>) -> Result<Exit, Failure> {
    let request = context.client.request(ListNodesRequest {});
    let answer = context.client.cluster().list_nodes(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    // What each votes on; without it the list is still one.
    let request = context.client.request(GetNodeRequest {});
    let node = context.client.cluster().get_node(request).await.map(Response::into_inner).unwrap_or_default();
    context.output.show(&answer, |terminal| show::node::nodes(&answer, &node.documents, terminal))?;
    Ok(Exit::Done)
}

pub async fn verify(context: Context<'_, '_>, args: VerifyArgs) -> Result<Exit, Failure> {
    let request = context.client.request(VerifyMarketRequest { market: args.market });
    let answer = context.client.cluster().verify_market(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::verify::verified(&answer, terminal))?;
    Ok(match answer.verdict() {
        VerifyVerdict::Passed => Exit::Done,
        VerifyVerdict::Incomplete => Exit::Incomplete,
        VerifyVerdict::Wrong | VerifyVerdict::Unspecified => Exit::Internal,
    })
}

pub async fn invite(context: Context<'_, '_>, args: InviteArgs) -> Result<Exit, Failure> {
    let lifetime = args.expires.try_into().map_err(|_| Failure::internal("the time is too long"))?;
    // A token of which the answer is lost is of no use to anyone, and expires: the next one is another.
    let request = context.client.request(CreateJoinTokenRequest {
        request_id: clock::draw_request_id()?,
        token: clock::draw_token()?,
        uses: args.uses,
        lifetime: Some(lifetime),
    });
    let answer = context.client.cluster().create_join_token(request).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |_| show::node::invitation(&answer, args.uses))?;
    Ok(Exit::Done)
}

pub async fn remove_node(context: Context<'_, '_>, args: RemoveNodeArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let request = RemoveNodeRequest { request_id: repeat.request_id.clone(), node_id: args.gone.clone() };
    let request = context.client.request(request);
    let answer = context.client.cluster().remove_node(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| format!("Forgot node {}.\n", args.gone))?;
    Ok(Exit::Done)
}

pub async fn add_voter(context: Context<'_, '_>, args: AddVoterArgs) -> Result<Exit, Failure> {
    let AddVoterArgs { voter: args, force } = args;
    if let Some(doubt) = candidate::doubt(context.client, &args).await? {
        if !force {
            let advice = format!("to add it nevertheless: {} --force", repeat::line(context.typed.args));
            return Err(Failure::unsure(doubt, advice));
        }
        context.output.note(&doubt)?;
    }
    let repeat = context.repeat(args.request, None);
    let request = context.client.request(AddVoterRequest {
        request_id: repeat.request_id.clone(),
        node_id: args.voter,
        market: args.market.unwrap_or_default(),
    });
    let answer = context.client.cluster().add_voter(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |terminal| show::node::voters(&answer.documents, terminal))?;
    Ok(Exit::Done)
}

pub async fn remove_voter(context: Context<'_, '_>, args: VoterArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let request = context.client.request(RemoveVoterRequest {
        request_id: repeat.request_id.clone(),
        node_id: args.voter,
        market: args.market.unwrap_or_default(),
    });
    let answer = context.client.cluster().remove_voter(request).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |terminal| show::node::voters(&answer.documents, terminal))?;
    Ok(Exit::Done)
}

pub async fn lease(context: Context<'_, '_>, market: Option<String>) -> Result<Exit, Failure> {
    let request = ListLeasesRequest { market: market.unwrap_or_default() };
    let answer = context.client.cluster().list_leases(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::lease::leases(&answer.leases, terminal))?;
    Ok(Exit::Done)
}

pub async fn transfer_lease(context: Context<'_, '_>, market: String, to: String) -> Result<Exit, Failure> {
    let request = TransferLeaseRequest { market, node_id: to };
    let answer = context.client.cluster().transfer_lease(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |terminal| show::lease::leases(answer.lease.as_slice(), terminal))?;
    Ok(Exit::Done)
}

pub async fn upgrade(context: Context<'_, '_>, args: UpgradeArgs) -> Result<Exit, Failure> {
    let UpgradeArgs { market, format } = args;
    let request = UpgradeDocumentRequest { market: market.clone(), format: format.unwrap_or_default() };
    let answer = context.client.cluster().upgrade_document(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
    context.output.show(&answer, |_| {
        format!("{market} has format {} in generation {}.\n", answer.format, answer.generation)
    })?;
    Ok(Exit::Done)
}
