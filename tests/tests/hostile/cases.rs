//! What is said, and how the stream must end; and what strangers say.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tonic::{Code, Status};
use xbook_proto::peer::v1::document_message::Message as Said;
use xbook_proto::peer::v1::frame::Content;
use xbook_proto::peer::v1::{Farewell, Greeting, HistoryRequest, Proof};

use super::fake::{Fake, PROTOCOL, Who, about, frame};
use super::target::{DIRECTORY, MARKET, Target, hello};

/// A case.
pub struct Case {
    pub name: String,
    pub act: Act,
    pub end: End,
}

/// What the fake peer does.
pub enum Act {
    /// Opens a stream with this frame.
    Open(Bytes),
    /// Greets, and answers the node's greeting with what is made of both.
    Greet(Box<Greeting>, Answer),
    /// Says these frames as a member.
    Say(Vec<Bytes>),
}

/// Made of its own greeting and of the node's.
pub type Answer = Box<dyn Fn(&Greeting, &Greeting) -> Vec<Content> + Send>;

/// How the stream ends.
#[derive(Debug)]
pub enum End {
    /// With this status, and words.
    Refused(Code),
    /// It goes on: nothing came of it.
    Ignored,
}

impl Case {
    pub fn new(name: impl Into<String>, act: Act, end: End) -> Self {
        Self { name: name.into(), act, end }
    }

    /// How long it is waited for the end: one that is expected may take a while.
    fn patience(&self) -> Duration {
        match self.end {
            End::Refused(_) => Duration::from_secs(5),
            End::Ignored => Duration::from_millis(150),
        }
    }

    /// Plays it; returns how the stream ended, if it did.
    pub async fn play(&self, target: &mut Target) -> Result<Option<Status>> {
        match &self.act {
            Act::Open(first) => Ok(match Fake::open(target.peer_address(), first.clone()).await {
                Ok(mut fake) => fake.ended_within(self.patience()).await,
                Err(status) => Some(status),
            }),
            Act::Greet(greeting, answer) => {
                let first = frame(Content::Greeting((**greeting).clone()));
                match Fake::open(target.peer_address(), first).await {
                    Ok(mut fake) => {
                        answer(greeting, &fake.greeting).into_iter().for_each(|content| fake.say(content));
                        Ok(fake.ended_within(self.patience()).await)
                    }
                    Err(status) => Ok(Some(status)),
                }
            }
            Act::Say(frames) => {
                let (_, mut fake) = target.connect().await?;
                frames.iter().for_each(|frame| fake.send(frame.clone()));
                Ok(fake.ended_within(self.patience()).await)
            }
        }
    }
}

/// What those say who are not in the directory, or say that they are somebody else.
pub fn of_strangers(target: &Target) -> Vec<Case> {
    let mut cases = openings(target);
    cases.extend(greetings(target));
    cases.extend(proofs(target));
    cases.extend(invitations(target));
    cases
}

/// First frames that are no greeting.
fn openings(target: &Target) -> Vec<Case> {
    let genesis = target.directory_genesis().ok();
    let changes = genesis.map(|genesis| about(DIRECTORY, 0, hello(&genesis)));
    let request =
        HistoryRequest { market: MARKET.into(), first_position: 1, last_position: u64::MAX, offset: 0 };
    let farewell = Farewell { reason: "x".repeat(10_000) };
    let cases: Vec<(&str, Bytes, Code)> = vec![
        ("nothing", Bytes::new(), Code::InvalidArgument),
        ("noise", Bytes::from(vec![0xA5; 300]), Code::InvalidArgument),
        (
            "a length that is not there",
            Bytes::from_static(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            Code::InvalidArgument,
        ),
        ("a message before a greeting", changes.map(frame).unwrap_or_default(), Code::InvalidArgument),
        ("a question about the history", frame(Content::HistoryRequest(request)), Code::InvalidArgument),
        ("a proof of nothing", frame(Content::Proof(Proof::default())), Code::InvalidArgument),
        ("a farewell", frame(Content::Farewell(farewell)), Code::InvalidArgument),
        ("a frame above what a greeting may be", Bytes::from(vec![0x0A; 100_000]), Code::InvalidArgument),
    ];
    cases
        .into_iter()
        .map(|(name, first, code)| Case::new(name, Act::Open(first), End::Refused(code)))
        .collect()
}

/// Greetings of nodes that can't be peers.
fn greetings(target: &Target) -> Vec<Case> {
    let good = Who::new(200).greeting(&target.directory);
    let greet = |change: &dyn Fn(&mut Greeting)| {
        let mut greeting = good.clone();
        change(&mut greeting);
        greeting
    };
    let mut other = target.directory.clone();
    other.voters = vec![7];
    let mut crowd = target.directory.clone();
    crowd.voters = (1..5_000).collect();
    let cases: Vec<(&str, Greeting, Code)> = vec![
        (
            "only older protocols",
            greet(&|greeting| (greeting.protocol, greeting.oldest_protocol) = (PROTOCOL - 1, 0)),
            Code::FailedPrecondition,
        ),
        (
            "only newer protocols",
            greet(&|greeting| (greeting.protocol, greeting.oldest_protocol) = (u32::MAX, PROTOCOL + 1)),
            Code::FailedPrecondition,
        ),
        (
            "another cluster",
            greet(&|greeting| greeting.directory = Some(other.clone())),
            Code::FailedPrecondition,
        ),
        (
            "a cluster of 5,000",
            greet(&|greeting| greeting.directory = Some(crowd.clone())),
            Code::FailedPrecondition,
        ),
        ("the node itself", greet(&|greeting| greeting.node = target.id), Code::FailedPrecondition),
        ("no challenge", greet(&|greeting| greeting.challenge = Bytes::new()), Code::InvalidArgument),
        (
            "a long challenge",
            greet(&|greeting| greeting.challenge = vec![1; 33].into()),
            Code::InvalidArgument,
        ),
        ("no key", greet(&|greeting| greeting.key = Bytes::new()), Code::InvalidArgument),
    ];
    let nothing = || -> Answer { Box::new(|_, _| Vec::new()) };
    let case = |(name, greeting, code)| {
        Case::new(name, Act::Greet(Box::new(greeting), nothing()), End::Refused(code))
    };
    cases.into_iter().map(case).collect()
}

/// What comes after a good greeting.
fn proofs(target: &Target) -> Vec<Case> {
    let good = |who: &Who| who.greeting(&target.directory);
    let who = Who::new(201);
    let mut cases: Vec<(&str, Greeting, Answer, Code)> = Vec::new();
    let mut add = |name, greeting, answer, code| cases.push((name, greeting, answer, code));
    for (name, signature) in [
        ("no signature", Bytes::new()),
        ("a made-up signature", vec![1; 64].into()),
        ("a long one", vec![0; 9_000].into()),
    ] {
        add(name, good(&who), Box::new(move |_, _| vec![proof(signature.clone())]), Code::Unauthenticated);
    }
    let genesis = target.directory_genesis().ok();
    let early = move || genesis.as_ref().map(|genesis| about(DIRECTORY, 0, hello(genesis)));
    add(
        "a message before a proof",
        good(&who),
        Box::new(move |_, _| early().into_iter().collect()),
        Code::Unauthenticated,
    );
    add(
        "a second greeting",
        good(&who),
        Box::new(|mine, _| vec![Content::Greeting(mine.clone())]),
        Code::Unauthenticated,
    );
    let reflected = |_: &Greeting, theirs: &Greeting| vec![proof(theirs.signature.clone())];
    add("the node's own signature", good(&who), Box::new(reflected), Code::Unauthenticated);
    let other_side = {
        let who = who.clone();
        move |mine: &Greeting, theirs: &Greeting| vec![proof(who.signature(mine, theirs, "dialled"))]
    };
    add("a signature of the other side", good(&who), Box::new(other_side), Code::Unauthenticated);
    let old = {
        let who = who.clone();
        move |mine: &Greeting, theirs: &Greeting| {
            let theirs = Greeting { challenge: vec![3; 32].into(), ..theirs.clone() };
            vec![who.proof(mine, &theirs)]
        }
    };
    add("a signature of another meeting", good(&who), Box::new(old), Code::Unauthenticated);
    let weak = Greeting { key: vec![0; 32].into(), ..good(&who) };
    add(
        "a key that everything is signed with",
        weak,
        Box::new(|_, _| vec![proof(vec![0; 64].into())]),
        Code::Unauthenticated,
    );
    cases.into_iter().map(greeted).collect()
}

/// Who shows a token that lets nobody in, or claims to be a node that has another key.
fn invitations(target: &Target) -> Vec<Case> {
    let good = |who: &Who| who.greeting(&target.directory);
    let mut cases: Vec<(&str, Greeting, Answer, Code)> = Vec::new();
    let mut add = |name, greeting, answer, code| cases.push((name, greeting, answer, code));
    for (name, token) in [
        ("no token", Vec::new()),
        ("a made-up token", vec![4; 16]),
        ("half a token", vec![0x5e; 8]),
        ("a token of 60 KB", vec![0x5e; 60_000]),
    ] {
        let who = Who::new(202).with_token(&token);
        let (greeting, shown) = (good(&who), who.clone());
        add(
            name,
            greeting,
            Box::new(move |mine, theirs| vec![shown.proof(mine, theirs)]),
            Code::PermissionDenied,
        );
    }
    // One that is in the directory, by a stranger's key: the attacked node itself is the only one.
    let zero = Who { node: 0, ..Who::new(203) };
    let greeting = good(&zero);
    add(
        "node 0",
        greeting,
        Box::new(move |mine, theirs| vec![zero.proof(mine, theirs)]),
        Code::PermissionDenied,
    );
    cases.into_iter().map(greeted).collect()
}

fn greeted((name, greeting, answer, code): (&str, Greeting, Answer, Code)) -> Case {
    Case::new(name, Act::Greet(Box::new(greeting), answer), End::Refused(code))
}

/// A message about the market, as a member says it.
pub fn say(name: impl Into<String>, said: Vec<Said>, end: End) -> Case {
    let frames = said.into_iter().map(|said| frame(about(MARKET, 0, said))).collect();
    Case::new(name, Act::Say(frames), end)
}

fn proof(signature: Bytes) -> Content {
    Content::Proof(Proof { signature, join_token: Bytes::new() })
}
