//! `cancel-all-after`, `kill`: the verbs that protect an account from its own orders.

use xbook_proto::v1::{
    AccountLimits, CancelAllAfterRequest, CancelAllAfterResponse, CancelAllOrdersResponse,
    GetAccountLimitsRequest, KillAccountRequest, KillAccountResponse, SetAccountLimitsRequest,
};

use super::Context;
use super::trading::{ALL, cancelled};
use crate::args::{CancelAllAfterArgs, KillArgs, LimitsArgs};
use crate::failure::{Exit, Failure};
use crate::show::words;

pub async fn cancel_all_after(context: Context<'_, '_>, args: CancelAllAfterArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    // At most a day.
    let seconds = args.after.as_secs().cast_signed();
    let timeout = prost_types::Duration { seconds, nanos: args.after.subsec_nanos().cast_signed() };
    let request = CancelAllAfterRequest {
        request_id: repeat.request_id.clone(),
        market: named(&args.market),
        timeout: Some(timeout),
    };
    let answer = context.client.trading().cancel_all_after(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| armed(&args.market, &answer))?;
    Ok(Exit::Done)
}

pub async fn kill(context: Context<'_, '_>, args: KillArgs) -> Result<Exit, Failure> {
    let repeat = context.repeat(args.request, None);
    let request = KillAccountRequest {
        request_id: repeat.request_id.clone(),
        market: named(&args.market),
        lift: args.lift,
    };
    let answer = context.client.trading().kill_account(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| killed(&args.market, args.lift, &answer))?;
    Ok(Exit::Done)
}

pub async fn limits(context: Context<'_, '_>, args: LimitsArgs) -> Result<Exit, Failure> {
    let market = args.market;
    if !args.set {
        let request = GetAccountLimitsRequest { market: market.clone(), at_least: 0 };
        let answer = context.client.trading().get_account_limits(context.client.request(request)).await;
        let answer = answer.map_err(|status| Failure::of_read(&status))?.into_inner();
        context.output.show(&answer, |_| limited(&market, answer.limits.as_ref()))?;
        return Ok(Exit::Done);
    }
    let repeat = context.repeat(args.request, None);
    let limits = AccountLimits {
        max_quantity: args.quantity.unwrap_or_default(),
        max_notional: args.notional.unwrap_or_default(),
        max_open_orders: args.orders.unwrap_or_default(),
    };
    let request = SetAccountLimitsRequest {
        request_id: repeat.request_id.clone(),
        market: market.clone(),
        limits: Some(limits),
    };
    let answer = context.client.trading().set_account_limits(context.client.request(request)).await;
    let answer = answer.map_err(|status| Failure::of_change(&status, &repeat))?.into_inner();
    context.output.show(&answer, |_| limited(&market, answer.limits.as_ref()))?;
    Ok(Exit::Done)
}

fn limited(market: &str, limits: Option<&AccountLimits>) -> String {
    let AccountLimits { max_quantity, max_notional, max_open_orders } = limits.cloned().unwrap_or_default();
    let said = [
        (!max_quantity.is_empty()).then(|| format!("of at most {max_quantity}")),
        (!max_notional.is_empty()).then(|| format!("worth at most {max_notional}")),
        (max_open_orders > 0).then(|| format!("at most {max_open_orders} of them open")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    match said.as_slice() {
        [] => format!("Your orders in {market} have no limits of your own.\n"),
        said => format!("Your orders in {market}: {}.\n", said.join(", ")),
    }
}

fn named(market: &str) -> String {
    if market == ALL { String::new() } else { market.to_owned() }
}

fn place(market: &str) -> String {
    if market == ALL { "all markets".to_owned() } else { market.to_owned() }
}

fn armed(market: &str, answer: &CancelAllAfterResponse) -> String {
    let of_each = answer.markets.iter().filter_map(|of| of.fire_time);
    let first = answer.fire_time.into_iter().chain(of_each).min_by_key(|at| (at.seconds, at.nanos));
    match first {
        None => format!("The switch is off in {}: your orders stay.\n", place(market)),
        Some(at) => format!(
            "All your orders in {} are cancelled at {} (UTC) unless you say this again before.\n",
            place(market),
            words::time(Some(&at))
        ),
    }
}

fn killed(market: &str, lift: bool, answer: &KillAccountResponse) -> String {
    if lift {
        return format!("The account may trade again in {}.\n", place(market));
    }
    let KillAccountResponse { order_ids, position, count, markets } = answer.clone();
    let orders = CancelAllOrdersResponse { order_ids, position, count, markets };
    let stopped = format!("The account places no more orders in {}.\n", place(market));
    if count == 0 { stopped } else { stopped + &cancelled(market, &orders) }
}

#[cfg(test)]
mod tests {
    use xbook_proto::v1::MarketSwitch;

    use super::*;

    #[test]
    fn an_answer_says_until_when_or_that_it_is_off() {
        let fire_time = Some(prost_types::Timestamp { seconds: 30, nanos: 0 });
        let one = CancelAllAfterResponse { fire_time, ..Default::default() };
        assert!(armed("A/B", &one).contains("1970-01-01 00:00:30"), "{}", armed("A/B", &one));
        let each = |fire_time| MarketSwitch { market: "A/B".into(), fire_time, position: 1 };
        let all = CancelAllAfterResponse { markets: vec![each(None), each(fire_time)], ..Default::default() };
        assert!(armed(ALL, &all).contains("all markets are cancelled at 1970"));
        assert!(armed(ALL, &CancelAllAfterResponse::default()).contains("off in all markets"));
    }

    #[test]
    fn limits_are_said_in_a_sentence() {
        let limits = AccountLimits { max_quantity: "5".into(), max_open_orders: 9, ..Default::default() };
        assert_eq!(
            limited("A/B", Some(&limits)),
            "Your orders in A/B: of at most 5, at most 9 of them open.\n"
        );
        assert!(limited("A/B", None).contains("no limits of your own"));
    }

    #[test]
    fn a_kill_names_what_was_cancelled() {
        let answer = KillAccountResponse { order_ids: vec!["a-1".into()], count: 1, ..Default::default() };
        assert!(killed("A/B", false, &answer).contains("a-1"));
        assert!(killed("A/B", true, &KillAccountResponse::default()).contains("may trade again"));
    }
}
