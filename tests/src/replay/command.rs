//! The workload's messages as commands of a session.

use anyhow::Result;
use xbook::decimal::Grid;
use xbook::types::Side;
use xbook_proto::v1::trade_amend::Size;
use xbook_proto::v1::trade_command::Command;
use xbook_proto::v1::{
    NewOrder, OrderRef, Side as WireSide, TimeInForce, TradeAmend, TradeCancel, TradeCommand, TradeRequest,
    order_ref,
};

use super::reader::tick;
use crate::workload::e1::{Action, Message};

/// Writes commands. Orders are named by the command that placed them, so nothing waits for an id.
pub(super) struct Commands {
    tick: Grid,
    /// The number of the command that placed each order, by the workload's number of the order.
    placed_by: Vec<u64>,
}

impl Commands {
    /// For a workload of so many messages.
    pub fn new(messages: usize) -> Result<Self> {
        // Every order has a message of its own, and orders are numbered from 1.
        Ok(Self { tick: tick()?, placed_by: vec![0; messages + 1] })
    }

    /// Consecutive messages as one message of the stream.
    pub fn request(&mut self, first_number: u64, messages: &[Message]) -> TradeRequest {
        let commands = messages
            .iter()
            .zip(first_number..)
            .map(|(message, number)| TradeCommand { command: Some(self.command(number, message)) });
        TradeRequest { open: None, first_number, commands: commands.collect() }
    }

    fn command(&mut self, number: u64, message: &Message) -> Command {
        match message.action {
            Action::New { price, quantity, ioc } => {
                self.placed_by[message.order as usize] = number;
                let time_in_force = if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc };
                Command::Place(NewOrder {
                    side: side(message.side).into(),
                    price: self.tick.text(price),
                    quantity: quantity.to_string(),
                    time_in_force: time_in_force.into(),
                    ..NewOrder::default()
                })
            }
            // The workload's modify is a new price and a new open quantity, whatever was filled.
            Action::Modify { price, quantity } => Command::Amend(TradeAmend {
                order: self.target(message),
                price: self.tick.text(price),
                size: Some(Size::OpenQuantity(quantity.to_string())),
                ..TradeAmend::default()
            }),
            Action::Cancel => Command::Cancel(TradeCancel { order: self.target(message) }),
        }
    }

    fn target(&self, message: &Message) -> Option<OrderRef> {
        let number = self.placed_by[message.order as usize];
        Some(OrderRef { order: Some(order_ref::Order::CommandNumber(number)) })
    }
}

fn side(side: Side) -> WireSide {
    match side {
        Side::Buy => WireSide::Buy,
        Side::Sell => WireSide::Sell,
    }
}
