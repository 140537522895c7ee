//! `Subscribe`: many markets and channels on one stream.
//!
//! ```text
//! Subscription ──> a line, which waits for blocks ──> what changed since its last message ──┐
//! Subscription ──> a line ────────────────────────────────────────────────────────────────┴──> outlet
//! ```
//!
//! A line that waits for room in the outlet makes nothing meanwhile: what it sends next has all changes since.
//! So a slow reader costs no memory, and gets fewer and larger messages.

mod books;
mod events;
mod feed;

use std::convert::Infallible;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};
use tonic::{Request, Response, Status};
use tracing::Instrument;
use xbook_proto::v1::subscribe_response::Event;
use xbook_proto::v1::subscription::Channel;
use xbook_proto::v1::subscription_service_server::SubscriptionService;
use xbook_proto::v1::{self, Reason, SubscribeResponse};

use crate::api::Api;
use crate::api::Stopping;
use crate::api::access;
use crate::api::error::Refusal;
use crate::api::market_data::books as levels;
use crate::api::market_data::candles;
use crate::api::market_data::ladder::Step;
use crate::api::markets::units;
use crate::api::streams::Answers;
use crate::api::streams::SILENCE;
use crate::api::streams::follow;
use crate::api::streams::outlet::{self, Outlet, Stop};
use crate::machine::Account;
use crate::node::{BlockReceiver, MarketHandle};
use crate::types::Position;
#[cfg(test)]
pub(in crate::api) use books::MAX_ENTRIES;
pub(in crate::api) use books::all_levels;
pub(in crate::api) use feed::{Book, Feed, Feeds};

/// Most subscriptions of a stream.
const MAX_SUBSCRIPTIONS: usize = 64;

/// Most messages that wait for a reader.
const BUFFERED: u32 = 256;

/// Most characters of the words at a subscription's end.
const MAX_WORDS: usize = 4_096;

/// A subscription that was found valid.
struct Wanted {
    market: MarketHandle,
    /// Whose stream it is.
    account: Account,
    after: Option<Position>,
    channel: Kind,
}

/// What a subscription is to.
#[derive(Clone, Copy)]
enum Kind {
    Levels { depth: Option<usize>, step: Step },
    Orders,
    Quote,
    Trades,
    Ticker,
    Candles { seconds: u64 },
    Updates,
}

/// Why a line ends.
enum End {
    /// By what is the matter with its market.
    Line(Refusal),
    /// With its stream.
    Stream(Stop),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Line(refusal)
    }
}

/// What lines never do: they go on until something ends them.
type Forever = Result<Infallible, End>;

#[tonic::async_trait]
impl SubscriptionService for Api {
    type SubscribeStream = Answers<SubscribeResponse>;

    async fn subscribe(
        &self,
        call: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let unread = self.unread.of_call(&call);
        let account = access::account(&call)?;
        let subscriptions = call.into_inner().subscriptions;
        let limit = match subscriptions.len() {
            0 => Some((Reason::MissingField, "must have at least 1 entry".to_owned())),
            1..=MAX_SUBSCRIPTIONS => None,
            _ => Some((Reason::AboveMaximum, format!("must have at most {MAX_SUBSCRIPTIONS} entries"))),
        };
        if let Some((reason, words)) = limit {
            return Err(Refusal::new(reason, words).field("subscriptions").value(subscriptions.len()).into());
        }
        let mut wanted = Vec::new();
        for subscription in &subscriptions {
            wanted.push(
                self.wanted(subscription, &account)
                    .await
                    .map_err(|refusal| refusal.within("subscriptions"))?,
            );
        }
        // The stream's own place is one of them.
        let places = (1..wanted.len()).map(|_| unread.stream()).collect::<Result<Vec<_>, _>>()?;
        let (outlet, answers) = outlet::channel(BUFFERED, unread)?;
        let (stopping, feeds) = (self.stopping.clone(), self.feeds.clone());
        let task = async move {
            let result = run(wanted, &feeds, &outlet, stopping).await;
            outlet.end(result);
            drop(places);
        };
        tokio::spawn(task.in_current_span());
        Ok(Response::new(answers))
    }
}

impl Api {
    async fn wanted(&self, subscription: &v1::Subscription, account: &Account) -> Result<Wanted, Refusal> {
        let market = self.find_market(&subscription.market)?;
        let channel = match &subscription.channel {
            None => return Err(Refusal::new(Reason::MissingField, "must be set").field("channel")),
            Some(Channel::Levels(v1::LevelsChannel { depth, price_step })) => {
                let depth = if *depth == 0 { None } else { Some(levels::depth(*depth)) };
                let step = Step::asked(price_step, &units(&market));
                let named = |refusal: Refusal| refusal.within("levels");
                Kind::Levels { depth: depth.transpose().map_err(named)?, step: step.map_err(named)? }
            }
            Some(Channel::Orders(_)) => Kind::Orders,
            Some(Channel::Quote(_)) => Kind::Quote,
            Some(Channel::Trades(_)) => Kind::Trades,
            Some(Channel::Ticker(_)) => Kind::Ticker,
            Some(Channel::Updates(_)) => Kind::Updates,
            Some(Channel::Candles(v1::CandlesChannel { interval })) => {
                let seconds = candles::seconds(*interval).map_err(|refusal| refusal.within("candles"))?;
                Kind::Candles { seconds }
            }
        };
        let after = subscription.after_position.map(Position);
        if let Some(after) = after {
            follow::check_beginning(&market, after).await?;
        }
        Ok(Wanted { market, account: account.clone(), after, channel })
    }
}

/// Runs the lines until the last one has ended, or the stream has.
async fn run(
    wanted: Vec<Wanted>,
    feeds: &Feeds,
    outlet: &Outlet<SubscribeResponse>,
    mut stopping: Stopping,
) -> Result<(), Stop> {
    let sending = Mutex::new(());
    let lines = wanted.into_iter().zip(0..);
    let mut lines: FuturesUnordered<_> =
        lines.map(|(wanted, number)| line(wanted, number, feeds, (outlet, &sending))).collect();
    loop {
        let ended = tokio::select! {
            biased;
            refusal = stopping.requested() => return Err(refusal.into()),
            () = outlet.gone() => return Err(Stop::Gone),
            ended = lines.next() => ended,
        };
        match ended {
            // Each was told why.
            None => return Ok(()),
            Some(Ok(())) => {}
            Some(Err(stop)) => return Err(stop),
        }
    }
}

/// Runs a subscription; at its end its client has been told why.
async fn line(
    wanted: Wanted,
    number: u32,
    feeds: &Feeds,
    (outlet, sending): (&Outlet<SubscribeResponse>, &Mutex<()>),
) -> Result<(), Stop> {
    let Wanted { market, account, after, channel } = wanted;
    let wake = market.subscribe();
    let position = after.unwrap_or_else(|| market.shown());
    let silent_until = Instant::now() + SILENCE;
    let mut line =
        Line { number, outlet, sending, market: &market, wake, position, begun: false, silent_until };
    match line.follow(after, (channel, account), feeds).await {
        Err(End::Stream(stop)) => Err(stop),
        Err(End::Line(refusal)) if refusal.reason() == Reason::ShuttingDown => Err(refusal.into()),
        Err(End::Line(refusal)) => {
            let message = refusal.to_string().chars().take(MAX_WORDS).collect();
            let end = v1::SubscriptionEnd { reason: refusal.reason().into(), message };
            let told = line.tell(line.position, Event::End(end)).await;
            told.map_err(|end| match end {
                End::Stream(stop) => stop,
                End::Line(refusal) => refusal.into(),
            })
        }
        Ok(never) => match never {},
    }
}

/// A subscription while it runs.
struct Line<'a> {
    number: u32,
    outlet: &'a Outlet<SubscribeResponse>,
    /// One of the stream's lines sends at a time.
    sending: &'a Mutex<()>,
    market: &'a MarketHandle,
    wake: BlockReceiver,
    /// Position of the last message.
    position: Position,
    /// Whether anything was sent.
    begun: bool,
    silent_until: Instant,
}

impl Line<'_> {
    async fn follow(
        &mut self,
        after: Option<Position>,
        (channel, account): (Kind, Account),
        feeds: &Feeds,
    ) -> Forever {
        if let Some(after) = after {
            follow::wait_for_beginning(self.market, after).await?;
        }
        match channel {
            Kind::Levels { depth, step } => self.levels(&feeds.of(self.market), (depth, step), after).await,
            Kind::Orders => self.orders(&feeds.of(self.market), after).await,
            Kind::Quote => self.quote(&feeds.of(self.market)).await,
            Kind::Trades => self.trades(after).await,
            Kind::Updates => self.updates(after, account).await,
            Kind::Ticker => self.ticker().await,
            Kind::Candles { seconds } => self.candles(seconds, after).await,
        }
    }

    /// Sends a message that is whole by itself.
    async fn tell(&mut self, position: Position, event: Event) -> Result<(), End> {
        self.send(position, std::iter::once(event), false, None).await
    }

    /// Sends a snapshot, or what has changed, in one message or several.
    async fn send(
        &mut self,
        position: Position,
        events: impl ExactSizeIterator<Item = Event>,
        snapshot: bool,
        checksum: Option<u32>,
    ) -> Result<(), End> {
        let last = events.len();
        let previous_position = if snapshot { 0 } else { self.position.0 };
        for (event, count) in events.zip(1..) {
            let more = count < last;
            let message = SubscribeResponse {
                subscription: self.number,
                previous_position,
                position: position.0,
                more,
                checksum: checksum.filter(|_| !more),
                event: Some(event),
            };
            let _alone = self.sending.lock().await;
            self.outlet.send(message).await.map_err(End::Stream)?;
        }
        self.position = position;
        self.silent_until = Instant::now() + SILENCE;
        Ok(())
    }

    async fn heartbeat(&mut self, position: Position) -> Result<(), End> {
        self.tell(position, Event::Heartbeat(v1::Heartbeat { position: position.0 })).await
    }

    /// Waits until a block comes. Meanwhile says that all up to a position was sent, when nothing was for long.
    async fn wait(&mut self, seen: Position) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                // First, since there may always be a block that changes nothing here.
                () = sleep_until(self.silent_until) => self.heartbeat(seen).await?,
                received = self.wake.recv() => match received {
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return Err(Refusal::shutting_down().into()),
                },
                closed = self.market.faulted() => return Err(Refusal::from(closed).into()),
            }
        }
        // All that are there are dealt with at once.
        while let Ok(_) | Err(TryRecvError::Lagged(_)) = self.wake.try_recv() {}
        Ok(())
    }
}
