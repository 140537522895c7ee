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

/// A busy book is drawn at most so often.
const FRAME: Duration = Duration::from_millis(50);

/// Lines below the ladder: an empty one and the state of the stream.
const FOOTER_LINES: u32 = 2;

/// Follows the book until the connection can't be mended or, on a terminal, until Ctrl-C.
pub async fn book(client: &Client, args: BookArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let shared = Shared::default();
    let live = output.terminal().live && !output.is_json();
    if !live {
        let mut follower =
            BookFollower { client, market: &args.market, shared: &shared, lines: Some(output) };
        return Err(follow(client, None, &mut follower).await);
    }
    let mut follower = BookFollower { client, market: &args.market, shared: &shared, lines: None };
    screen::enter(output)?;
    let end = tokio::select! {
        failure = follow(client, None, &mut follower) => Err(failure),
        failure = paint(&args, &shared, output) => Err(failure),
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    };
    screen::leave(output)?;
    // The last picture stays where the reader is looking.
    if end.is_ok() && shared.seen.get() {
        let depth = depth(&args);
        let ladder = show::ladder::ladder(&args.market, &shared.book.borrow(), depth, output.terminal());
        output.print(&ladder)?;
    }
    end
}

/// What the reader of the stream and the painter share. They are one task, so no lock is needed.
#[derive(Default)]
struct Shared {
    book: RefCell<Book>,
    /// Whether the book has been read at all.
    seen: Cell<bool>,
    /// Whether there is something new to paint.
    fresh: Cell<bool>,
    /// Why the stream is interrupted, if it is.
    trouble: RefCell<String>,
}

async fn paint(args: &BookArgs, shared: &Shared, output: &mut Output<'_>) -> Failure {
    let mut frames = tokio::time::interval(FRAME);
    let mut size = 0;
    loop {
        frames.tick().await;
        let resized = screen::lines() != size;
        if shared.fresh.take() || resized {
            size = screen::lines();
            if let Err(failure) = screen::draw(output, &picture(args, shared, output.terminal())) {
                return failure;
            }
        }
    }
}

fn picture(args: &BookArgs, shared: &Shared, terminal: Terminal) -> String {
    let trouble = shared.trouble.borrow();
    let state = if trouble.is_empty() { "Ctrl-C ends." } else { trouble.as_str() };
    let ladder = if shared.seen.get() {
        show::ladder::ladder(&args.market, &shared.book.borrow(), depth(args), terminal)
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
        self.shared.seen.set(true);
        self.shared.fresh.set(true);
        self.shared.trouble.borrow_mut().clear();
        if let Some(output) = &mut self.lines {
            output.show(&message, |_| lines(message.event.as_ref()))?;
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
}

fn update(book: &mut Book, event: Option<&Event>) -> Result<Change, Failure> {
    match event {
        Some(Event::Snapshot(snapshot)) => {
            *book = Book::new(snapshot)?;
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

/// A line for each level that changed.
fn lines(event: Option<&Event>) -> String {
    let (position, bids, asks) = match event {
        Some(Event::Snapshot(book)) => (book.position, &book.bids, &book.asks),
        Some(Event::Delta(BookDelta { position, bids, asks, .. })) => (*position, bids, asks),
        Some(Event::Heartbeat(_)) | None => return String::new(),
    };
    let line = |side, level: &Level| show::market::level(position, side, level);
    let bids = bids.iter().map(|level| line(Side::Buy, level));
    let asks = asks.iter().map(|level| line(Side::Sell, level));
    bids.chain(asks).collect()
}
