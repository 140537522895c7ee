//! `book --watch`: the ladder, redrawn as the book changes; or a line for each changed level where
//! the output is no terminal.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tonic::{Status, Streaming};
use xbook_proto::v1::stream_order_book_response::Event;
use xbook_proto::v1::{BookDelta, Level, Side, StreamOrderBookRequest, StreamOrderBookResponse};

use super::follow::{Follower, Taken, follow};
use super::screen;
use crate::args::BookArgs;
use crate::book::{Book, Change};
use crate::connect::Client;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Terminal};
use crate::show;
use crate::show::steps::Steps;

/// A busy book is drawn at most so often.
const FRAME: Duration = Duration::from_millis(50);

/// Lines below the ladder: an empty one and the state of the stream.
const FOOTER_LINES: u32 = 2;

/// Follows the book until the connection can't be mended or, on a terminal, until Ctrl-C.
pub async fn book(client: &Client, args: BookArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let shared = Shared { steps: super::steps(client, &args.market, output).await, ..Shared::default() };
    let live = output.terminal().live && !output.is_json();
    if !live {
        let mut follower =
            BookFollower { client, market: &args.market, shared: &shared, lines: Some(output) };
        return follow(client, None, &mut follower).await;
    }
    let mut follower = BookFollower { client, market: &args.market, shared: &shared, lines: None };
    screen::enter(output)?;
    let end = tokio::select! {
        end = follow(client, None, &mut follower) => end,
        failure = paint(&args, &shared, output) => Err(failure),
    };
    screen::leave(output)?;
    // The last picture stays where the reader is looking.
    if end.is_ok() && shared.seen.get() {
        let depth = depth(&args);
        let ladder = show::ladder::ladder(
            &args.market,
            &shared.book.borrow(),
            depth,
            &shared.steps,
            output.terminal(),
        );
        let ladder = output.hints().complete(&ladder);
        output.print(&ladder)?;
    }
    end
}

/// What the reader of the stream and the painter share. They are one task, so no lock is needed.
#[derive(Default)]
struct Shared {
    steps: Steps,
    book: RefCell<Book>,
    /// Whether the book has been read at all.
    seen: Cell<bool>,
    /// Whether there is something new to paint.
    fresh: Cell<bool>,
    /// Why the stream is interrupted, if it is.
    trouble: RefCell<String>,
    /// Whether it was, and the book is a new one.
    reconnected: Cell<bool>,
    /// Whether the next snapshot takes the place of another.
    anew: Cell<bool>,
}

async fn paint(args: &BookArgs, shared: &Shared, output: &mut Output<'_>) -> Failure {
    let mut frames = tokio::time::interval(FRAME);
    let mut size = 0;
    loop {
        frames.tick().await;
        if !shared.book.borrow().is_whole() {
            continue;
        }
        let resized = screen::lines() != size;
        if shared.fresh.take() || resized {
            size = screen::lines();
            if let Err(failure) =
                screen::draw(output, &output.hints().complete(&picture(args, shared, output.terminal())))
            {
                return failure;
            }
        }
    }
}

fn picture(args: &BookArgs, shared: &Shared, terminal: Terminal) -> String {
    let trouble = shared.trouble.borrow();
    let state = match (trouble.as_str(), shared.reconnected.get()) {
        ("", false) => "Ctrl-C ends.",
        ("", true) => "Reconnected: the book was read anew. Ctrl-C ends.",
        (trouble, _) => trouble,
    };
    let ladder = if shared.seen.get() {
        show::ladder::ladder(&args.market, &shared.book.borrow(), depth(args), &shared.steps, terminal)
    } else {
        String::new()
    };
    format!("{ladder}\n{state}\n")
}

/// As many levels as were asked for, and as the terminal holds.
fn depth(args: &BookArgs) -> usize {
    let levels = screen::lines().saturating_sub(show::ladder::FRAME_LINES + FOOTER_LINES + 1) / 2;
    args.depth.unwrap_or(levels).min(levels).max(1) as usize
}

struct BookFollower<'a, 'out> {
    client: &'a Client,
    market: &'a str,
    shared: &'a Shared,
    /// Where lines go; nothing if the book is painted.
    lines: Option<&'a mut Output<'out>>,
}

impl Follower for BookFollower<'_, '_> {
    type Message = StreamOrderBookResponse;

    /// The stream always begins with the whole book, so no position is needed.
    async fn open(&mut self, _after: Option<u64>) -> Result<Streaming<Self::Message>, Status> {
        self.shared.book.borrow_mut().begin_anew();
        let request = StreamOrderBookRequest { market: self.market.to_owned() };
        let request = self.client.stream_request(request);
        Ok(self.client.market_data().stream_order_book(request).await?.into_inner())
    }

    fn take(&mut self, message: StreamOrderBookResponse) -> Result<Taken, Failure> {
        let mut book = self.shared.book.borrow_mut();
        let change = update(&mut book, message.event.as_ref())?;
        if change == Change::Gap {
            return Ok(Taken::Gap);
        }
        if book.is_whole() {
            self.shared.seen.set(true);
            self.shared.fresh.set(true);
        }
        self.shared.trouble.borrow_mut().clear();
        if let Some(output) = &mut self.lines {
            let anew = self.shared.anew.take();
            output.show(&message, |_| lines(message.event.as_ref(), anew, &self.shared.steps))?;
        }
        Ok(Taken::UpTo(book.position))
    }

    fn interrupted(&mut self, why: &str) -> Result<(), Failure> {
        why.clone_into(&mut self.shared.trouble.borrow_mut());
        self.shared.fresh.set(true);
        match &mut self.lines {
            Some(output) => output.note(why),
            None => Ok(()),
        }
    }

    fn resumed(&mut self) -> Result<(), Failure> {
        self.shared.reconnected.set(true);
        self.shared.anew.set(true);
        match &mut self.lines {
            Some(output) => output.note("reconnected: the whole book follows, in place of the one before"),
            None => Ok(()),
        }
    }
}

fn update(book: &mut Book, event: Option<&Event>) -> Result<Change, Failure> {
    match event {
        Some(Event::Snapshot(snapshot)) => {
            book.take(snapshot)?;
            Ok(Change::Applied)
        }
        Some(Event::Delta(delta)) => book.apply(delta),
        Some(Event::Heartbeat(heartbeat)) => {
            book.position = heartbeat.position;
            Ok(Change::Applied)
        }
        None => Err(Failure::internal("the node sent an event that this version does not know; update xcli")),
    }
}

/// A line for each level that changed. A book that takes the place of another is marked: what it
/// does not list is gone.
fn lines(event: Option<&Event>, anew: bool, steps: &Steps) -> String {
    let (position, bids, asks) = match event {
        Some(Event::Snapshot(book)) => (book.position, &book.bids, &book.asks),
        Some(Event::Delta(BookDelta { position, bids, asks, .. })) => (*position, bids, asks),
        Some(Event::Heartbeat(_)) | None => return String::new(),
    };
    let line = |side, level: &Level| show::market::level(position, side, level, steps);
    let mark = anew.then(|| format!("{position:>8}  the whole book anew: what is not listed now is gone\n"));
    let bids = bids.iter().map(|level| line(Side::Buy, level));
    let asks = asks.iter().map(|level| line(Side::Sell, level));
    mark.into_iter().chain(bids).chain(asks).collect()
}
