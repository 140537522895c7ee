//! Whole runs of `xcli` against a fake node: what is sent, what is shown, and the exit code.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod fake_node;

use std::time::Duration;

use xcli::{Exit, Terminal};

struct Run {
    exit: Exit,
    out: String,
    err: String,
}

async fn xcli(node: &str, line: &str) -> Run {
    let line = format!("xcli {line} --node {node}");
    let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let cli = xcli::parse(&args).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = xcli::run(cli, &args, Terminal::NONE, &mut out, &mut err).await;
    Run { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn an_order_is_sent_as_it_was_said() {
    let node = fake_node::start().await;
    let run = xcli(&node, "sell 5 A/B 10.5 --account alice --request-id r1 --expires 1h -o json").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::Done, ""));
    let order = &json(&run.out)["order"];
    for (field, expected) in [
        ("market", "A/B"),
        ("account", "alice"),
        ("request_id", "r1"),
        ("side", "SIDE_SELL"),
        ("type", "ORDER_TYPE_LIMIT"),
        ("time_in_force", "TIME_IN_FORCE_GTD"),
        ("price", "10.5"),
        ("quantity", "5"),
    ] {
        assert_eq!(order[field], expected, "{field}");
    }
}

#[tokio::test]
async fn the_next_node_is_asked_where_one_does_not_answer() {
    let node = fake_node::start().await;
    let run = xcli(&format!("127.0.0.1:1,{node}"), "buy 5 A/B mkt").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::Done, ""), "nothing was sent to the first");
    let run = xcli("127.0.0.1:1,127.0.0.1:2", "buy 5 A/B mkt").await;
    assert_eq!(run.exit, Exit::Unreachable);
    assert!(run.err.contains("no node answers at http://127.0.0.1:1 or http://127.0.0.1:2"), "{}", run.err);
}

#[tokio::test]
async fn what_a_lost_node_was_asked_is_asked_again_under_the_same_name() {
    let node = fake_node::start().await;
    // It takes the connection and ends it at the first words.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    let listening = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.readable().await.unwrap();
        }
    });
    let run = xcli(&format!("{gone},{node}"), "buy 5 A/B 10 --request-id r1 -o json").await;
    assert_eq!((run.exit, json(&run.out)["order"]["request_id"].as_str()), (Exit::Done, Some("r1")));
    let run = xcli(&format!("{gone},{node}"), "buy 5 A/B mkt").await;
    assert_eq!(run.exit, Exit::Done);
    assert!(
        run.err.starts_with("note: ") && run.err.ends_with(&format!("{node} is asked now\n")),
        "{}",
        run.err
    );
    // With nobody else to ask, the outcome is unknown, and how to learn it is said.
    let run = xcli(&gone.to_string(), "buy 5 A/B mkt").await;
    assert_eq!(run.exit, Exit::OutcomeUnknown, "{}", run.err);
    listening.abort();
}

#[tokio::test]
async fn an_order_is_answered_in_a_sentence() {
    let node = fake_node::start().await;
    let run = xcli(&node, "buy 5 A/B mkt").await;
    assert_eq!(run.out, "Order 0000000000007f3a-1 is open: buy 5 A/B at mkt.\n");
}

#[tokio::test]
async fn a_request_id_is_drawn_for_each_order() {
    let node = fake_node::start().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let run = xcli(&node, "buy 5 A/B 10 -o json").await;
        ids.push(json(&run.out)["order"]["request_id"].as_str().unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 32));
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_rejected_order_is_an_answer_with_exit_code_1() {
    let node = fake_node::start().await;
    let run = xcli(&node, "buy 5 POST/ONLY 10 --post-only").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::Refused, ""));
    assert!(run.out.contains("was rejected because it is post-only"), "{}", run.out);
}

#[tokio::test]
async fn a_book_is_read_to_its_last_page() {
    let node = fake_node::start().await;
    let run = xcli(&node, "book A/B --orders --all").await;
    let expected = "\
A/B at position 6
side  price  quantity  priority  order
buy      10         1         1  a
buy      10         1         2  b
buy       9         1         1  c
buy       9         1         2  d
It was read in 2 pages, from position 5 to 6: what changed meanwhile may be missing.
";
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, expected));
    let run = xcli(&node, "book A/B --orders --depth 1 -o json").await;
    assert_eq!(json(&run.out)["bids"].as_array().unwrap().len(), 1);
    assert_eq!(json(&run.out)["bids"][0]["orders"][1]["order_id"], "b");
}

#[tokio::test]
async fn what_an_answer_had_no_room_for_is_told_with_the_way_to_it() {
    let node = fake_node::start().await;
    let run = xcli(&node, "buy 5 SWEEP/X 10").await;
    let line = format!(
        "It has more fills than are shown: see all with `xcli fills SWEEP/X --order 0000000000007f3a-1 --limit \
         500000 --node {node}`.\n"
    );
    assert!(run.exit == Exit::Done && run.out.ends_with(&line), "{}", run.out);
    let run = xcli(&node, "cancel-all A/B").await;
    let expected = format!(
        "Cancelled 30000 orders in A/B:\n  a-1\n  a-2\nand 29998 more: see them with `xcli orders A/B --all --limit \
         30000 --node {node}`.\n"
    );
    assert_eq!((run.exit, run.out), (Exit::Done, expected));
}

#[tokio::test]
async fn a_switch_and_a_kill_say_what_they_do() {
    let node = fake_node::start().await;
    let run = xcli(&node, "cancel-all-after A/B 30s").await;
    let expected = "All your orders in A/B are cancelled at 1970-01-01 00:01:00.000 (UTC) unless you say this again before.\n";
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, expected));
    let run = xcli(&node, "kill A/B").await;
    let expected = "The account places no more orders in A/B.\nCancelled 1 order in A/B:\n  a-1\n";
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, expected));
    let run = xcli(&node, "kill all --lift").await;
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, "The account may trade again in all markets.\n"));
    let run = xcli(&node, "market state A/B cancel-only").await;
    assert_eq!(
        (run.exit, run.out.as_str()),
        (Exit::Done, "A/B is cancel only now. 2 orders ended with it.\n")
    );
    let run =
        xcli(&node, "market update GRID/X --dynamic-band 500 --sessions 09:00=continuous,17:30=closed").await;
    let expected = "\
market        GRID/X
tick size     0.03
lot size      0.3
minimum       0.3
day ends      00:00 UTC
dynamic band  500 bp around the last trade
sessions      09:00 continuous, 17:30 closed
";
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, expected));
    let run = xcli(&node, "market delist A/B").await;
    assert_eq!((run.exit, run.out.as_str()), (Exit::Done, "A/B is delisted now. 2 orders ended with it.\n"));
}

#[tokio::test]
async fn an_invalid_order_is_explained() {
    let node = fake_node::start().await;
    let run = xcli(&node, "buy 5 OFF/TICK 10.005").await;
    assert_eq!((run.exit, run.out.as_str()), (Exit::Invalid, ""));
    assert_eq!(
        run.err,
        "error: the price is off the market's grid (field order.price, value 10.005, limit 0.01) [OFF_TICK]\n  \
         `xcli market show NAME --node NODE` shows a market's grid and limits\n"
            .replace("NODE", &node)
    );
    let run = xcli(&node, "buy 5 OFF/TICK 10.005 -o json").await;
    assert_eq!(json(&run.err)["error"]["reason"], "OFF_TICK");
}

#[tokio::test]
async fn a_lost_answer_tells_how_to_repeat_the_order() {
    let node = fake_node::start().await;
    for line in ["buy 5 SLOW/X 10 --timeout 100ms", "buy 5 LOST/X 10"] {
        let run = xcli(&node, line).await;
        assert_eq!(run.exit, Exit::OutcomeUnknown, "{line}: {}", run.err);
        let repeat = format!("repeat: xcli {line} --node {node} --request-id ");
        assert!(run.err.contains(&repeat), "{}", run.err);
    }
}

#[tokio::test]
async fn a_node_that_has_just_started_is_asked_again_for_a_while() {
    let node = fake_node::start().await;
    let note = "note: this node has just started: ask again; it is asked again for up to 10s\n";
    let run = xcli(&node, "buy 5 SOON/X 10").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::Done, note), "told once, however often it is asked");
    assert!(run.out.contains("is open"), "{}", run.out);

    let least = std::pin::pin!(tokio::time::sleep(Duration::from_millis(600)));
    let run = xcli(&node, "buy 5 NEVER/X 10 --patience 600ms");
    let run = tokio::time::timeout(Duration::from_secs(9), run).await.unwrap();
    assert!(tokio::time::timeout(Duration::ZERO, least).await.is_ok(), "it gave up early");
    assert_eq!((run.exit, run.out.as_str()), (Exit::Unreachable, ""));
    assert!(run.err.contains("up to 600ms\nerror: this node has just started"), "{}", run.err);
    // It took nothing, so there is nothing to resolve.
    assert!(!run.err.contains("outcome"), "{}", run.err);

    let run = xcli(&node, "buy 5 NEVER/X 10 --patience 0s").await;
    assert!(run.exit == Exit::Unreachable && !run.err.contains("note:"), "{}", run.err);
    let run = xcli(&node, "buy 5 NEVER/X 10 --patience 300ms -o json").await;
    let lines: Vec<_> = run.err.lines().map(json).collect();
    assert!(lines[0]["note"].as_str().unwrap().ends_with("up to 300ms"), "{}", run.err);
    assert_eq!(lines[1]["error"]["reason"], "STARTING");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_told_from_a_lost_answer() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let run = xcli(&node, "buy 5 A/B 10").await;
    assert_eq!(run.exit, Exit::Unreachable);
    assert!(run.err.starts_with(&format!("error: no node answers at {node} (")), "{}", run.err);
    assert!(run.err.contains("xnode run"), "{}", run.err);
}

#[tokio::test]
async fn other_refusals_have_their_codes() {
    let node = fake_node::start().await;
    for (line, exit, words) in [
        ("market create A/B --tick 1 --lot 1", Exit::Invalid, "a market of this name exists [MARKET_EXISTS]"),
        ("order A/B 1-1", Exit::Internal, "another version"),
    ] {
        let run = xcli(&node, line).await;
        assert_eq!(run.exit, exit, "{line}");
        assert!(run.err.contains(words), "{}", run.err);
    }
}

#[tokio::test]
async fn the_nodes_are_listed() {
    let node = fake_node::start().await;
    let run = xcli(&node, "nodes").await;
    assert_eq!(
        run.out,
        "node              address        votes on         state\n\
         0000000000007f3a  10.0.0.1:7001  all 2 documents  this node\n\
         0000000000007f3b  10.0.0.2:7001  nothing          not connected\n\
         0000000000007f3c  127.0.0.1:1    nothing          connected\n\
         warning: the clock of node 0000000000007f3c is 7.2 s behind the majority's: set it right, or orders \
         that are placed there expire too early or too late\n"
    );
    let run = xcli(&node, "invite --uses 2 --expires 2m").await;
    assert_eq!(
        run.out,
        "Until 1970-01-01 00:02:00.000 (UTC) 2 new nodes may join:\n  \
         xnode run --join 10.0.0.1:7101 --join-token 00112233445566778899aabbccddeeff\n"
    );
    let run = xcli(&node, "remove-node 0000000000007f3b").await;
    assert_eq!(run.out, "Forgot node 0000000000007f3b.\n");
}

#[tokio::test]
async fn voters_come_and_go() {
    let node = fake_node::start().await;
    let run = xcli(&node, "voter add 0000000000007f3c --market A/B").await;
    assert_eq!(
        run.out,
        "document  generation  voters\n\
         A/B                1  0000000000007f3a\n                      0000000000007f3c\n"
    );
    assert_eq!((run.exit, run.err.as_str()), (Exit::Done, ""));
    let run = xcli(&node, "voter remove 0000000000007f3a").await;
    assert!(run.err.contains("[LAST_VOTER]"), "{}", run.err);
}

#[tokio::test]
async fn leases_are_shown_and_handed_over() {
    let node = fake_node::start().await;
    let run = xcli(&node, "lease A/B").await;
    assert_eq!(
        run.out,
        "document  term  holder            state  promised by\n\
         A/B          3  0000000000007f3a  held   0000000000007f3a\n                                         \
         0000000000007f3b\n                                         of 2 voters\n"
    );
    let run = xcli(&node, "lease transfer A/B 0000000000007f3b -o json").await;
    assert_eq!(json(&run.out)["lease"]["holder"], "0000000000007f3b", "{}", run.err);
}

#[tokio::test]
async fn a_document_goes_on_in_a_newer_format() {
    let node = fake_node::start().await;
    let run = xcli(&node, "upgrade A/B").await;
    assert_eq!(run.out, "A/B has format 2 in generation 7.\n", "{}", run.err);
    let run = xcli(&node, "upgrade directory --format 1 -o json").await;
    assert_eq!(json(&run.out)["format"], 1, "{}", run.err);
    let run = xcli(&node, "upgrade A/B --format 3").await;
    assert_eq!(run.out, "");
    assert!(run.err.contains("[FORMAT_UNREADY]") && run.err.contains("xcli node"), "{}", run.err);
}

#[tokio::test]
async fn empty_lists_say_so_to_people_and_are_empty_to_programs() {
    let node = fake_node::start().await;
    let run = xcli(&node, "market list --account nobody").await;
    assert!(run.out.contains("There are no markets yet."), "{}", run.out);
    let run = xcli(&node, "orders A/B -o json").await;
    assert_eq!(run.out, "{\"orders\":[],\"next_page_token\":\"\",\"position\":0}\n");
}

#[tokio::test]
async fn trades_are_followed_over_lost_connections_without_gap_or_repeat() {
    let node = fake_node::start().await;
    let run = xcli(&node, "trades A/B --watch -o json").await;
    assert_eq!(run.exit, Exit::Invalid, "{}", run.err);
    let positions: Vec<u64> =
        run.out.lines().map(|line| json(line)["trade"]["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [10, 20, 30, 31]);
    assert_eq!(run.err.matches("interrupted").count(), 2, "{}", run.err);
    // The third opening ends before it says anything.
    assert_eq!(run.err.matches("{\"note\":\"reconnected: it goes on").count(), 1, "{}", run.err);
}

#[tokio::test]
async fn updates_resume_after_the_heartbeat() {
    let node = fake_node::start().await;
    let run = xcli(&node, "updates A/B").await;
    assert_eq!(run.exit, Exit::Invalid, "{}", run.err);
    assert!(run.out.contains("0000000000007f3a-4"), "{}", run.out);
}

#[tokio::test]
async fn a_gap_in_the_book_is_closed_by_a_new_snapshot() {
    let node = fake_node::start().await;
    let run = xcli(&node, "book A/B --watch").await;
    assert_eq!(run.exit, Exit::Invalid, "{}", run.err);
    let lines: Vec<String> =
        run.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "5 buy 10 75 in 1 order",
            "6 buy 10 60 in 1 order",
            "8 the whole book anew: what is not listed now is gone",
            "8 buy 10 2 in 1 order",
        ]
    );
    assert!(run.err.contains("a change is missing"), "{}", run.err);
    assert!(run.err.contains("note: reconnected: the whole book follows"), "{}", run.err);
}

#[tokio::test]
async fn a_market_that_is_not_right_is_told_by_the_exit_code() {
    let node = fake_node::start().await;
    let run = xcli(&node, "verify A/B").await;
    assert_eq!(run.exit, Exit::Internal);
    assert!(run.out.contains("WRONG: it differs\n"), "{}", run.out);
}

#[tokio::test]
async fn a_market_that_was_not_verified_as_a_whole_is_told_by_another_exit_code() {
    let node = fake_node::start().await;
    let run = xcli(&node, "verify AWAY/X").await;
    assert_eq!(run.exit, Exit::Incomplete);
    assert!(run.out.contains("NOT VERIFIED: node 1 was not reached: it is silent\n"), "{}", run.out);
    assert!(!run.out.contains("nothing is wrong"), "{}", run.out);
    let json = xcli(&node, "verify AWAY/X --output json").await;
    assert_eq!(json.exit, Exit::Incomplete);
    for words in ["\"passed\":false", "VERIFY_VERDICT_INCOMPLETE", "\"unverified\":[\"node 1"] {
        assert!(json.out.contains(words), "{words} in {}", json.out);
    }
}

#[tokio::test]
async fn a_pending_order_tells_until_when_it_may_trade_and_how_to_withdraw_it() {
    let node = fake_node::start().await;
    let run = xcli(&node, "buy 5 PENDING/X mkt --account alice --timeout 7s").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::OutcomeUnknown, ""));
    let id = "0000000000007f3a-1";
    // Options stand as they were given last, whatever their order was.
    let options = format!("--node {node} --account alice");
    assert_eq!(
        run.out,
        format!(
            "Order {id} is on the node's disk and waits for its turn: buy 5 PENDING/X at mkt.\n\
             It may still trade, until about 1970-01-02 00:00:07.000 UTC: if its turn comes later, it expires. \
             Withdraw it with `xcli cancel PENDING/X {id} {options}`.\n\
             See what becomes of it with `xcli order PENDING/X {id} {options}`.\n"
        )
    );
    for line in ["buy 5 PENDING/X 10 --tif ioc", "buy 5 PENDING/X 10 --tif fok"] {
        let run = xcli(&node, line).await;
        assert!(run.out.contains("until about 1970-01-02 00:00:10.000 UTC"), "{}", run.out);
    }
    let run = xcli(&node, "buy 5 LOST/X mkt").await;
    assert!(run.err.contains("`xcli cancel LOST/X ID --node "), "{}", run.err);
}

#[tokio::test]
async fn a_withdrawn_order_can_not_trade_any_more() {
    let node = fake_node::start().await;
    let run = xcli(&node, "cancel PENDING/X 0000000000007f3a-1").await;
    assert_eq!((run.exit, run.err.as_str()), (Exit::Done, ""));
    assert_eq!(
        run.out,
        "Order 0000000000007f3a-1 is withdrawn: it can't trade any more. It is shown as cancelled once its turn \
         has come.\n"
    );
    let run = xcli(&node, "cancel PENDING/X 0000000000007f3a-1 -o json").await;
    assert_eq!(json(&run.out)["withdrawn"], true);
}

#[tokio::test]
async fn an_amend_to_what_is_filled_names_both() {
    let node = fake_node::start().await;
    let run = xcli(&node, "amend A/B 0000000000007f3a-1 --quantity 30").await;
    assert_eq!((run.exit, run.out.as_str()), (Exit::Refused, ""));
    assert!(
        run.err.starts_with(
            "error: total_quantity is \"30\": must be above 40, which are filled (field total_quantity) [BELOW_FILLED]\n"
        ) || run.err.starts_with(
            "error: total_quantity is \"30\": must be above 40, which are filled [BELOW_FILLED]\n"
        ),
        "{}",
        run.err
    );
    assert!(run.err.contains(&format!("`xcli cancel MARKET ORDER --node {node}` ends it")), "{}", run.err);
}

#[tokio::test]
async fn examples_are_on_the_grid_of_their_market_and_go_to_the_same_node() {
    let node = fake_node::start().await;
    let run = xcli(&node, "market create GRID/X --tick 0.03 --lot 0.3 --account bob").await;
    let example = format!("`xcli buy 0.3 GRID/X 0.03 --node {node} --account bob`");
    assert!(run.out.starts_with(&format!("Created GRID/X. Place an order with {example}.\n")), "{}", run.out);
    let run = xcli(&node, "orders GRID/X").await;
    assert!(run.out.contains(&format!("`xcli buy 0.3 GRID/X 0.03 --node {node}`")), "{}", run.out);
}

#[tokio::test]
async fn a_stream_pads_prices_to_the_tick_and_json_does_not() {
    let node = fake_node::start().await;
    let run = xcli(&node, "book GRID/X --watch").await;
    assert!(run.out.contains("10.00  75 in 1 order\n"), "{}", run.out);
    let node = fake_node::start().await;
    let run = xcli(&node, "book GRID/X --watch -o json").await;
    assert!(run.out.contains("\"price\":\"10\""), "{}", run.out);
}

#[tokio::test]
async fn a_node_that_is_down_becomes_a_voter_by_force_only() {
    let node = fake_node::start().await;
    let line = "voter add 0000000000007f3b --market A/B";
    let run = xcli(&node, line).await;
    assert_eq!((run.exit, run.out.as_str()), (Exit::Refused, ""));
    assert!(run.err.starts_with("error: node 0000000000007f3b is not connected"), "{}", run.err);
    assert!(run.err.contains(&format!("xcli {line} --node {node} --force\n")), "{}", run.err);
    let run = xcli(&node, &format!("{line} --force")).await;
    assert_eq!(run.exit, Exit::Done);
    assert!(run.err.starts_with("note: node 0000000000007f3b is not connected"), "{}", run.err);
    assert!(run.out.contains("0000000000007f3b"), "{}", run.out);
}
