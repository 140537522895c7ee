//! Who may match.

use xbook_proto::v1::Lease;

use super::grid::{Column, Grid, Tint};
use super::words;
use crate::output::Terminal;

/// A row for each lease.
pub fn leases(leases: &[Lease], terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("document"),
        Column::Number("term"),
        Column::Text("holder"),
        Column::Text("state"),
        Column::Text("seen since (UTC)"),
        Column::Text("promised by"),
        Column::Number("voters"),
    ]);
    for lease in leases {
        let state = match (lease.holder.is_empty(), lease.held) {
            (true, _) => "none yet",
            (false, true) => "held",
            (false, false) => "not renewed",
        };
        grid.row(
            Tint::Plain,
            [
                lease.document.clone(),
                lease.term.to_string(),
                lease.holder.clone(),
                state.to_owned(),
                words::time(lease.since.as_ref()),
                lease.promised_by.join(" "),
                lease.voters.len().to_string(),
            ],
        );
    }
    grid.render(terminal)
}
