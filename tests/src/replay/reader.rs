//! The results of commands as the workload's report.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use rust_decimal::Decimal;
use rustc_hash::FxBuildHasher;
use xbook::decimal::Grid;
use xbook::types::OrderId;
use xbook_proto::v1::{CommandOutcome, OrderStatus, Reason, TradeFill, TradeResult};

use super::TICK;
use crate::workload::e1::{Action, Message};
use crate::workload::report::{Answer, Reports, Trade};

/// The workload's price grid.
pub(super) fn tick() -> Result<Grid> {
    Ok(Grid::new(TICK.parse()?)?)
}

/// Reads results in the order of the commands, and writes the report.
pub(super) struct Reader {
    tick: Grid,
    reports: Reports,
    /// Number of the last command that was answered.
    last: u64,
    /// The workload's number of each order that the node has named.
    orders: HashMap<OrderId, u32, FxBuildHasher>,
    /// The price of each order, as it was last placed or modified, by the workload's number.
    prices: Vec<u64>,
    trades: Vec<Trade>,
}

impl Reader {
    /// For a workload of so many messages.
    pub fn new(messages: usize) -> Result<Self> {
        Ok(Self {
            tick: tick()?,
            reports: Reports::default(),
            last: 0,
            orders: HashMap::default(),
            prices: vec![0; messages + 1],
            trades: Vec::new(),
        })
    }

    /// Reads the result of a message's command.
    ///
    /// # Errors
    /// It is not the next one, or not an answer that an engine could give.
    pub fn read(&mut self, message: &Message, result: &TradeResult) -> Result<()> {
        self.last += 1;
        ensure!(result.number == self.last, "the next result is that of command {}", self.last);
        let answer = self.answer(message, result)?;
        self.trades.clear();
        for fill in &result.fills {
            let trade = self.trade(fill)?;
            self.trades.push(trade);
        }
        self.reports.add(message, answer, self.trades.drain(..));
        Ok(())
    }

    /// How many lines the report has, and its hash.
    pub fn finish(self) -> (u64, String) {
        (self.reports.lines(), self.reports.hash())
    }

    fn answer(&mut self, message: &Message, result: &TradeResult) -> Result<Answer> {
        let order = message.order as usize;
        match (result.outcome(), message.action) {
            (CommandOutcome::Done, Action::New { price, ioc, .. }) => {
                let cancelled = match result.status() {
                    OrderStatus::Cancelled if ioc => true,
                    OrderStatus::Open | OrderStatus::PartiallyFilled if !ioc => false,
                    OrderStatus::Filled => false,
                    status => bail!("a new order is {status:?}"),
                };
                self.prices[order] = price;
                self.orders.insert(result.order_id.parse()?, message.order);
                Ok(Answer::Accepted { cancelled })
            }
            (CommandOutcome::Done, Action::Modify { price, .. }) => {
                self.prices[order] = price;
                Ok(Answer::Modified)
            }
            (CommandOutcome::Done, Action::Cancel) => Ok(Answer::Cancelled { price: self.prices[order] }),
            (CommandOutcome::Refused, Action::Modify { .. } | Action::Cancel)
                if matches!(result.reason(), Reason::UnknownOrder | Reason::OrderClosed) =>
            {
                Ok(Answer::Refused)
            }
            (outcome, _) => bail!("{outcome:?} ({:?}) is no answer to it", result.reason()),
        }
    }

    fn trade(&self, fill: &TradeFill) -> Result<Trade> {
        let maker = self.orders.get(&fill.maker_order_id.parse()?).context("nobody placed the maker")?;
        let price = self.tick.steps(fill.price.parse::<Decimal>()?)?;
        Ok(Trade { maker: *maker, price, quantity: fill.quantity.parse()? })
    }
}
