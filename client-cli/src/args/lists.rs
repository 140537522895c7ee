//! What is said of one's own orders and fills.

use clap::Args;

use super::{NamedArgs, Past, SideArg};

/// `order`.
#[derive(Debug, Clone, Args)]
pub struct OrderArgs {
    /// The market.
    pub market: String,
    /// Which order.
    #[command(flatten)]
    pub named: NamedArgs,
}

/// `orders`.
#[derive(Debug, Clone, Args)]
pub struct OrdersArgs {
    /// The market [default: all].
    pub market: Option<String>,
    /// Closed orders too, newest first after the open ones.
    #[arg(long)]
    pub all: bool,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// What lists leave out.
#[derive(Debug, Clone, Args)]
pub struct FilterArgs {
    /// Only this side.
    #[arg(long, value_enum)]
    pub side: Option<SideArg>,
    /// Only what happened from then on: a time such as 2030-01-31T12:00:00Z, or a duration before now such as
    /// 10m.
    #[arg(long, value_name = "WHEN")]
    pub from: Option<Past>,
    /// Only what happened before then.
    #[arg(long, value_name = "WHEN")]
    pub to: Option<Past>,
}

/// `positions`.
#[derive(Debug, Clone, Args)]
pub struct PositionsArgs {
    /// The market [default: all].
    pub market: Option<String>,
}

/// `fills`.
#[derive(Debug, Clone, Args)]
pub struct FillsArgs {
    /// The market [default: all].
    pub market: Option<String>,
    /// Only the fills of this order.
    #[arg(long, value_name = "ID", requires = "market")]
    pub order: Option<String>,
    /// Which of them.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

/// `updates`.
#[derive(Debug, Clone, Args)]
pub struct UpdatesArgs {
    /// The market.
    pub market: String,
    /// Begin after this position, without gap or repeat; else from now on.
    #[arg(long, value_name = "POSITION")]
    pub after: Option<u64>,
}
