//! Blocks that were appended are found again by every index, and damage is told, not believed.

use proptest::prelude::*;
use xbook_proto::v1::{Liquidity, OrderStatus, Reason, TimeInForce};

use super::*;
use crate::decimal::Grid;
use crate::machine::{Answer, FillOf, Origin, Session};
use crate::types::{Lots, Micros, NodeId, Side, Ticks};

const ACCOUNTS: [&str; 4] = ["main", "a", "a.b", "Z_9-z"];

fn rules() -> Rules {
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
        let mut maker = Maker { position: Position(0), counter: 0 };
        batches.iter().enumerate().map(|(at, deeds)| maker.block(at as u64, deeds)).collect()
    })
}

/// Makes blocks like those that a market's batches leave.
struct Maker {
    position: Position,
    counter: u64,
}

impl Maker {
    fn block(&mut self, at: u64, deeds: &[(usize, Deed)]) -> Block {
        let time = Micros(1_700_000_000_000_000 + at * 1_000_003);
        let mut block = Block { first: self.position.next(), time, ..Block::default() };
        for &(account, deed) in deeds {
            let from = block.changes.len();
            let (intent, refused) = self.deed(ACCOUNTS[account], deed, &mut block);
            let changes = from..block.changes.len();
            block.answers.push(Answer { intent, refused, repeats: None, position: self.position, changes });
        }
        block.last = self.position;
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
                    let fill =
                        FillOf { counter_order: other, liquidity, price: Ticks(7), quantity: order.quantity };
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
            quantity: Lots(n * 10),
            filled: Lots::ZERO,
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
    let store = HistoryStore::open(directory).unwrap();
    let history = store.market("BTC/USDT", &rules()).unwrap();
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
        let neighbour = store.market("BTC/USDT2", &rules()).unwrap();
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
        let (_store, history) = self::store(directory.path());
        prop_assert_eq!(history.last(), last);
        for block in &blocks {
            history.append(block).unwrap();
        }
        by_position(&history, &blocks, pivot);
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
        history.skip_to(blocks[to].last).unwrap();
        blocks[to + 1..].iter().for_each(|block| history.append(block).unwrap());
        prop_assert!(history.lacks_after(Position(blocks[from].first.0 - 1)).unwrap());

        while let Some((first, last)) = history.gaps().unwrap().first().copied() {
            let entries = whole.entries_from(first, last).unwrap();
            prop_assert!(history.fill(&entries[1..]).is_err() || entries.len() == 1, "not the next one");
            // One at a time, so that a gap shrinks.
            history.fill(&entries[..1]).unwrap();
        }
        prop_assert!(!history.lacks_after(Position(0)).unwrap());
        by_position(&history, &blocks, blocks[from].last);
        by_account(&history, &blocks, blocks[from].last);
        by_order(&history, &blocks);
        outcomes(&history, &blocks);
    }
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
        let found = history.closed_order(order.id).unwrap();
        let closed = found.filter(|_| !order.is_live()).map(|(order, _)| order);
        assert_eq!(closed.as_ref(), (!order.is_live()).then_some(order));
    }
    assert_eq!(history.closed_order(OrderId { node: NodeId(9), counter: 1 }).unwrap(), None);
}

fn outcomes(history: &History, blocks: &[Block]) {
    for block in blocks {
        for answer in &block.answers {
            let found = history.outcome(answer.position).unwrap().unwrap();
            assert_eq!(found.changes, block.changes_of(answer));
            // A rejected order tells itself why.
            let refused = if found.changes.is_empty() { answer.refused } else { Reason::Unspecified };
            assert_eq!(found.outcome.refused, refused);
        }
    }
}

fn one_block() -> Block {
    let mut maker = Maker { position: Position(0), counter: 0 };
    maker.block(0, &[(0, Deed::Rest), (1, Deed::Trade { maker: 2 }), (0, Deed::CancelAll(2))])
}

#[test]
fn a_damaged_block_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let (store, history) = store(directory.path());
    history.append(&one_block()).unwrap();
    let key = history.keys.block(Position(1));
    let value = store.log.get(&key).unwrap().unwrap().to_vec();
    for at in [0, 4, value.len() / 2, value.len() - 1] {
        let mut damaged = value.clone();
        damaged[at] ^= 0x40;
        store.log.insert(&*key, &*damaged).unwrap();
        assert_damaged(history.block_at(Position(2)).map(drop), Damage::Checksum);
        assert_damaged(history.blocks_after(Position(0)).next().unwrap().map(drop), Damage::Checksum);
        assert_damaged(
            history.account_blocks_before("main", Position(9)).next().unwrap().map(drop),
            Damage::Checksum,
        );
    }
    store.log.insert(&*key, &value[..3]).unwrap();
    assert_damaged(history.block_at(Position(2)).map(drop), Damage::Checksum);
    assert_damaged(History::open(&store, "BTC/USDT", &rules()).map(drop), Damage::Checksum);
    store.log.remove(&*key).unwrap();
    assert_damaged(
        history.account_blocks_after("main", Position(0)).next().unwrap().map(drop),
        Damage::Missing,
    );
}

#[test]
fn a_value_under_another_key_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (store, history) = store(directory.path());
    history.append(&one_block()).unwrap();
    let value = store.log.get(history.keys.block(Position(1))).unwrap().unwrap();
    store.log.insert(history.keys.block(Position(50)), value).unwrap();
    assert_damaged(history.block_at(Position(50)).map(drop), Damage::Checksum);
}

#[test]
fn a_record_with_a_right_checksum_can_still_be_malformed() {
    let key = Keys::new("BTC/USDT").block(Position(1));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&key);
    let mut value = hasher.finalize().to_be_bytes().to_vec();
    assert_eq!(record::decode(&key, &value), Err(Damage::Record));
    value.clear();
    assert_eq!(record::decode(&key, &value), Err(Damage::Checksum));
}

#[test]
fn a_gap_is_refused_and_an_empty_block_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, history) = store(directory.path());
    let mut block = one_block();
    history.append(&block).unwrap();
    let last = history.last();
    block.first = Position(last.0 + 2);
    block.last = Position(last.0 + 5);
    assert!(matches!(history.append(&block), Err(HistoryError::OutOfOrder { stored, .. }) if stored == last));
    let empty = Block { first: last.next(), last, ..Block::default() };
    history.append(&empty).unwrap();
    assert_eq!(history.last(), last);
}

#[track_caller]
fn assert_damaged(result: Result<()>, expected: Damage) {
    match result {
        Err(HistoryError::Damaged { what, market, .. }) => {
            assert_eq!((what, &*market), (expected, "BTC/USDT"))
        }
        other => panic!("expected damage, got {other:?}"),
    }
}
