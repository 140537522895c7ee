//! Keeps the switch of a session from firing for as long as its stream lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Instrument;
use xbook_proto::v1::{AnswerWhen, Reason};

use crate::api::Api;
use crate::api::access::Deadline;
use crate::api::error::Refusal;
use crate::machine::{Account, Action, Origin, Request, Session, StreamSwitch, Switch};
use crate::node::MarketHandle;
use crate::types::Micros;

/// How often a switch is renewed in the time after which it fires: two words may be lost.
const RENEWALS: u32 = 4;

/// The number of the last stream of this process. They grow with its clock, so that those of other nodes and
/// earlier processes are mostly lower.
static LAST_STREAM: AtomicU64 = AtomicU64::new(0);

/// Renews the switch of a stream in a task of its own.
pub(super) struct Keeper {
    word: Word,
    ended: oneshot::Sender<StreamSwitch>,
}

/// What it takes to say something of a stream.
#[derive(Clone)]
struct Word {
    api: Api,
    market: MarketHandle,
    account: Account,
    session: Session,
    stream: u64,
}

impl Keeper {
    /// Arms the switch; it is armed when this returns.
    pub async fn begin(
        api: Api,
        market: MarketHandle,
        account: &Account,
        session: &Session,
        after: Micros,
    ) -> Result<Self, Refusal> {
        // Above that of the stream which the session had before, also if its node's clock was ahead.
        let of = (account.clone(), session.id);
        let read = market.read(move |replica| {
            let market = replica.view().machine.market();
            market.and_then(|market| market.guarding_stream(&of.0, of.1))
        });
        let known = read.await?.unwrap_or(0);
        let least = api.clock_now().0.max(known.saturating_add(1));
        let next = |last: u64| Some(least.max(last.saturating_add(1)));
        let before = LAST_STREAM.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let stream = before.ok().and_then(next).unwrap_or(least);
        let (account, session) = (account.clone(), session.clone());
        let word = Word { api, market, account, session, stream };
        word.say(word.lives(after), 0, AnswerWhen::Committed).await?;
        let (ended, end) = oneshot::channel();
        tokio::spawn(word.clone().renew(after, end).in_current_span());
        Ok(Self { word, ended })
    }

    /// The stream has ended; `left` if its client said goodbye. A node that is told to end says nothing: its clients
    /// go on elsewhere.
    pub fn end(self, left: bool) {
        let stopping = self.word.api.stopping.is_requested();
        if left || !stopping {
            // The task waits for this for as long as it runs.
            _ = self.ended.send(if left { StreamSwitch::Left } else { StreamSwitch::Lost });
        }
    }
}

impl Word {
    async fn renew(self, after: Micros, mut end: oneshot::Receiver<StreamSwitch>) {
        let pause = Duration::from_micros(after.0) / RENEWALS;
        for number in 1.. {
            let ended = tokio::time::timeout(pause, &mut end).await;
            let said = match ended {
                Err(_) => self.say(self.lives(after), number, AnswerWhen::Accepted).await,
                Ok(Ok(does)) => {
                    if let Err(refusal) = self.say(does, number, AnswerWhen::Accepted).await {
                        self.failed(&refusal);
                    }
                    return;
                }
                Ok(Err(_)) => return,
            };
            match said {
                Ok(()) => {}
                // Then nobody can renew it here any more.
                Err(refusal) if refusal.reason() == Reason::ShuttingDown => return,
                Err(refusal) => self.failed(&refusal),
            }
        }
    }

    fn lives(&self, after: Micros) -> StreamSwitch {
        StreamSwitch::Lives { after, by: self.api.clock_now().plus(after) }
    }

    fn failed(&self, refusal: &Refusal) {
        let market = self.market.name();
        tracing::warn!(market, account = %self.account, words = %refusal, "a session's switch is not renewed");
    }

    /// Says something of the stream. Each word has an id of its own, which nobody remembers.
    async fn say(&self, does: StreamSwitch, number: u64, when: AnswerWhen) -> Result<(), Refusal> {
        let Self { api, market, account, session, stream } = self;
        let switch = Switch::Stream { session: session.name.clone(), stream: *stream, does };
        let request = Request {
            account: account.clone(),
            origin: Origin::Request(format!("stream-{stream}-{number}").into()),
            body_hash: 0,
            action: Action::Switch(switch),
        };
        let deadline = Deadline::of_node(api.clock_now());
        match when {
            AnswerWhen::Committed => {
                let settled = Box::pin(api.committed(market, request, deadline)).await?;
                let words = "the market holds as many switches as it may";
                let refused = settled.refused != Reason::Unspecified;
                let refusal =
                    || Refusal::new(settled.refused, words).field("cancel_on_disconnect").within("open");
                if refused { Err(refusal()) } else { Ok(()) }
            }
            _ => Box::pin(api.submit(market, request, when, deadline)).await.map(drop),
        }
    }
}
