//! Each file of a data directory, damaged in each of six ways after several generations. A node on it is refused by
//! name, or quarantines what it is about, or shows all that was acknowledged, or says AWAY. It never shows less.
//!
//! The short form is a part of the tests; `XBOOK_DAMAGE=long` takes every file and every way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_decimal::Decimal;
use tempfile::TempDir;
use tonic::{Code, Status};
use xbook::decimal::Grid;
use xbook::history::HistoryStore;
use xbook::machine::Rules;
use xbook::types::Position;
use xbook_proto::v1;

use super::support::{MARKET, Served, buy, by, reason, sell};

/// Enough for several generations.
const ROUNDS: usize = 200;

const ACCOUNTS: [&str; 3] = ["ann", "bob", "cyd"];

/// The ways, and how many there are.
const WAYS: [&str; 6] = ["flipped early", "flipped in the middle", "flipped late", "cut", "zeroed", "gone"];

/// A data directory, and all that was acknowledged on it.
struct Original {
    data: TempDir,
    truth: Truth,
}

/// What a node tells of a market.
#[derive(Clone, PartialEq, Default, Debug)]
struct Truth {
    orders: BTreeMap<String, (&'static str, v1::Order)>,
    lists: BTreeMap<String, Vec<v1::Order>>,
    fills: BTreeMap<String, Vec<v1::Fill>>,
    trades: Vec<v1::Trade>,
    bids: Vec<v1::Level>,
}

/// Trades through several generations; most orders are closed, some rest.
async fn trade(served: &mut Served, rounds: usize) -> Vec<(&'static str, String)> {
    let mut placed = Vec::new();
    let mut generation = 0;
    for round in 0..rounds {
        let account = ACCOUNTS[round % 3];
        let requests = [
            (account, sell(&format!("s-{round}"), "10", "2")),
            (ACCOUNTS[(round + 1) % 3], buy(&format!("t-{round}"), "10", "1.5")),
            (account, buy(&format!("r-{round}"), "9", "1")),
        ];
        for (account, request) in requests {
            let answer = served.place_as(account, request).await.unwrap();
            placed.push((account, answer.order.unwrap().order_id));
        }
        if round % 8 > 0 {
            let all = v1::CancelAllOrdersRequest {
                request_id: format!("c-{round}"),
                market: MARKET.into(),
                ..Default::default()
            };
            served.trading.cancel_all_orders(by(account, all)).await.unwrap();
        }
        let node = served.cluster.get_node(v1::GetNodeRequest {}).await.unwrap().into_inner();
        generation = node.documents.iter().find(|document| document.name == MARKET).unwrap().generation;
    }
    assert!(generation >= 3, "only {generation} generations");
    placed
}

/// What a node tells, or where it is away.
async fn tell(served: &mut Served, placed: &[(&'static str, String)]) -> Result<Truth, Status> {
    let market = || MARKET.to_owned();
    let mut truth = Truth::default();
    for (account, order_id) in placed {
        let request =
            v1::GetOrderRequest { market: market(), order_id: order_id.clone(), ..Default::default() };
        let order = served.trading.get_order(by(account, request)).await?.into_inner().order.unwrap();
        truth.orders.insert(order_id.clone(), (account, order));
    }
    for account in ACCOUNTS {
        let (mut orders, mut fills) = (Vec::new(), Vec::new());
        let mut list = v1::ListOrdersRequest { market: market(), include_closed: true, ..Default::default() };
        loop {
            let page = served.trading.list_orders(by(account, list.clone())).await?.into_inner();
            orders.extend(page.orders);
            list.page_token = page.next_page_token;
            if list.page_token.is_empty() {
                break;
            }
        }
        let mut list = v1::ListFillsRequest { market: market(), ..Default::default() };
        loop {
            let page = served.trading.list_fills(by(account, list.clone())).await?.into_inner();
            fills.extend(page.fills);
            list.page_token = page.next_page_token;
            if list.page_token.is_empty() {
                break;
            }
        }
        truth.lists.insert(account.to_owned(), orders);
        truth.fills.insert(account.to_owned(), fills);
    }
    let mut list = v1::ListTradesRequest { market: market(), ..Default::default() };
    loop {
        let page = served.data.list_trades(list.clone()).await?.into_inner();
        truth.trades.extend(page.trades);
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    let book = v1::GetOrderBookRequest { market: market(), ..Default::default() };
    truth.bids = served.data.get_order_book(book).await?.into_inner().bids;
    Ok(truth)
}

/// What a node tells once it is away from nothing any more.
async fn tell_whole(served: &mut Served, placed: &[(&'static str, String)]) -> Truth {
    let whole = async {
        loop {
            match tell(served, placed).await {
                Ok(truth) => return truth,
                Err(status) => {
                    assert!(reason(&status) == "AWAY", "{status:?}")
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), whole).await.expect("the history becomes whole again")
}

impl Original {
    async fn new() -> Self {
        let mut served = Served::start().await;
        let placed = trade(&mut served, ROUNDS).await;
        let truth = tell(&mut served, &placed).await.unwrap();
        assert!(truth.trades.len() >= ROUNDS);
        let data = released(served.end().await).await;
        Self { data: copy(data.path()), truth }
    }

    /// The same, and the directory of an observer that has it all.
    async fn with_observer() -> (Self, TempDir) {
        let mut served = Served::start().await;
        let placed = trade(&mut served, ROUNDS).await;
        let mut observer = Served::joined(&[served.peer_address]).await;
        let truth = tell(&mut served, &placed).await.unwrap();
        // It shows generation 0 until it has heard of the newest.
        let shown = served.node.market(MARKET).unwrap().shown();
        observer.node.market_ready(MARKET).await.unwrap().reached(shown).await.unwrap();
        assert_eq!(tell_whole(&mut observer, &placed).await, truth);
        let (data, observers) = (released(served.end().await).await, released(observer.end().await).await);
        (Self { data: copy(data.path()), truth }, copy(observers.path()))
    }

    fn placed(&self) -> Vec<(&'static str, String)> {
        let some = if is_long() { 1 } else { 9 };
        self.truth.orders.iter().step_by(some).map(|(id, (account, _))| (*account, id.clone())).collect()
    }

    /// A copy in which one file is damaged.
    fn damaged(&self, file: &Path, way: &str) -> TempDir {
        let copy = copy(self.data.path());
        let path = copy.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        // Files are allocated ahead; nothing is in the rest.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        match way {
            "flipped early" => bytes[used / 50] ^= 0x10,
            "flipped in the middle" => bytes[used / 2] ^= 0x10,
            "flipped late" => bytes[used - 1 - used / 50] ^= 0x10,
            "cut" => bytes.truncate(used / 2),
            "zeroed" => bytes.fill(0),
            _ => {
                std::fs::remove_file(path).unwrap();
                return copy;
            }
        }
        std::fs::write(path, bytes).unwrap();
        copy
    }
}

/// The directory of a node that has ended, once the last of its threads has ended.
async fn released(directory: TempDir) -> TempDir {
    let lock = std::fs::File::open(directory.path().join("documents/lock")).unwrap();
    let released = async {
        while lock.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), released).await.unwrap();
    directory
}

fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in files(directory) {
        let to = copy.path().join(&file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(directory.join(&file), to).unwrap();
    }
    copy
}

/// What the history in a data directory lacks.
fn gaps(directory: &Path) -> Vec<(Position, Position)> {
    let one = Grid::new(Decimal::ONE).unwrap();
    let store = HistoryStore::open(&directory.join("history"), u64::MAX).unwrap();
    store.market(MARKET, &Rules::new(one, one)).gaps()
}

/// All files in a directory that are not empty, by their paths in it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(inner) = pending.pop() {
        for entry in std::fs::read_dir(directory.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            let metadata = entry.metadata().unwrap();
            match metadata.is_dir() {
                true => pending.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// How a node on a damaged directory was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verdict {
    Refused,
    Quarantined,
    Away,
    Whole,
}

/// The fault of an error, if it is one that names what is damaged.
fn of_refusal(words: &str, case: &str) -> Verdict {
    let named = ["record", "watermark", "had been synced", "journal", "genesis", "documents/meta"];
    assert!(named.iter().any(|name| words.contains(name)), "{case}: {words}");
    assert!(!words.contains("panic"), "{case}: {words}");
    Verdict::Refused
}

/// Starts a node on a damaged directory and holds it to what was acknowledged.
async fn judge(original: &Original, data: TempDir, case: &str) -> (Verdict, Option<Served>) {
    let mut served = match Served::try_with(data, &[]).await {
        Ok(served) => served,
        Err(error) => return (of_refusal(&error.to_string(), case), None),
    };
    let verdict = match tell(&mut served, &original.placed()).await {
        Ok(truth) => {
            assert_same(&truth, &original.truth, case);
            Verdict::Whole
        }
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{case}: {status:?}");
            match reason(&status).as_str() {
                "AWAY" => Verdict::Away,
                "QUARANTINED" => {
                    of_refusal(status.message(), case);
                    Verdict::Quarantined
                }
                _ => panic!("{case}: {status:?}"),
            }
        }
    };
    if verdict != Verdict::Quarantined {
        assert_trades_on(&mut served, original, case).await;
    }
    (verdict, Some(served))
}

#[track_caller]
fn assert_same(told: &Truth, truth: &Truth, case: &str) {
    for (id, (_, order)) in &told.orders {
        assert_eq!(&truth.orders[id].1, order, "{case}: {id}");
    }
    for account in ACCOUNTS {
        let counts = (told.lists[account].len(), told.fills[account].len());
        assert_eq!(counts, (truth.lists[account].len(), truth.fills[account].len()), "{case}: {account}");
    }
    let orders = truth.orders.clone();
    assert_eq!(Truth { orders, ..told.clone() }, *truth, "{case}");
}

/// Whatever its history is, the book is right, and what is asked for one by one is right or away.
async fn assert_trades_on(served: &mut Served, original: &Original, case: &str) {
    let book = v1::GetOrderBookRequest { market: MARKET.into(), ..Default::default() };
    let book = served.data.get_order_book(book).await.unwrap().into_inner();
    assert_eq!(book.bids, original.truth.bids, "{case}");
    for (account, id) in original.placed() {
        let order = &original.truth.orders[&id].1;
        let request =
            v1::GetOrderRequest { market: MARKET.into(), order_id: id.clone(), ..Default::default() };
        match served.trading.get_order(by(account, request)).await {
            Ok(answer) => assert_eq!(answer.into_inner().order.as_ref(), Some(order), "{case}"),
            Err(status) => assert_eq!(reason(&status), "AWAY", "{case}: {status:?}"),
        }
    }
    let verified = served.cluster.verify_market(v1::VerifyMarketRequest { market: MARKET.into() }).await;
    let verified = verified.unwrap().into_inner();
    assert_eq!(verified.findings, Vec::<String>::new(), "{case}");
}

fn is_long() -> bool {
    std::env::var("XBOOK_DAMAGE").is_ok_and(|form| form == "long")
}

/// Each file with the ways in which it is damaged in this form: all, or one each in turn.
fn cases(original: &Original) -> Vec<(PathBuf, &'static str)> {
    let files = files(original.data.path());
    let of = |(at, file): (usize, PathBuf)| {
        let taken = move |way: &usize| is_long() || at % 6 == *way;
        (0..6).filter(taken).map(|way| (file.clone(), WAYS[way])).collect::<Vec<_>>()
    };
    let nonempty = |file: &PathBuf| {
        std::fs::read(original.data.path().join(file)).unwrap().iter().any(|byte| *byte != 0)
    };
    files.into_iter().filter(nonempty).enumerate().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_directory_is_refused_repaired_or_away() {
    let original = Original::new().await;
    let mut verdicts: BTreeMap<Verdict, u32> = BTreeMap::new();
    for (file, way) in cases(&original) {
        let case = format!("{} {way}", file.display());
        let (verdict, served) = judge(&original, original.damaged(&file, way), &case).await;
        println!("{case}: {verdict:?}");
        *verdicts.entry(verdict).or_default() += 1;
        if let Some(served) = served.filter(|_| is_long() || verdict == Verdict::Away) {
            // And again, with whatever the first start left.
            let (again, served) = judge(&original, served.end().await, &case).await;
            // What its own documents know comes back meanwhile.
            assert!(again == verdict || again == Verdict::Whole, "{case}, started again: {again:?}");
            served.unwrap().end().await;
        }
    }
    println!("{verdicts:?}");
    assert!(
        verdicts.contains_key(&Verdict::Refused) && verdicts.contains_key(&Verdict::Away),
        "{verdicts:?}"
    );
    assert!(verdicts.contains_key(&Verdict::Whole), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_of_a_history_comes_back_from_a_peer() {
    let (mut voter, observers) = Original::with_observer().await;
    let mut observer = Original { data: observers, truth: voter.truth.clone() };
    let mut repaired = 0;
    for damages_observer in [false, true] {
        if damages_observer {
            std::mem::swap(&mut voter, &mut observer);
        }
        let (damaged, whole) = (&voter, &observer);
        let log = |file: &Path| file.extension().is_some_and(|extension| is_long() || extension == "log");
        for (file, way) in cases(damaged) {
            if !file.starts_with("history") || !log(&file) {
                continue;
            }
            let case = format!("{} {way}, of the observer: {damages_observer}", file.display());
            let peer = Served::on(copy(whole.data.path())).await;
            let data = damaged.damaged(&file, way);
            let mut served = Served::with(data, &[peer.peer_address]).await;
            let told = tell_whole(&mut served, &damaged.placed()).await;
            assert_same(&told, &damaged.truth, &case);
            assert_trades_on(&mut served, damaged, &case).await;
            repaired += 1;
            // It was stored: the peer is not needed any more.
            let data = served.end().await;
            peer.end().await;
            if is_long() || file.ends_with("00000000.log") {
                let (verdict, served) = judge(damaged, data, &case).await;
                assert_eq!(verdict, Verdict::Whole, "{case}");
                served.unwrap().end().await;
            }
        }
    }
    assert!(repaired >= 10, "{repaired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_nobody_can_fill_holds_no_other_up() {
    let (voter, observers) = Original::with_observer().await;
    let [first, third] = ["history/00000000.log", "history/00000002.log"].map(Path::new);
    let data = voter.damaged(first, "gone");
    // The observer got its history the newest first, so its segments are others.
    let lost = gaps(data.path())[0];
    assert_eq!(lost.0, Position(1));
    for file in files(observers.path()).iter().filter(|file| file.extension().is_some_and(|it| it == "log")) {
        let other = copy(observers.path());
        std::fs::remove_file(other.path().join(file)).unwrap();
        if gaps(other.path()).iter().any(|gap| gap.0 <= lost.1) {
            std::fs::remove_file(observers.path().join(file)).unwrap();
        }
    }
    let peer = Served::on(observers).await;
    std::fs::remove_file(data.path().join(third)).unwrap();
    let mut served = Served::with(data, &[peer.peer_address]).await;
    let history = served.node.market(MARKET).unwrap().opened().unwrap().history().clone();
    let filled = async {
        while history.gaps().len() != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), filled).await.unwrap();
    assert_eq!(history.gaps()[0].0.0, 1, "only the first one is left");
    let trades = v1::ListTradesRequest { market: MARKET.into(), page_size: 20, ..Default::default() };
    let trades = served.data.list_trades(trades).await.unwrap().into_inner().trades;
    assert_eq!(trades, voter.truth.trades[..20], "what is newer is there");
    assert_eq!(reason(&tell(&mut served, &voter.placed()).await.unwrap_err()), "AWAY");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kept_generations_did_comes_back_without_a_peer() {
    let original = Original::new().await;
    let data = copy(original.data.path());
    std::fs::remove_dir_all(data.path().join("history")).unwrap();
    let mut served = Served::on(data).await;
    let history = served.node.market(MARKET).unwrap().opened().unwrap().history().clone();
    let oldest = served.node.newest_generation(MARKET).unwrap() - 2;
    let oldest = served.node.open_copy(MARKET, oldest).unwrap().expect("it is kept").genesis().position();
    let filled = async {
        while history.gaps() != [(Position(1), oldest)] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let filled = tokio::time::timeout(Duration::from_secs(60), filled).await;
    let newest = served.node.newest_generation(MARKET).unwrap();
    assert!(
        filled.is_ok(),
        "{:?} are missing, not up to {oldest}; it is in generation {newest}",
        history.gaps()
    );
    // All that is newer is there, and then it says so.
    let mut list = v1::ListTradesRequest { market: MARKET.into(), page_size: 7, ..Default::default() };
    let mut trades = Vec::new();
    let end = loop {
        match served.data.list_trades(list.clone()).await {
            Ok(page) => {
                let page = page.into_inner();
                trades.extend(page.trades);
                list.page_token = page.next_page_token;
                assert!(!list.page_token.is_empty(), "it does not end before the first trade");
            }
            Err(status) => break status,
        }
    };
    assert_eq!(reason(&end), "AWAY");
    assert!(trades.len() > 30, "{}", trades.len());
    assert_eq!(trades, original.truth.trades[..trades.len()]);
}
