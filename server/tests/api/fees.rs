//! What fills cost.

use xbook_proto::v1::{self, Side};

use super::session::{Session, place};
use super::support::{MARKET, Served, buy, by, create_request, sell};

/// BTC/USDT with a rebate for makers.
async fn charging() -> Served {
    let mut served = Served::empty().await;
    let request = create_request(MARKET);
    let rules = v1::MarketRules {
        maker_fee_bp: "-1.50".into(),
        taker_fee_bp: "7.5".into(),
        fee_step: "0.0001".into(),
        ..request.rules.unwrap()
    };
    let request = v1::CreateMarketRequest { rules: Some(rules), ..create_request(MARKET) };
    let made =
        served.cluster.create_market(request).await.unwrap().into_inner().market.unwrap().rules.unwrap();
    assert_eq!((made.maker_fee_bp.as_str(), made.taker_fee_bp.as_str()), ("-1.5", "7.5"));
    assert_eq!(made.fee_step, "0.0001");
    served
}

async fn position(served: &Served, account: &str) -> v1::MarketPosition {
    let request = v1::ListPositionsRequest { market: MARKET.into(), at_least: 0 };
    let answer = served.trading.clone().list_positions(by(account, request)).await.unwrap();
    answer.into_inner().positions.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fill_is_charged_in_answers_lists_streams_and_positions_also_after_a_restart() {
    let mut served = charging().await;
    // 1.000 at 10.01 and 0.333 at 10.02: values 10.01 and 3.33666.
    served.place_as("maker", sell("1", "10.01", "1")).await.unwrap();
    served.place_as("maker", sell("2", "10.02", "1")).await.unwrap();
    let placed = served.place(buy("3", "11", "1.333")).await.unwrap();
    let fees: Vec<&str> = placed.fills.iter().map(|fill| fill.fee.as_str()).collect();
    // 0.0075075 and 0.002502495, each rounded up.
    assert_eq!(fees, ["0.0076", "0.0026"]);
    let mut session = Session::open(&served, "s").await.unwrap();
    let results = session.run(vec![place(Side::Buy, "11", "0.1")]).await;
    // 1.002 costs 0.0007515.
    assert_eq!(results[0].fills[0].fee, "0.0008");

    let served = Served::on(served.end().await).await;
    let request = v1::ListFillsRequest { market: MARKET.into(), ..Default::default() };
    let listed = served.trading.clone().list_fills(by("maker", request)).await.unwrap().into_inner().fills;
    // -0.0001503, -0.000500499 and -0.0015015, newest first, each rounded up.
    let fees: Vec<&str> = listed.iter().map(|fill| fill.fee.as_str()).collect();
    assert_eq!(fees, ["-0.0001", "-0.0005", "-0.0015"]);
    assert_eq!(position(&served, "maker").await.fees, "-0.0021");
    assert_eq!(position(&served, "main").await.fees, "0.011");
    served.end().await;
}
