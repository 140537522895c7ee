use std::time::{Duration, UNIX_EPOCH};

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
}

fn place(line: &str) -> PlaceArgs {
    match parse(line).unwrap().command {
        Command::Buy(args) | Command::Sell(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_well_made() {
    Cli::command().debug_assert();
}

#[test]
fn an_order_reads_as_it_is_said() {
    let args = place("xcli buy 100 BTC/USDT 10.5 --tif ioc");
    assert_eq!((args.quantity.as_str(), args.market.as_str()), ("100", "BTC/USDT"));
    assert_eq!(args.price, Price::Limit("10.5".to_owned()));
    assert_eq!(args.tif, Some(Tif::Ioc));
    assert_eq!(place("xcli sell 1 BTC/USDT mkt").price, Price::Market);
}

#[test]
fn what_few_orders_ask_for_reads_as_it_is_said() {
    let args = place("xcli buy 3 BTC/USDT mtl --min 1 --tif day --self-trade cancel-maker");
    assert_eq!(
        (args.price, args.min.as_deref(), args.tif),
        (Price::MarketToLimit, Some("1"), Some(Tif::Day))
    );
    assert_eq!(args.self_trade, Some(SelfTradeArg::CancelMaker));
    assert!(place("xcli sell 3 BTC/USDT 9 --slide").slide);
    let iceberg = place("xcli sell 9 BTC/USDT 9 --show 3 --client-id k");
    assert_eq!((iceberg.show.as_deref(), iceberg.client_id.as_deref()), (Some("3"), Some("k")));
    match parse("xcli replace --by-client-id k sell 4 BTC/USDT 99 --slide --client-id k").unwrap().command {
        Command::Replace(args) => {
            assert_eq!((args.replaced.as_str(), args.by_client_id, args.side), ("k", true, SideArg::Sell));
            assert_eq!((args.place.quantity.as_str(), args.place.slide), ("4", true));
        }
        other => panic!("{other:?}"),
    }
    match parse("xcli cancel BTC/USDT --client-id k").unwrap().command {
        Command::Cancel(args) => {
            assert_eq!((args.named.order, args.named.client_id), (None, Some("k".into())))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(place("xcli buy 3 BTC/USDT mkt --protection 11").protection.as_deref(), Some("11"));
    let rules = "xcli market create A/B --tick 1 --lot 1 --self-trade allow --protection-bp 300 --day-end 17:30 \
         --maker-fee -1.5";
    match parse(rules).unwrap().command {
        Command::Market(MarketCommand::Create(args)) => {
            let args = args.rules;
            assert_eq!(args.self_trade, Some(DefaultSelfTradeArg::Allow));
            assert_eq!((args.protection_bp, args.day_end), (Some(300), Some(1_050)));
            assert_eq!((args.maker_fee.as_deref(), args.taker_fee), (Some("-1.5"), None));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn sessions_and_auctions_of_a_market_are_read() {
    let update = "xcli market update A/B --sessions 08:50=auction,09:00=post-only --volatility-auction off \
         --auction-extension 90s";
    match parse(update).unwrap().command {
        Command::Market(MarketCommand::Update(args)) => {
            let expected = [(530, MarketStateArg::Auction), (540, MarketStateArg::PostOnly)];
            assert_eq!((args.rules.sessions.as_slice(), args.no_sessions), (&expected[..], false));
            assert_eq!(args.rules.volatility_auction, Some(Duration::ZERO));
            assert_eq!(args.rules.auction_extension, Some(Duration::from_secs(90)));
            assert_eq!((args.rules.maker_fee, args.rules.day_end), (None, None));
        }
        other => panic!("{other:?}"),
    }
    for wrong in ["09:00", "09:00=delisted", "9:00=closed", "24:00=closed"] {
        assert!(parse(&format!("xcli market update A/B --sessions {wrong}")).is_err(), "{wrong}");
    }
}

#[test]
fn a_switch_waits_for_at_most_a_day_or_is_off() {
    let after = |text: &str| match parse(&format!("xcli cancel-all-after A/B {text}")) {
        Ok(Cli { command: Command::CancelAllAfter(args), .. }) => Some(args.after.as_secs()),
        _ => None,
    };
    for (text, seconds) in
        [("off", Some(0)), ("30s", Some(30)), ("1day", Some(86_400)), ("2days", None), ("0s", None)]
    {
        assert_eq!(after(text), seconds, "{text}");
    }
}

#[test]
fn odd_numbers_are_left_to_the_node() {
    let args = place("xcli buy -5 BTC/USDT -1.5");
    assert_eq!(args.quantity, "-5");
    assert_eq!(args.price, Price::Limit("-1.5".to_owned()));
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    use clap::error::ErrorKind::*;
    for (line, kind) in [
        ("xcli buy 100 BTC/USDT", MissingRequiredArgument),
        ("xcli buy 100 BTC/USDT 10 --tif gtd", MissingRequiredArgument),
        ("xcli buy 100 BTC/USDT 10 --tif week", InvalidValue),
        ("xcli buy 100 BTC/USDT 10 --expires soon", ValueValidation),
        ("xcli buy 100 BTC/USDT 10 --slide --min 1", ArgumentConflict),
        ("xcli buy 100 BTC/USDT 10 --self-trade allow", InvalidValue),
        ("xcli amend BTC/USDT 1-1", MissingRequiredArgument),
        ("xcli amend BTC/USDT --quantity 5", MissingRequiredArgument),
        ("xcli cancel BTC/USDT 1-1 --client-id k", ArgumentConflict),
        ("xcli amend BTC/USDT 1-1 --quantity 5 --open 4", ArgumentConflict),
        ("xcli book BTC/USDT --orders --watch", ArgumentConflict),
        ("xcli book BTC/USDT --depth 0", ValueValidation),
        ("xcli trades BTC/USDT --before 5 --watch", ArgumentConflict),
        ("xcli candles BTC/USDT --interval 7m", InvalidValue),
        ("xcli subscribe BTC/USDT", ValueValidation),
        ("xcli node --timeout 0s", ValueValidation),
        ("xcli node --node https://example.org", ValueValidation),
        ("xcli node --node http://", ValueValidation),
    ] {
        assert_eq!(parse(line).map(|cli| cli.command).unwrap_err(), kind, "{line}");
    }
}

#[test]
fn global_options_may_stand_anywhere() {
    let cli = parse("xcli --timeout 500ms node --node localhost:9 --account alice -o json").unwrap();
    assert_eq!(cli.global.node[0].as_str(), "http://localhost:9");
    assert_eq!(cli.global.account, "alice");
    assert_eq!(cli.global.timeout, Duration::from_millis(500));
    assert_eq!(cli.global.output, Format::Json);
}

#[test]
fn a_nodes_scheme_and_port_may_be_left_out() {
    for (given, url) in [
        ("node2", "http://node2:7001"),
        ("10.0.0.1", "http://10.0.0.1:7001"),
        ("10.0.0.1:80", "http://10.0.0.1:80"),
        ("[::1]", "http://[::1]:7001"),
        ("http://node2/", "http://node2:7001"),
        ("http://node2:9", "http://node2:9"),
    ] {
        assert_eq!(given.parse::<NodeUrl>().unwrap().as_str(), url, "{given}");
    }
    for given in ["", "http://", "ftp://a:1", "a:1/path", "me@a:1", "a b"] {
        assert!(given.parse::<NodeUrl>().is_err(), "{given}");
    }
}

#[test]
fn an_amend_needs_a_price_or_one_size() {
    for line in [
        "xcli amend BTC/USDT 1-1 --price 9",
        "xcli amend BTC/USDT 1-1 --quantity 5",
        "xcli amend BTC/USDT 1-1 --price 9 --open 5",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn an_expiry_is_a_time_or_a_duration_from_now() {
    let now = UNIX_EPOCH + Duration::from_micros(1_000_000_001_234);
    let resolved = |text: &str| text.parse::<Expiry>().unwrap().resolve(now).to_string();
    assert_eq!(resolved("10m"), "1970-01-12T13:56:40.001Z");
    assert_eq!(resolved("2030-01-31T12:00:00+01:00"), "2030-01-31T11:00:00Z");
    assert!("1000000y".parse::<Expiry>().is_err());
}

#[test]
fn a_time_of_day_is_two_numbers_of_two_digits() {
    use super::values::minute_of_day;
    assert_eq!(minute_of_day("00:00"), Ok(0));
    assert_eq!(minute_of_day("23:59"), Ok(1_439));
    for text in ["", "24:00", "1:00", "10:60", "+1:00", "10-00", "10:000"] {
        assert!(minute_of_day(text).is_err(), "{text}");
    }
}
