//! `trades --watch` and `updates`: a line for each event, resumed by position.

use tonic::{Status, Streaming};
use xbook_proto::v1::{
    ListTradesResponse, StreamOrderUpdatesRequest, StreamOrderUpdatesResponse, StreamTradesRequest,
    StreamTradesResponse, stream_order_updates_response, stream_trades_response,
};

use super::follow::{Follower, Taken, follow};
use super::steps;
use crate::args::UpdatesArgs;
use crate::connect::Client;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::show;
use crate::show::steps::Steps;

const RECONNECTED: &str = "reconnected: it goes on after the last event, without gap or repeat";

/// Shows the trades of `past`, oldest first, and then every trade after its position.
pub async fn trades(
    client: &Client,
    market: &str,
    past: ListTradesResponse,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    if !output.is_json() {
        output.print(&show::market::trade_header())?;
    }
    let steps = steps(client, market, output).await;
    let mut follower = Trades { client, market, steps, output };
    for trade in past.trades.into_iter().rev() {
        let event = Some(stream_trades_response::Event::Trade(trade));
        follower.take(StreamTradesResponse { event })?;
    }
    follow(client, Some(past.position), &mut follower).await
}

struct Trades<'a, 'out> {
    client: &'a Client,
    market: &'a str,
    steps: Steps,
    output: &'a mut Output<'out>,
}

impl Follower for Trades<'_, '_> {
    type Message = StreamTradesResponse;

    async fn open(&mut self, after: Option<u64>) -> Result<Streaming<Self::Message>, Status> {
        let request = StreamTradesRequest { market: self.market.to_owned(), after_position: after };
        let request = self.client.stream_request(request);
        Ok(self.client.market_data().stream_trades(request).await?.into_inner())
    }

    fn take(&mut self, message: StreamTradesResponse) -> Result<Taken, Failure> {
        use stream_trades_response::Event;
        self.output.show(&message, |terminal| match &message.event {
            Some(Event::Trade(trade)) => show::market::trade(trade, &self.steps, terminal),
            Some(Event::Heartbeat(_)) | None => String::new(),
        })?;
        match message.event {
            Some(Event::Trade(trade)) => Ok(Taken::UpTo(trade.position)),
            Some(Event::Heartbeat(heartbeat)) => Ok(Taken::UpTo(heartbeat.position)),
            None => Err(unknown_event()),
        }
    }

    fn interrupted(&mut self, why: &str) -> Result<(), Failure> {
        self.output.note(why)
    }

    fn resumed(&mut self) -> Result<(), Failure> {
        self.output.note(RECONNECTED)
    }
}

/// Shows every change of the account's orders.
pub async fn updates(client: &Client, args: UpdatesArgs, output: &mut Output<'_>) -> Result<Exit, Failure> {
    let steps = steps(client, &args.market, output).await;
    let mut follower = Updates { client, market: &args.market, steps, output };
    follow(client, args.after, &mut follower).await
}

struct Updates<'a, 'out> {
    client: &'a Client,
    market: &'a str,
    steps: Steps,
    output: &'a mut Output<'out>,
}

impl Follower for Updates<'_, '_> {
    type Message = StreamOrderUpdatesResponse;

    async fn open(&mut self, after: Option<u64>) -> Result<Streaming<Self::Message>, Status> {
        let request = StreamOrderUpdatesRequest { market: self.market.to_owned(), after_position: after };
        let request = self.client.stream_request(request);
        Ok(self.client.trading().stream_order_updates(request).await?.into_inner())
    }

    fn take(&mut self, message: StreamOrderUpdatesResponse) -> Result<Taken, Failure> {
        use stream_order_updates_response::Event;
        self.output.show(&message, |_| match &message.event {
            Some(Event::Updates(event)) => {
                event.updates.iter().map(|update| show::order::update(update, &self.steps)).collect()
            }
            Some(Event::Heartbeat(_)) | None => String::new(),
        })?;
        match message.event {
            Some(Event::Updates(event)) => Ok(Taken::UpTo(event.position)),
            Some(Event::Heartbeat(heartbeat)) => Ok(Taken::UpTo(heartbeat.position)),
            None => Err(unknown_event()),
        }
    }

    fn interrupted(&mut self, why: &str) -> Result<(), Failure> {
        self.output.note(why)
    }

    fn resumed(&mut self) -> Result<(), Failure> {
        self.output.note(RECONNECTED)
    }
}

fn unknown_event() -> Failure {
    Failure::internal("the node sent an event that this version does not know; update xcli")
}
