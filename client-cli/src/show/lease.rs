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
        Column::Text("since (UTC)"),
        Column::Text("promised by"),
    ]);
    for lease in leases {
        let mut promised = lease.promised_by.clone();
        if promised.is_empty() && !lease.holder.is_empty() {
            // Nobody had to promise it: the generation began with it.
            promised.push(format!("generation {}", lease.generation));
        }
        promised.push(format!("of {}", words::count(lease.voters.len(), "voter")));
        let state = match (lease.holder.is_empty(), lease.held) {
            (true, _) => "none",
            (false, true) => "held",
            (false, false) => "lapsed",
        };
        grid.row(
            Tint::Plain,
            [
                lease.document.clone(),
                lease.term.to_string(),
                lease.holder.clone(),
                state.to_owned(),
                words::second(lease.since.as_ref()),
                promised.join("\n"),
            ],
        );
    }
    grid.render(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn three_voters_fit_80_columns() {
        let voters: Vec<String> = (1..=3).map(|number| format!("89abcdef0123456{number}")).collect();
        let lease = Lease {
            document: "BTC/USDT".to_owned(),
            term: 12,
            holder: voters[0].clone(),
            since: Some(Timestamp { seconds: 86_400, nanos: 0 }),
            promised_by: voters[..2].to_vec(),
            voters,
            held: true,
            ..Lease::default()
        };
        let first = Lease {
            document: "directory".to_owned(),
            promised_by: vec![],
            held: false,
            generation: 4,
            ..lease.clone()
        };
        let expected = "\
document   term  holder            state   since (UTC)          promised by
directory    12  89abcdef01234561  lapsed  1970-01-02 00:00:00  generation 4
                                                                of 3 voters
BTC/USDT     12  89abcdef01234561  held    1970-01-02 00:00:00  89abcdef01234561
                                                                89abcdef01234562
                                                                of 3 voters
";
        let text = leases(&[first, lease], Terminal::NONE);
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| line.len() <= 80));
    }
}
