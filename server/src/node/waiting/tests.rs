//! Who is told what, and once.

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::machine::{Action, Answer};
use crate::types::{Micros, Position, Reason};

const NODE: NodeId = NodeId(1);

fn id(counter: u64) -> OrderId {
    OrderId { node: NODE, counter }
}

fn request(name: &str, body_hash: u64) -> Request {
    Request {
        account: "ann".into(),
        origin: Origin::Request(name.into()),
        body_hash,
        action: Action::CancelAll(None),
    }
}

/// A block with what became of these intents.
fn block(intents: &[OrderId]) -> Arc<Block> {
    let answer = |intent: &OrderId| Answer {
        intent: *intent,
        refused: Reason::Unspecified,
        repeats: None,
        position: Position(1),
        changes: 0..0,
    };
    Arc::new(Block { answers: intents.iter().map(answer).collect(), ..Block::default() })
}

fn ask(waiting: &mut Waiting, counter: u64, request: &Request, on_acceptance: bool) -> Asked {
    let (caller, asked) = call(on_acceptance);
    waiting.add_call(counter, request, caller);
    asked
}

/// Nothing is committed.
fn unknown(_: &Account, _: &str) -> Option<(u64, Repeated)> {
    None
}

/// What a call has been told by now.
fn told(asked: &mut Asked) -> Option<String> {
    use futures::FutureExt;
    match asked.news().now_or_never()? {
        Some(CallNews::Accepted(intent)) => Some(format!("accepted {}", intent.counter)),
        Some(CallNews::Committed(outcome)) => Some(format!("committed {}", outcome.answer().intent.counter)),
        Some(CallNews::Known(first)) => Some(format!("known {}", first.intent.counter)),
        Some(CallNews::Reused) => Some("reused".to_owned()),
        Some(_) => Some("another word".to_owned()),
        None => Some("nothing any more".to_owned()),
    }
}

#[test]
fn a_call_is_told_once_what_it_waits_for() {
    let mut waiting = Waiting::from(NODE, 5, std::iter::empty());
    let mut patient = ask(&mut waiting, 5, &request("a", 1), false);
    let mut hasty = ask(&mut waiting, 6, &request("b", 1), true);
    waiting.accept(5, unknown);
    assert_eq!((patient.accepted(), hasty.accepted()), (Some(id(5)), None));
    assert_eq!((told(&mut patient), told(&mut hasty)), (None, None), "what is accepted wakes nobody");
    waiting.accept(6, unknown);
    assert_eq!(told(&mut hasty).as_deref(), Some("accepted 6"));
    // Another node's intents are nobody's here.
    let notices = waiting.settle(&block(&[OrderId { node: NodeId(2), counter: 5 }, id(5), id(6)]));
    assert_eq!(notices.len(), 1, "who was told is not told again");
    notices.into_iter().for_each(Notice::tell);
    assert_eq!(told(&mut patient).as_deref(), Some("committed 5"));
}

#[test]
fn a_repeat_is_told_the_first_one_while_that_is_on_its_way() {
    let mut waiting = Waiting::from(NODE, 1, std::iter::empty());
    let mut first = ask(&mut waiting, 1, &request("a", 1), true);
    let mut repeat = ask(&mut waiting, 2, &request("a", 1), true);
    assert!(waiting.is_reused(&request("a", 2)));
    assert!(!waiting.is_reused(&request("a", 1)) && !waiting.is_reused(&request("b", 2)));
    let other = Request { account: "bob".into(), ..request("a", 2) };
    assert!(!waiting.is_reused(&other), "an id is an account's own");
    waiting.accept(2, unknown);
    assert_eq!(told(&mut first).as_deref(), Some("accepted 1"));
    assert_eq!(told(&mut repeat).as_deref(), Some("accepted 1"));
    // What becomes of the repeat does not end the first one's way, and that of the first does.
    waiting.settle(&block(&[id(1)]));
    assert!(!waiting.is_reused(&request("a", 2)));
    let mut again = ask(&mut waiting, 3, &request("a", 1), true);
    waiting.settle(&block(&[id(2)]));
    assert!(waiting.is_reused(&request("a", 2)));
    waiting.accept(3, unknown);
    assert_eq!(told(&mut again).as_deref(), Some("accepted 3"));
}

#[test]
fn what_was_committed_while_this_node_was_away_is_not_waited_for() {
    let mut waiting = Waiting::from(NODE, 1, std::iter::empty());
    let mut missed = ask(&mut waiting, 1, &request("a", 1), false);
    let (session, mut news) = unbounded_channel();
    waiting.add_session(2, session);
    let mut later = ask(&mut waiting, 4, &request("b", 1), false);
    waiting.accept(4, unknown);
    waiting.skip(2);
    assert_eq!(told(&mut missed).as_deref(), Some("nothing any more"));
    assert_eq!(missed.accepted(), Some(id(1)), "it is known to be accepted");
    assert!(!waiting.is_reused(&request("a", 2)));
    assert!(matches!(news.try_recv(), Ok(SessionNews::Away)));
    let notices = waiting.settle(&block(&[id(3), id(4)]));
    assert_eq!(notices.len(), 2);
    notices.into_iter().for_each(Notice::tell);
    assert!(matches!(news.try_recv(), Ok(SessionNews::Outcomes(outcomes)) if outcomes.len() == 1));
    assert_eq!(told(&mut later).as_deref(), Some("committed 4"));
    assert!(waiting.queue.is_empty() && waiting.calls.is_empty() && waiting.on_their_way.is_empty());
}

#[test]
fn what_an_earlier_process_accepted_is_the_first_until_it_has_its_turn() {
    let old = |name| Intent { request: request(name, 1), based_on: Micros(0), accepted: Micros(1) };
    let (a, b) = (old("a"), old("b"));
    let mut waiting = Waiting::from(NODE, 5, [(id(3), &a), (id(4), &b)].into_iter());
    assert!(waiting.is_reused(&request("a", 2)));
    let mut repeat = ask(&mut waiting, 5, &request("a", 1), true);
    waiting.accept(5, unknown);
    assert_eq!(told(&mut repeat).as_deref(), Some("accepted 3"));
    // Nobody waits for it, and it is not on its way any more.
    assert!(waiting.settle(&block(&[id(3)])).is_empty());
    assert!(!waiting.is_reused(&request("a", 2)) && waiting.is_reused(&request("b", 2)));
    waiting.skip(4);
    assert!(!waiting.is_reused(&request("b", 2)));
    waiting.settle(&block(&[id(5)]));
    assert!(waiting.on_their_way.is_empty() && waiting.earlier.is_empty());
}

#[test]
fn a_request_that_another_nodes_has_overtaken_is_told_of_that_one() {
    let mut waiting = Waiting::from(NODE, 1, std::iter::empty());
    let mut same = ask(&mut waiting, 1, &request("a", 1), true);
    let mut other = ask(&mut waiting, 2, &request("b", 1), true);
    let mut own = ask(&mut waiting, 3, &request("c", 1), true);
    let mut patient = ask(&mut waiting, 4, &request("a", 1), false);
    let elsewhere = |counter| OrderId { node: NodeId(2), counter };
    waiting.accept(4, |account, name| {
        assert_eq!(&**account, "ann");
        let (body_hash, intent) = match name {
            "a" => (1, elsewhere(7)),
            "b" => (9, elsewhere(8)),
            _ => (1, id(3)),
        };
        Some((body_hash, Repeated { intent, position: Position(1) }))
    });
    assert_eq!(told(&mut same).as_deref(), Some("known 7"));
    assert_eq!(told(&mut other).as_deref(), Some("reused"));
    assert_eq!(told(&mut own).as_deref(), Some("accepted 3"));
    assert_eq!(told(&mut patient), None, "its own turn will tell");
}
