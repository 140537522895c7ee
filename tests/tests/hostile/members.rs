//! What a hostile node of the directory says.

use anyhow::Result;
use bytes::Bytes;
use tonic::Code;
use xbook::document::{Actor, Entry, Genesis};
use xbook::format::Formats;
use xbook::types::NodeId;
use xbook_proto::peer::v1::document_message::Message as Said;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::{self as peer, DocumentMessage, HistoryPart, HistoryRequest};
use xbook_proto::record::v1 as record;

use super::cases::{Act, Answer, Case, End, say};
use super::changes::{Raw, chunk};
use super::fake::{Who, about, frame};
use super::target::{DIRECTORY, MARKET, Target, actor, change_of};

const BAD: End = End::Refused(Code::InvalidArgument);

/// A node that nobody knows.
const NOBODY: u64 = 0xDEAD;

pub fn cases(target: &Target) -> Result<Vec<Case>> {
    let mut cases = impersonations(target);
    cases.extend(bytes_that_are_no_change());
    cases.extend(changes(target)?);
    cases.extend(intents(target)?);
    cases.extend(orders(target)?);
    cases.extend(words(target)?);
    cases.extend(generations(target)?);
    cases.extend(numbers(target));
    cases.extend(frames());
    Ok(cases)
}

/// Says that it is another node of the directory.
fn impersonations(target: &Target) -> Vec<Case> {
    let liar = Who { node: Who::new(1).node, ..Who::new(99) };
    let shown = liar.clone();
    let answer: Answer = Box::new(move |mine, theirs| vec![shown.proof(mine, theirs)]);
    let mut cases = vec![Case::new(
        "a member's id with another key",
        Act::Greet(Box::new(liar.greeting(&target.directory)), answer),
        End::Refused(Code::PermissionDenied),
    )];
    // Its key is public; its signature is not to be had.
    let known = Who::new(1).greeting(&target.directory);
    let other = Who::new(2);
    let answer: Answer = Box::new(move |mine, theirs| vec![other.proof(mine, theirs)]);
    cases.push(Case::new(
        "a member's id and key, another's signature",
        Act::Greet(Box::new(known), answer),
        End::Refused(Code::Unauthenticated),
    ));
    cases
}

fn changes_of(bytes: Vec<Bytes>) -> Said {
    Said::Changes(peer::Changes { changes: bytes })
}

fn bytes_that_are_no_change() -> Vec<Case> {
    let of = || Raw::of(actor(NOBODY).0);
    let column = |column| Raw { columns: vec![(column, vec![1])], ..of() }.bytes();
    let dependencies = (0..5_000_u64)
        .map(|number| [number.to_le_bytes(); 4].concat().try_into().unwrap_or([0; 32]))
        .collect();
    let cases: Vec<(&str, Bytes)> = vec![
        ("an empty change", Bytes::new()),
        ("noise as a change", vec![0x5A; 500].into()),
        ("a checksum that is wrong", Raw { intact: false, ..of() }.bytes()),
        ("a run of 2^60 operations", of().with_operations(1 << 60).bytes()),
        ("20 million operations in 90 bytes", of().with_operations(20_000_000).bytes()),
        ("a run that is negative", of().with_operations(i64::MIN).bytes()),
        ("a deflated change", chunk(2, &[0x78; 1_400_000], true)),
        ("a document as a change", chunk(0, &[1; 1_000], true)),
        ("a compressed column", column(74)),
        ("a column that nobody knows", column(200)),
        ("a change of 9 MB", Raw { columns: vec![(87, vec![1; 9 << 20])], ..of() }.bytes()),
        ("an actor of 15 bytes", Raw { actor: vec![1; 15], ..of() }.bytes()),
        ("5,000 dependencies", Raw { dependencies, ..of() }.bytes()),
    ];
    let case = |(name, bytes)| say(name, vec![changes_of(vec![bytes])], BAD);
    let mut cases: Vec<Case> = cases.into_iter().map(case).collect();
    let nothing = vec![Bytes::new(); 70_000];
    cases.push(say("70,000 empty changes", vec![changes_of(nothing)], BAD));
    cases
}

/// Whole changes, by who may not write them or not so.
fn changes(target: &Target) -> Result<Vec<Case>> {
    let genesis = target.market_genesis()?;
    let one = |actor, entry| Ok::<_, anyhow::Error>(changes_of(vec![change_of(&genesis, actor, &[entry])?]));
    let mine = actor(target.id);
    let empty = |node| Entry::Intents(record::IntentBatch { node, first_counter: 1, ..Default::default() });
    let promise = |term, voter| {
        Entry::Promise(record::Promise { term, candidate: actor(NOBODY).0.to_vec().into(), voter })
    };
    let activation = |term, first_batch| {
        let promises = vec![actor(NOBODY).0.to_vec().into()];
        Entry::Activation(record::Activation { term, promises, adopts: None, first_batch })
    };
    let odd = |seq| Raw { seq, ..Raw::of(actor(NOBODY).0) }.bytes();
    let unknown = |number: u64| {
        let dependencies = vec![[number.to_le_bytes(); 4].concat().try_into().unwrap_or([0; 32])];
        Raw { dependencies, ..Raw::of(actor(NOBODY).0) }.bytes()
    };
    let early: Vec<Bytes> = (0..4_000).map(unknown).collect();
    Ok(vec![
        say("a change of the node's own that it never made", vec![one(mine, empty(target.id))?], BAD),
        say("another's intents", vec![one(actor(NOBODY), empty(target.id))?], BAD),
        say("another's promise", vec![one(actor(NOBODY), promise(9, target.id))?], BAD),
        say("a promise of term 2^64-1", vec![one(actor(NOBODY), promise(u64::MAX, NOBODY))?], BAD),
        say("an activation of term 2^64-1", vec![one(actor(NOBODY), activation(u64::MAX, 0))?], BAD),
        say("an activation of batch 2^63", vec![one(actor(NOBODY), activation(9, 1 << 63))?], BAD),
        say("the change 2^63 of an actor", vec![changes_of(vec![odd(1 << 63)])], End::Ignored),
        say("the change 0 of an actor", vec![changes_of(vec![odd(0)])], End::Ignored),
        say("4,000 changes on top of unknown ones", vec![changes_of(early)], End::Ignored),
    ])
}

fn batch(node: u64, account: &str, intents: Vec<record::Intent>) -> Entry {
    let accounts = vec![account.to_owned()];
    Entry::Intents(record::IntentBatch { node, first_counter: 1, accounts, intents, ..Default::default() })
}

fn intent(action: record::intent::Action) -> record::Intent {
    record::Intent { request_id: "1".into(), action: Some(action), ..Default::default() }
}

/// Intents in the directory that no node admits.
fn intents(target: &Target) -> Result<Vec<Case>> {
    use record::intent::Action;
    let genesis = target.directory_genesis()?;
    let rules = target.market_genesis()?.record().rules.clone();
    let market = |name: &str, voters: Vec<u64>| {
        Action::CreateMarket(record::CreateMarket { name: name.into(), rules: rules.clone(), voters })
    };
    let announce = |peer_address: &str, key: usize| {
        Action::Announce(record::Announce {
            peer_address: peer_address.into(),
            key: vec![1; key].into(),
            ..Default::default()
        })
    };
    let invite =
        |uses| Action::Invite(record::Invite { token_hash: vec![1; 32].into(), uses, expires_us: u64::MAX });
    let me = target.id;
    let bad = vec![
        ("a market named like the directory", market(DIRECTORY, vec![me])),
        ("a market without voters", market("EVIL/X", vec![])),
        ("a market of 300 bytes", market(&"A".repeat(300), vec![me])),
        ("a market with a NUL", market("EV\0L/X", vec![me])),
        ("a market with 1,000 voters", market("EVIL/X", (1..1_000).collect())),
        ("a market whose voter is 0", market("EVIL/X", vec![0])),
        ("an order in the directory", Action::Place(record::Place { quantity: 1, ..Default::default() })),
        ("an address with a line break", announce("a\nb:1", 32)),
        ("an address of 1,000 bytes", announce(&format!("{}:1", "a".repeat(1_000)), 32)),
        ("a key of 3 bytes", announce("a:1", 3)),
        ("a token for 2^32-1 nodes", invite(u32::MAX)),
        ("a token for nobody", invite(0)),
    ];
    let mut cases = Vec::new();
    for (name, action) in bad {
        let entry = batch(NOBODY, "main", vec![intent(action)]);
        let change = change_of(&genesis, actor(NOBODY), &[entry])?;
        let said = frame(about(DIRECTORY, 0, changes_of(vec![change])));
        cases.push(Case::new(name, Act::Say(vec![said]), BAD));
    }
    // It may be asked, and is refused in its turn.
    let polite = batch(
        NOBODY + 1,
        "",
        vec![record::Intent { request_id: "a".into(), ..intent(announce("127.0.0.1:9", 32)) }],
    );
    let change = change_of(&genesis, actor(NOBODY + 1), &[polite])?;
    let said = frame(about(DIRECTORY, 0, changes_of(vec![change])));
    cases.push(Case::new("an uninvited node announces itself", Act::Say(vec![said]), End::Ignored));
    Ok(cases)
}

/// Intents in the market that no node admits.
fn orders(target: &Target) -> Result<Vec<Case>> {
    use record::intent::Action;
    let genesis = target.market_genesis()?;
    let place = record::Place {
        side: 1,
        price: Some(1_000),
        quantity: 1_000,
        time_in_force: 1,
        ..Default::default()
    };
    let good = Action::Place(place.clone());
    let long = "a".repeat(1_000_000);
    let of = |account: &str, intent: record::Intent| batch(NOBODY, account, vec![intent]);
    let by = |account: &str, action: Action| of(account, intent(action));
    let far = Entry::Intents(record::IntentBatch {
        node: NOBODY,
        first_counter: u64::MAX,
        accounts: vec!["a".into()],
        intents: vec![intent(good.clone())],
        ..Default::default()
    });
    let bad = vec![
        ("an account of 1 MB", by(&long, good.clone())),
        ("an account with a NUL", by("a\0b", good.clone())),
        ("no account", by("", good.clone())),
        ("an account that is not there", of("a", record::Intent { account: 9, ..intent(good.clone()) })),
        (
            "a session that is not there",
            of("a", record::Intent { session: 9, number: 1, ..intent(good.clone()) }),
        ),
        (
            "an action that nobody knows",
            of("a", record::Intent { request_id: "1".into(), ..Default::default() }),
        ),
        (
            "an order of 2^64-1 lots",
            by("a", Action::Place(record::Place { quantity: u64::MAX, ..place.clone() })),
        ),
        (
            "an order at 2^64-1 ticks",
            by("a", Action::Place(record::Place { price: Some(u64::MAX), ..place.clone() })),
        ),
        ("an order of no side", by("a", Action::Place(record::Place { side: 0, ..place.clone() }))),
        (
            "a time in force that nobody knows",
            by("a", Action::Place(record::Place { time_in_force: 99, ..place.clone() })),
        ),
        ("a market in a market", by("a", Action::RemoveNode(record::RemoveNode { node: 1 }))),
        (
            "a request id of 1 MB",
            of(
                "a",
                record::Intent { request_id: long.clone(), action: Some(good.clone()), ..Default::default() },
            ),
        ),
        ("the intent 2^64-1", far),
    ];
    let case = |(name, entry): (&str, Entry)| {
        Ok(say(name, vec![changes_of(vec![change_of(&genesis, actor(NOBODY), &[entry])?])], BAD))
    };
    bad.into_iter().map(case).collect()
}

fn ack(label: u64, changes: Vec<(Actor, u64)>) -> peer::Ack {
    let changes = changes.into_iter();
    let changes = changes.map(|(actor, seq)| record::ActorChanges { actor: actor.0.to_vec().into(), seq });
    peer::Ack { label, changes: changes.collect(), mark: Bytes::new() }
}

/// What is said of acknowledgements and leases, by who has no say in them.
fn words(target: &Target) -> Result<Vec<Case>> {
    let genesis = target.market_genesis()?;
    let hash = Bytes::copy_from_slice(&genesis.digest());
    let mine = actor(target.id);
    let many = (0..450_000_u64)
        .map(|number| (Actor::new(xbook::types::Micros(number * 1_000), NodeId(NOBODY), 1), 1));
    let hello = |genesis: Bytes, ack: peer::Ack| {
        Said::Hello(peer::Hello { genesis, ack: Some(ack), ..Default::default() })
    };
    let candidate = |trial| {
        let actor = actor(NOBODY).0.to_vec().into();
        Said::Candidate(peer::Candidate { term: u64::MAX, actor, trial, handed_over_by: Some(1) })
    };
    Ok(vec![
        say("an acknowledgement of 450,000 actors", vec![Said::Ack(ack(0, many.collect()))], BAD),
        say("changes of the node that it never made", vec![Said::Ack(ack(1, vec![(mine, u64::MAX)]))], BAD),
        say("the same in a hello", vec![hello(hash.clone(), ack(1, vec![(mine, 5)]))], BAD),
        say(
            "an actor of 15 bytes in an acknowledgement",
            vec![Said::Ack(peer::Ack {
                label: 1,
                changes: vec![record::ActorChanges { actor: vec![1; 15].into(), seq: 1 }],
                mark: Bytes::new(),
            })],
            BAD,
        ),
        say("another genesis", vec![hello(vec![1; 32].into(), ack(0, vec![]))], BAD),
        say("a genesis of 5 bytes", vec![hello(vec![1; 5].into(), ack(0, vec![]))], BAD),
        say(
            "a hello without what the disk has",
            vec![Said::Hello(peer::Hello { genesis: hash, ..Default::default() })],
            BAD,
        ),
        say(
            "a heartbeat",
            vec![Said::Heartbeat(peer::Heartbeat { term: 1, sent_us: 1, majority_us: 1 })],
            End::Ignored,
        ),
        say(
            "an echo of a time to come",
            vec![Said::Echo(peer::Echo { label: 1, sent_us: u64::MAX, clock_us: 1 })],
            End::Ignored,
        ),
        say("a candidate", vec![candidate(false)], End::Ignored),
        say("a candidate on trial", vec![candidate(true)], End::Ignored),
        say(
            "a ballot",
            vec![Said::Ballot(peer::Ballot { term: 1, trial: false, granted: true, label: u64::MAX })],
            End::Ignored,
        ),
        say(
            "all is committed",
            vec![Said::Committed(peer::Committed { term: 1, batches: u64::MAX })],
            End::Ignored,
        ),
        say("take the lease", vec![Said::HandOver(peer::HandOver { term: 1 })], End::Ignored),
        say(
            "hand the lease over",
            vec![Said::HandOverWish(peer::HandOverWish { to: Who::new(1).node })],
            End::Ignored,
        ),
    ])
}

/// Generations that nobody has begun.
fn generations(target: &Target) -> Result<Vec<Case>> {
    let market = target.market_genesis()?;
    let newer = |generation, parts, voters: Vec<u64>| record::Genesis {
        generation,
        voters,
        term: 99,
        holder: actor(NOBODY).0.to_vec().into(),
        position: 1_000_000,
        time_us: 1_000,
        digest: vec![7; 32].into(),
        parts,
        parts_hash: if parts == 0 { Bytes::new() } else { vec![1; 32].into() },
        ..market.record().clone()
    };
    let part = |genesis: record::Genesis, part, content: usize| {
        Said::GenesisPart(peer::GenesisPart {
            genesis: Some(genesis),
            part,
            content: vec![0; content].into(),
        })
    };
    let at = |name: &str, generation, said: Vec<Said>, end| {
        let frames = said.into_iter().map(|said| frame(about(MARKET, generation, said))).collect();
        Case::new(name, Act::Say(frames), end)
    };
    let hello = |genesis: &record::Genesis| {
        let hash = Genesis::from_record(genesis.clone(), Vec::new(), Formats::KNOWN)
            .map_or([0; 32], |genesis| genesis.digest());
        Said::Hello(peer::Hello {
            genesis: hash.to_vec().into(),
            ack: Some(peer::Ack::default()),
            ..Default::default()
        })
    };
    let empty = newer(7, 0, vec![Who::new(1).node]);
    let mine = newer(7, 0, vec![target.id]);
    let endless = |parts| (0..2_000).map(|at| part(newer(7, parts, vec![1]), at, 1_000)).collect::<Vec<_>>();
    let offered = |genesis: &record::Genesis| {
        vec![hello(genesis), part(genesis.clone(), 0, 0), part(genesis.clone(), 0, 0)]
    };
    Ok(vec![
        at("an empty genesis of generation 7", 7, offered(&empty), End::Ignored),
        at("the same with the node as its voter", 7, offered(&mine), End::Ignored),
        at("a genesis of the next generation", 1, offered(&newer(1, 0, vec![1])), End::Ignored),
        at("a genesis of generation 2^64-1", u64::MAX, offered(&newer(u64::MAX, 0, vec![1])), End::Ignored),
        at("parts of a genesis without end", 7, endless(u32::MAX), End::Ignored),
        at("4,096 parts that were not asked for", 7, endless(4_096), End::Ignored),
        at("a part of 15 MB", 7, vec![hello(&empty), part(newer(7, 1, vec![1]), 0, 15 << 20)], End::Ignored),
        at("a part without a genesis", 7, vec![Said::GenesisPart(peer::GenesisPart::default())], BAD),
        at("a question for part 2^32-1", 0, vec![Said::Fetch(peer::Fetch { part: u32::MAX })], End::Ignored),
        at("a hello of generation 2^64-1", u64::MAX, vec![hello(&empty)], End::Ignored),
    ])
}

/// Every number there is, at its largest.
fn numbers(target: &Target) -> Vec<Case> {
    let largest = u64::MAX;
    let actor = || Bytes::copy_from_slice(&actor(NOBODY).0);
    let said = vec![
        (
            "acknowledgement",
            Said::Ack(peer::Ack {
                label: largest,
                changes: vec![record::ActorChanges { actor: actor(), seq: largest }],
                mark: Bytes::new(),
            }),
        ),
        (
            "heartbeat",
            Said::Heartbeat(peer::Heartbeat { term: largest, sent_us: largest, majority_us: largest }),
        ),
        ("echo", Said::Echo(peer::Echo { label: largest, sent_us: largest, clock_us: largest })),
        (
            "candidate",
            Said::Candidate(peer::Candidate {
                term: largest,
                actor: actor(),
                trial: true,
                handed_over_by: Some(largest),
            }),
        ),
        ("ballot", Said::Ballot(peer::Ballot { term: largest, trial: true, granted: true, label: largest })),
        ("committed", Said::Committed(peer::Committed { term: largest, batches: largest })),
        ("hand-over", Said::HandOver(peer::HandOver { term: largest })),
        ("wish", Said::HandOverWish(peer::HandOverWish { to: largest })),
    ];
    let everywhere = |(name, said): (&str, Said)| {
        let frames = [DIRECTORY, MARKET].into_iter().flat_map(|document| {
            [0, 1, largest - 1, largest].map(|generation| frame(about(document, generation, said.clone())))
        });
        Case::new(format!("2^64-1 in {name}"), Act::Say(frames.collect()), End::Ignored)
    };
    let mut cases: Vec<Case> = said.into_iter().map(everywhere).collect();
    let own = peer::Ack {
        label: 0,
        changes: vec![record::ActorChanges {
            actor: Bytes::copy_from_slice(&super::target::actor(target.id).0),
            seq: 1,
        }],
        mark: Bytes::new(),
    };
    cases.push(say("one change of the node's too many", vec![Said::Ack(own)], BAD));
    cases
}

/// Frames that are no messages, and documents that are not there.
fn frames() -> Vec<Case> {
    let history = |market: &str, first_position, last_position| {
        frame(Content::HistoryRequest(HistoryRequest {
            market: market.into(),
            first_position,
            last_position,
            offset: 0,
        }))
    };
    let of = |blocks| HistoryPart { market: MARKET.into(), last_position: 1, blocks, piece: None };
    let (part, blocks) = (of(vec![vec![1; 1_000].into(); 1_000]), of(vec![Bytes::new(); 70_000]));
    let nothing = Content::Message(DocumentMessage { document: MARKET.into(), ..Default::default() });
    let fetch = Said::Fetch(peer::Fetch { part: 0 });
    let cases: Vec<(&str, Vec<Bytes>, End)> = vec![
        ("an empty frame", vec![Bytes::new()], BAD),
        ("noise in a frame", vec![vec![0x77; 1_000].into()], BAD),
        ("a frame of 16 MB of nothing", vec![vec![0x12; 16 << 20].into()], BAD),
        ("a message without words", vec![frame(nothing)], BAD),
        ("a greeting in between", vec![frame(Content::Greeting(peer::Greeting::default()))], BAD),
        ("a proof in between", vec![frame(Content::Proof(peer::Proof::default()))], BAD),
        ("a document that is not there", vec![frame(about("NO/SUCH", 0, fetch.clone()))], End::Ignored),
        ("a document of 1 MB", vec![frame(about(&"A".repeat(1 << 20), 0, fetch))], End::Ignored),
        ("a history that is not there", vec![history("NO/SUCH", 1, u64::MAX)], End::Ignored),
        ("a history from the end to the start", vec![history(MARKET, u64::MAX, 0)], End::Ignored),
        (
            "2,000 questions that nobody reads the answers of",
            vec![history(MARKET, 1, u64::MAX); 2_000],
            End::Ignored,
        ),
        (
            "a part of a history that was not asked for",
            vec![frame(Content::HistoryPart(part)); 20],
            End::Ignored,
        ),
        ("70,000 blocks of a history", vec![frame(Content::HistoryPart(blocks))], BAD),
    ];
    cases.into_iter().map(|(name, frames, end)| Case::new(name, Act::Say(frames), end)).collect()
}
