//! Blocks that were appended are found again by every index, and damage is told, not believed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decimal::Grid;
use crate::machine::{Answer, Change, Content, Fee, FillOf, Order, Origin, Session, Terms};
use crate::types::{
    ClientId, Liquidity, Lots, Micros, NodeId, OrderId, OrderStatus, Reason, SelfTrade, Side, Ticks,
    TimeInForce,
};

const MARKET: &str = "BTC/USDT";
const ACCOUNTS: [&str; 4] = ["main", "a", "a.b", "Z_9-z"];

pub(super) fn rules() -> Rules {
    Rules::new(Grid::new("0.25".parse().unwrap()).unwrap(), Grid::new("0.001".parse().unwrap()).unwrap())
}

/// What an intent of the generated blocks does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A resting order.
    Rest,
    /// An order that trades completely with one of another account.
    Trade { maker: usize },
    /// A rejected order.
    Reject,
    /// A refused cancel.
    Refuse,
    /// A cancel-all of several orders.
    CancelAll(u64),
    /// Nothing, at a position of its own.
    Nothing,
}

fn deed() -> impl Strategy<Value = (usize, Deed)> {
    let deed = prop_oneof![
        Just(Deed::Rest),
        (0..ACCOUNTS.len()).prop_map(|maker| Deed::Trade { maker }),
        Just(Deed::Reject),
        Just(Deed::Refuse),
        (1..4_u64).prop_map(Deed::CancelAll),
        Just(Deed::Nothing),
    ];
    (0..ACCOUNTS.len(), deed)
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    prop::collection::vec(prop::collection::vec(deed(), 1..12), 1..24).prop_map(|batches| {
        let mut maker = Maker::new();
        batches.iter().enumerate().map(|(at, deeds)| maker.block(at as u64, deeds)).collect()
    })
}

/// Makes blocks like those that a market's batches leave.
pub(super) struct Maker {
    position: Position,
    counter: u64,
    head: ChainHead,
}

/// An order that rests in each block, beside what trades.
#[derive(Clone, Copy)]
pub(super) struct Rests {
    pub price: Ticks,
    pub quantity: Lots,
}

impl Maker {
    pub fn new() -> Self {
        Self { position: Position(0), counter: 0, head: chain_start(MARKET) }
    }

    fn block(&mut self, at: u64, deeds: &[(usize, Deed)]) -> Block {
        let time = Micros(1_700_000_000_000_000 + at * 1_000_003);
        let mut block = Block { first: self.position.next(), time, ..Block::default() };
        for &(account, deed) in deeds {
            let from = block.changes.len();
            let (intent, refused) = self.deed(ACCOUNTS[account], deed, &mut block);
            let changes = from..block.changes.len();
            block.answers.push(Answer { intent, refused, repeats: None, position: self.position, changes });
        }
        self.close(block)
    }

    /// A block of trades, each of two orders of its own, and an order that rests.
    pub fn traded(&mut self, time: Micros, trades: &[(Ticks, Lots)], rests: Rests) -> Block {
        let mut block = Block { first: self.position.next(), time, ..Block::default() };
        for &(price, quantity) in trades {
            self.position = self.position.next();
            let [mut maker, mut taker] = [ACCOUNTS[0], ACCOUNTS[1]].map(|account| self.order(account, time));
            let ids = (maker.id, taker.id);
            for (order, counter_order, liquidity) in
                [(&mut maker, ids.1, Liquidity::Maker), (&mut taker, ids.0, Liquidity::Taker)]
            {
                (order.quantity, order.filled) = (quantity, quantity);
                let fill = FillOf { counter_order, liquidity, price, quantity, fee: Fee(-3), auction: false };
                self.put_here(order, OrderStatus::Filled, Some(fill), &mut block);
            }
        }
        let mut order = self.order(ACCOUNTS[2], time);
        (order.limit, order.quantity, order.open) = (Some(rests.price), rests.quantity, rests.quantity);
        order.prevented = Lots::ZERO;
        self.put(&mut order, OrderStatus::Open, None, &mut block);
        self.close(block)
    }

    fn close(&mut self, mut block: Block) -> Block {
        block.last = self.position;
        let outcomes: Vec<_> = outcome::kept(&block).collect();
        let grids = (rules().tick, rules().lot);
        let before = self.head;
        self.head = Content::of(&block.changes, &outcomes).link(
            &before,
            (block.first, block.last),
            block.time,
            grids,
        );
        block.chain = (before, self.head);
        block
    }

    fn deed(&mut self, account: &str, deed: Deed, block: &mut Block) -> (OrderId, Reason) {
        let mut order = self.order(account, block.time);
        let (id, mut refused) = (order.id, Reason::Unspecified);
        match deed {
            Deed::Rest => self.put(&mut order, OrderStatus::Open, None, block),
            Deed::Trade { maker } => {
                self.put(&mut order, OrderStatus::Open, None, block);
                let mut maker = self.order(ACCOUNTS[maker], block.time);
                self.position = self.position.next();
                for (order, other, liquidity) in [
                    (&mut maker, id, Liquidity::Maker),
                    (&mut order, OrderId { counter: id.counter + 1, ..id }, Liquidity::Taker),
                ] {
                    order.filled = order.quantity;
                    order.value = u128::from(order.quantity.0) << 50;
                    let fill = FillOf {
                        counter_order: other,
                        liquidity,
                        price: Ticks(7),
                        quantity: order.quantity,
                        fee: Fee(5),
                        auction: true,
                    };
                    self.put_here(order, OrderStatus::Filled, Some(fill), block);
                }
            }
            Deed::Reject => {
                refused = Reason::WouldTake;
                order.reason = refused;
                self.put(&mut order, OrderStatus::Rejected, None, block);
            }
            Deed::CancelAll(count) => {
                for _ in 0..count {
                    let mut order = self.order(account, block.time);
                    order.reason = Reason::Requested;
                    self.put(&mut order, OrderStatus::Cancelled, None, block);
                }
            }
            Deed::Refuse | Deed::Nothing => {
                self.position = self.position.next();
                if matches!(deed, Deed::Refuse) {
                    refused = Reason::UnknownOrder;
                }
            }
        }
        (id, refused)
    }

    fn put(&mut self, order: &mut Order, status: OrderStatus, fill: Option<FillOf>, block: &mut Block) {
        self.position = self.position.next();
        self.put_here(order, status, fill, block);
    }

    fn put_here(&mut self, order: &mut Order, status: OrderStatus, fill: Option<FillOf>, block: &mut Block) {
        let placed = fill.is_none() && status != OrderStatus::Cancelled;
        order.status = status;
        order.position = self.position;
        if !order.is_live() {
            order.open = Lots::ZERO;
        }
        block.changes.push(Change::Order { order: order.clone(), fill, placed });
    }

    fn order(&mut self, account: &str, time: Micros) -> Order {
        self.counter += 1;
        let n = self.counter;
        let by_command = n.is_multiple_of(3);
        Order {
            id: OrderId { node: NodeId(1 + n % 2), counter: n },
            account: account.into(),
            origin: if by_command {
                Origin::Command { session: Session::new(account, "s"), number: n }
            } else {
                Origin::Request(format!("r{n}").into())
            },
            side: if n.is_multiple_of(2) { Side::Buy } else { Side::Sell },
            limit: (!n.is_multiple_of(5)).then_some(Ticks(n * 3)),
            time_in_force: if n.is_multiple_of(7) { TimeInForce::Gtd } else { TimeInForce::Gtc },
            post_only: n.is_multiple_of(11),
            self_trade: if n.is_multiple_of(4) { SelfTrade::Decrement } else { SelfTrade::Unspecified },
            terms: Terms {
                minimum: Lots(n % 3),
                // Several orders have one name, one after the other.
                client_id: ClientId::new(&format!("name{}", n % 5)).filter(|_| n.is_multiple_of(2)),
                ..Terms::default()
            }
            .shared(),
            quantity: Lots(n * 10 + n % 4),
            filled: Lots::ZERO,
            prevented: Lots(n % 4),
            open: Lots(n * 10),
            value: 0,
            status: OrderStatus::Pending,
            reason: Reason::Unspecified,
            // Another node's clock may be ahead of tape time.
            accepted: Micros(time.0 + 500 - n % 1_000),
            expires: n.is_multiple_of(7).then_some(Micros(time.0 * 2)),
            updated: time,
            position: Position(0),
        }
    }
}

fn store(directory: &Path) -> (HistoryStore, History) {
    let store = HistoryStore::open(directory, 4_096).unwrap();
    let history = store.market(MARKET, &rules());
    (store, history)
}

/// Positions of the changes, which is enough to tell blocks apart.
fn changes_of(blocks: impl Iterator<Item = Result<StoredBlock>>) -> Vec<Change> {
    blocks.flat_map(|block| block.unwrap().block.changes).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_appended_is_found_by_every_index(blocks in blocks(), at in any::<prop::sample::Index>()) {
        let directory = tempfile::tempdir().unwrap();
        let (store, history) = store(directory.path());
        // A neighbour whose name begins alike must not be mixed up with it.
        let neighbour = store.market("BTC/USDT2", &rules());
        for block in &blocks {
            history.append(block).unwrap();
            neighbour.append(&blocks[0]).unwrap();
        }
        let last = blocks.last().unwrap().last;
        prop_assert_eq!(history.last(), last);
        let pivot = Position(at.index(last.0 as usize + 1) as u64);
        by_position(&history, &blocks, pivot);
        by_account(&history, &blocks, pivot);
        by_order(&history, &blocks);
        outcomes(&history, &blocks);

        // Opened again, it goes on where it was; a replay changes nothing.
        drop((history, neighbour, store));
        let (store, history) = self::store(directory.path());
        prop_assert_eq!(history.last(), last);
        for block in &blocks {
            history.append(block).unwrap();
        }
        by_position(&history, &blocks, pivot);

        // The same is found in memory, beside a neighbour's.
        let neighbour = store.market("BTC/USDT2", &rules());
        for block in &blocks {
            history.keep(Arc::new(block.clone()));
            neighbour.keep(Arc::new(blocks[0].clone()));
        }
        prop_assert!(history.recent.block_at(MARKET, last).is_some());
        by_order(&history, &blocks);
        outcomes(&history, &blocks);
    }

    #[test]
    fn what_a_node_was_away_for_is_filled_from_another(
        blocks in blocks(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(),
    ) {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (_whole_store, whole) = store(directories[0].path());
        blocks.iter().for_each(|block| whole.append(block).unwrap());
        let (from, to) = (from.index(blocks.len()), to.index(blocks.len()));
        let (from, to) = (from.min(to), from.max(to));
        let (_store, history) = store(directories[1].path());
        blocks[..from].iter().for_each(|block| history.append(block).unwrap());
        history.reach_to(blocks[to].last, blocks[to].chain.1).unwrap();
        blocks[to + 1..].iter().for_each(|block| history.append(block).unwrap());
        let gap = (blocks[from].first, blocks[to].last);
        prop_assert_eq!(history.gaps(), [gap]);
        away_in(&history, gap);

        fill_from(&history, &whole);
        by_position(&history, &blocks, blocks[from].last);
        by_account(&history, &blocks, blocks[from].last);
        by_order(&history, &blocks);
        outcomes(&history, &blocks);
    }
}

/// Fills all gaps, a few blocks at a time.
fn fill_from(history: &History, other: &History) {
    // The block behind a gap may be found to be lost by this very question: then the gap is a larger one.
    let missing = || (0..9).find_map(|_| history.missing().unwrap().first().copied());
    while let Some(gap) = missing() {
        let Piece::Blocks(records) = other.piece(gap.first, gap.last, 0).unwrap() else {
            panic!("the blocks are small");
        };
        if let Some(second) = records.get(1) {
            assert!(matches!(history.fill(gap, second), Err(FillError::Misfit { .. })), "not the next one");
        }
        history.fill(gap, &records[0]).unwrap();
    }
    assert_eq!(history.gaps(), []);
}

/// Whoever reads into a gap is told so.
#[track_caller]
fn away_in(history: &History, (first, last): (Position, Position)) {
    let is_away = |read: Option<Result<StoredBlock>>| {
        assert!(matches!(read, Some(Err(HistoryError::Away { .. }))), "{read:?}");
    };
    is_away(history.block_at(first).transpose());
    is_away(history.block_at(last).transpose());
    is_away(history.lookup().outcome(last).map(|found| found.map(|_| unreachable!())).transpose());
    is_away(history.blocks_after(Position(first.0 - 1)).next());
    is_away(history.blocks_before(last.next()).next());
    is_away(history.account_blocks_after("nobody", Position(0)).last());
    is_away(history.account_blocks_before("nobody", Position(u64::MAX)).last());
    let unknown = OrderId { node: NodeId(9), counter: 1 };
    assert!(matches!(history.lookup().closed_order(unknown), Err(HistoryError::Away { .. })));
    let session = Session::new("nobody", "s").id;
    assert!(matches!(history.lookup().order_of_command(session, 1), Err(HistoryError::Away { .. })));
    assert!(matches!(history.knows_session(session), Err(HistoryError::Away { .. })));
}

fn by_position(history: &History, blocks: &[Block], pivot: Position) {
    for position in 1..=history.last().0 {
        let expected = blocks.iter().find(|block| block.last.0 >= position).unwrap();
        let found = history.block_at(Position(position)).unwrap().unwrap();
        assert_eq!((found.block.first, found.block.last), (expected.first, expected.last));
        assert_eq!(found.block.changes, expected.changes);
        assert_eq!(found.sizes, Sizes { tick: rules().tick, lot: rules().lot });
    }
    assert_eq!(history.block_at(history.last().next()).unwrap(), None);
    let all = |wanted: &dyn Fn(&Block) -> bool| {
        let wanted = blocks.iter().filter(|block| wanted(block));
        wanted.flat_map(|block| block.changes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(changes_of(history.blocks_after(pivot)), all(&|block| block.last > pivot));
    let mut before = history.blocks_before(pivot).map(Result::unwrap).collect::<Vec<_>>();
    before.reverse();
    assert_eq!(changes_of(before.into_iter().map(Ok)), all(&|block| block.first < pivot));
}

fn by_account(history: &History, blocks: &[Block], pivot: Position) {
    for account in ACCOUNTS {
        let has =
            |block: &&Block| block.changes.iter().any(|change| &*change.order().unwrap().account == account);
        let after = history.account_blocks_after(account, pivot).map(|block| block.unwrap().block.first);
        let expected = blocks.iter().filter(has).filter(|block| block.last > pivot).map(|block| block.first);
        assert_eq!(after.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{account} after {pivot}");
        let before = history.account_blocks_before(account, pivot).map(|block| block.unwrap().block.first);
        let expected = blocks.iter().filter(has).filter(|block| block.first < pivot).map(|block| block.first);
        assert_eq!(
            before.collect::<Vec<_>>(),
            expected.rev().collect::<Vec<_>>(),
            "{account} before {pivot}"
        );
    }
}

fn by_order(history: &History, blocks: &[Block]) {
    for order in blocks.iter().flat_map(|block| &block.changes).filter_map(Change::order) {
        let found = history.lookup().closed_order(order.id).unwrap();
        let closed = found.filter(|_| !order.is_live()).map(|(order, _)| order);
        assert_eq!(closed.as_ref(), (!order.is_live()).then_some(order));
    }
    assert_eq!(history.lookup().closed_order(OrderId { node: NodeId(9), counter: 1 }).unwrap(), None);
}

fn outcomes(history: &History, blocks: &[Block]) {
    for block in blocks {
        for answer in &block.answers {
            let found = history.lookup().outcome(answer.position).unwrap().unwrap();
            assert_eq!(found.changes, block.changes_of(answer));
            // A rejected order tells itself why.
            let refused = if found.changes.is_empty() { answer.refused } else { Reason::Unspecified };
            assert_eq!(found.outcome.refused, refused);
        }
    }
}

fn some_blocks(count: u64) -> Vec<Block> {
    let mut maker = Maker::new();
    let deeds = [(0, Deed::Rest), (1, Deed::Trade { maker: 2 }), (3, Deed::Reject), (0, Deed::CancelAll(2))];
    (0..count).map(|at| maker.block(at, &deeds[..1 + at as usize % deeds.len()])).collect()
}

#[test]
fn a_block_that_does_not_follow_is_refused_and_an_empty_one_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, history) = store(directory.path());
    let blocks = some_blocks(4);
    history.append(&blocks[0]).unwrap();
    let last = history.last();
    let misfit = |result| matches!(result, Err(HistoryError::Misfit { stored, .. }) if stored == last);
    assert!(misfit(history.append(&blocks[2])), "a gap");
    let other = Block { chain: blocks[2].chain, ..blocks[1].clone() };
    assert!(misfit(history.append(&other)), "another past");
    let empty = Block { first: last.next(), last, ..Block::default() };
    history.append(&empty).unwrap();
    assert_eq!(history.last(), last);
    // Another end of the same block, and another last block at the same place.
    let longer = Block { last: last.next(), ..blocks[0].clone() };
    assert!(misfit(history.append(&longer)));
    let other = Block { chain: (blocks[0].chain.0, [7; 32]), ..blocks[0].clone() };
    assert!(misfit(history.append(&other)));
}

#[test]
fn a_document_tells_again_what_it_has_of_a_gap_that_began_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, history) = store(directory.path());
    let blocks = some_blocks(9);
    blocks[..2].iter().for_each(|block| history.append(block).unwrap());
    history.reach_to(blocks[6].last, blocks[6].chain.1).unwrap();
    history.append(&blocks[7]).unwrap();
    assert_eq!(history.gaps(), [(blocks[2].first, blocks[6].last)]);
    // The document begins in the middle of it.
    blocks[4..].iter().for_each(|block| history.append(block).unwrap());
    assert_eq!(history.gaps(), [(blocks[2].first, blocks[3].last)]);
    assert_eq!(history.last(), blocks[8].last);
    // What reaches beyond a gap is stored already, in part: that is another past.
    let longer = Block { last: blocks[4].last, ..blocks[3].clone() };
    assert!(matches!(history.append(&longer), Err(HistoryError::Misfit { .. })));
}

#[test]
fn only_what_the_chain_leads_through_is_taken() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let blocks = some_blocks(3);
    let (_whole_store, whole) = store(directories[0].path());
    blocks.iter().for_each(|block| whole.append(block).unwrap());
    let (_store, history) = store(directories[1].path());
    history.reach_to(blocks[2].last, blocks[2].chain.1).unwrap();
    let gap = history.missing().unwrap()[0];
    let record = record::encode(MARKET, &blocks[2], whole.sizes);
    for change in [
        (|block: &mut Block| block.time.0 += 1) as fn(&mut Block),
        |block| block.chain.0[0] ^= 1,
        |block| drop(block.changes.pop()),
        |block| match &mut block.changes[0] {
            Change::Order { order, .. } => order.accepted.0 += 1,
            Change::Market(_) => unreachable!(),
        },
        |block| match &mut block.changes[0] {
            Change::Order { order, .. } => order.account = "other".into(),
            Change::Market(_) => unreachable!(),
        },
    ] {
        let mut other = blocks[2].clone();
        change(&mut other);
        let other = record::encode(MARKET, &other, whole.sizes);
        assert_ne!(other, record);
        assert!(matches!(history.fill(gap, &other), Err(FillError::Chain { .. })));
    }
    let sizes = Sizes { tick: whole.sizes.lot, lot: whole.sizes.tick };
    let other = record::encode(MARKET, &blocks[2], sizes);
    assert!(matches!(history.fill(gap, &other), Err(FillError::Chain { .. })));
    let other = record::encode("BTC/USDT2", &blocks[2], whole.sizes);
    assert!(matches!(history.fill(gap, &other), Err(FillError::Unreadable(_))));
    assert!(matches!(history.fill(gap, b"no block"), Err(FillError::Unreadable(_))));
    assert_eq!(history.gaps(), [(Position(1), blocks[2].last)]);
    history.fill(gap, &record).unwrap();
    assert_eq!(history.gaps(), [(Position(1), blocks[1].last)]);
}

#[test]
fn a_record_with_too_many_entries_is_not_decoded() {
    use prost::Message;
    use xbook_proto::record::v1 as wire;
    let with = |changes: usize| {
        let block =
            wire::HistoryBlock { changes: vec![wire::OrderChange::default(); changes], ..Default::default() };
        wire::HistoryRecord { market: MARKET.into(), before: vec![0; 32].into(), block: Some(block) }
            .encode_to_vec()
    };
    // Neither is a block; of the small one that is found by decoding it.
    assert_eq!(record::decode(&with(1)), None);
    assert_eq!(record::decode(&with(1_500_001)), None);
    let block = &some_blocks(3)[2];
    let whole = record::encode(MARKET, block, Sizes { tick: rules().tick, lot: rules().lot });
    assert!(record::decode(&whole).is_some());
    for length in 0..whole.len() {
        assert_eq!(record::decode(&whole[..length]), None, "{length}");
    }
}

#[test]
fn a_large_block_comes_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, history) = store(directory.path());
    let block = Maker::new().block(0, &[(0, Deed::CancelAll(50_000))]);
    history.append(&block).unwrap();
    let (mut whole, mut pieces) = (Vec::new(), 0);
    loop {
        let Piece::Part { bytes, content } =
            history.piece(Position(1), block.last, whole.len() as u64).unwrap()
        else {
            panic!("it is large");
        };
        assert!(content.len() <= 512 * 1024);
        whole.extend_from_slice(&content);
        pieces += 1;
        if whole.len() as u64 == bytes {
            break;
        }
    }
    assert!(pieces > 2, "{pieces}");
    assert_eq!(whole, record::encode(MARKET, &block, history.sizes));
    let beyond = history.piece(Position(1), block.last, u64::MAX).unwrap();
    assert_eq!(beyond, Piece::Part { bytes: whole.len() as u64, content: bytes::Bytes::new() });
    assert_eq!(history.piece(Position(1), Position(block.last.0 - 1), 0).unwrap(), Piece::Blocks(Vec::new()));
}

#[test]
fn a_history_that_is_not_what_the_document_says_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = some_blocks(9);
    let (_store, history) = store(directory.path());
    blocks.iter().for_each(|block| history.append(block).unwrap());
    history.reach_to(blocks[4].last, blocks[4].chain.1).unwrap();
    assert_eq!(history.gaps(), []);
    let (after, through) = (blocks[2].last, blocks[7].last);
    assert_eq!(history.check(after, through, blocks[7].chain.1).unwrap(), None);
    assert_eq!(history.check(after, through, [7; 32]).unwrap(), Some(through));
    assert_eq!(history.check(after, blocks[8].last.next(), blocks[8].chain.1).unwrap(), Some(blocks[8].last));
    history.reach_to(blocks[4].last, [7; 32]).unwrap();
    assert!(matches!(history.check(after, through, blocks[7].chain.1), Err(HistoryError::Away { .. })));
    assert_eq!(history.gaps(), [(Position(1), blocks[4].last)]);
}

mod damage {
    //! Each file of the log, damaged in each way: what is found is what was stored, or it is a gap.

    use std::path::PathBuf;

    use super::*;

    /// The six ways.
    fn damaged(bytes: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
        let flipped = |at: usize| {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x10;
            Some(flipped)
        };
        vec![
            ("flipped early", flipped(bytes.len() / 50)),
            ("flipped in the middle", flipped(bytes.len() / 2)),
            ("flipped late", flipped(bytes.len() - 1 - bytes.len() / 50)),
            ("cut", Some(bytes[..bytes.len() / 2].to_vec())),
            ("zeroed", Some(vec![0; bytes.len()])),
            ("gone", None),
        ]
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Whatever is answered is right; returns whether anything was away.
    fn is_right_or_away(history: &History, blocks: &[Block]) -> bool {
        let mut away = false;
        let mut told = |error: HistoryError| {
            assert!(matches!(error, HistoryError::Away { .. }), "{error}");
            away = true;
        };
        for account in ACCOUNTS {
            let has = |block: &&Block| {
                block.changes.iter().any(|change| &*change.order().unwrap().account == account)
            };
            let mut expected = blocks.iter().filter(has).map(|block| block.changes.clone());
            let mut read = history.account_blocks_after(account, Position(0));
            loop {
                match read.next() {
                    Some(Ok(block)) => assert_eq!(Some(block.block.changes), expected.next()),
                    Some(Err(error)) => break told(error),
                    None => break assert_eq!(expected.next(), None, "{account}"),
                }
            }
        }
        let placed = |change: &Change| match change {
            Change::Order { order, placed: true, .. } => {
                Some(((order.account.clone(), order.client_id()?), order.id))
            }
            _ => None,
        };
        let named: BTreeMap<_, _> =
            blocks.iter().flat_map(|block| &block.changes).filter_map(placed).collect();
        for ((account, name), last) in named {
            match history.lookup().order_of_client(&account, name) {
                Ok(found) => assert_eq!(found, Some(last)),
                Err(error) => told(error),
            }
        }
        for order in blocks.iter().flat_map(|block| &block.changes).filter_map(Change::order) {
            match history.lookup().closed_order(order.id) {
                Ok(found) => {
                    let found = found.map(|(order, _)| order);
                    assert!(found.is_some() || order.is_live());
                    assert!(found.is_none_or(|found| found.id == order.id && !found.is_live()));
                }
                Err(error) => told(error),
            }
            if let Origin::Command { session, number } = &order.origin {
                match history.lookup().order_of_command(session.id, *number) {
                    Ok(found) => assert!(found.is_none_or(|found| found == order.id)),
                    Err(error) => told(error),
                }
            }
        }
        away
    }

    #[test]
    fn damage_is_repaired_or_away_and_can_be_filled() {
        let whole = tempfile::tempdir().unwrap();
        let blocks = some_blocks(36);
        let end = blocks.last().unwrap();
        let (whole_store, complete) = store(whole.path());
        blocks.iter().for_each(|block| complete.append(block).unwrap());
        let files = files(whole.path());
        assert!(files.len() >= 5, "several segments: {files:?}");
        let mut tolls = (0, 0);
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            for (how, damaged) in damaged(&bytes) {
                let copy = tempfile::tempdir().unwrap();
                for other in &files {
                    std::fs::copy(other, copy.path().join(other.file_name().unwrap())).unwrap();
                }
                let path = copy.path().join(file.file_name().unwrap());
                match &damaged {
                    Some(damaged) => std::fs::write(&path, damaged).unwrap(),
                    None => std::fs::remove_file(&path).unwrap(),
                }
                let (_store, history) = store(copy.path());
                history.reach_to(end.last, end.chain.1).unwrap();
                let away = is_right_or_away(&history, &blocks);
                let log = file.extension().unwrap() == "log";
                assert!(log || !away, "an index is made again: {file:?} {how}");
                tolls = (tolls.0 + 1, tolls.1 + usize::from(away));
                // After the first touch it is known what is missing.
                fill_from(&history, &complete);
                by_account(&history, &blocks, Position(20));
                by_order(&history, &blocks);
                // And again from the disk.
                drop((history, _store));
                let (_store, history) = store(copy.path());
                history.reach_to(end.last, end.chain.1).unwrap();
                by_account(&history, &blocks, Position(20));
                by_order(&history, &blocks);
            }
        }
        assert!(tolls.0 >= 30 && tolls.1 >= 12, "{tolls:?}");
        drop(whole_store);
    }
}

#[test]
fn a_history_of_another_format_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    drop(HistoryStore::open(directory.path(), 4_096).unwrap());
    let segment = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.into_iter().find(|path| path.extension().is_some_and(|of| of == "log")).unwrap();
    std::fs::write(&segment, b"xbook history 2\n").unwrap();
    let error = HistoryStore::open(directory.path(), 4_096).err().unwrap();
    assert!(matches!(error, HistoryError::Format { format: 2, .. }), "{error}");
    let words = "has format 2, and this program reads format 1: start a newer one";
    assert!(error.to_string().ends_with(words), "{error}");
    assert_eq!(std::fs::read(&segment).unwrap(), b"xbook history 2\n", "it is left as it is");
}
