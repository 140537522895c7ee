//! The node and its documents.

use xbook_proto::v1::{DocumentStatus, DocumentVoters, GetNodeResponse, ListNodesResponse};

use super::grid::{Column, Grid, Tint};
use super::order::pairs;
use super::words;
use crate::output::Terminal;

/// Digits of a digest that are shown: enough to compare nodes by eye.
const DIGEST_DIGITS: usize = 12;

/// The node, then a row for each of its documents.
pub fn node(node: &GetNodeResponse, terminal: Terminal) -> String {
    let mut text = pairs(&[
        ("node", &node.node_id),
        ("version", &node.version),
        ("started", &words::time(node.start_time.as_ref())),
    ]);
    if node.documents.is_empty() {
        return text;
    }
    let mut grid = Grid::new(&[
        Column::Text("document"),
        Column::Number("generation"),
        Column::Number("term"),
        Column::Text("holder"),
        Column::Number("voters"),
        Column::Number("position"),
        Column::Number("batches"),
        Column::Number("pending"),
        Column::Number("changes"),
        Column::Number("bytes"),
        Column::Text("digest"),
    ]);
    for document in &node.documents {
        grid.row(
            Tint::Plain,
            [
                document.name.clone(),
                document.generation.to_string(),
                document.term.to_string(),
                if document.holder == node.node_id {
                    "this node".to_owned()
                } else {
                    document.holder.clone()
                },
                document.voters.len().to_string(),
                document.position.to_string(),
                document.committed_batches.to_string(),
                document.pending_intents.to_string(),
                document.changes.to_string(),
                document.bytes.to_string(),
                document.digest.chars().take(DIGEST_DIGITS).collect(),
            ],
        );
    }
    text.push('\n');
    text.push_str(&grid.render(terminal));
    let quarantined = |document: &DocumentStatus| (document.name.clone(), document.quarantined.clone());
    let quarantined: Vec<_> = node.documents.iter().map(quarantined).collect();
    text.push_str(&words::quarantined(quarantined.iter().map(|(name, why)| (name.as_str(), why.as_str()))));
    text
}

/// A row for each node of the cluster.
pub fn nodes(answer: &ListNodesResponse, terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("node"),
        Column::Text("address"),
        Column::Text("role"),
        Column::Text("state"),
    ]);
    for node in &answer.nodes {
        let state = match (node.this_node, node.connected) {
            (true, _) => "this node",
            (false, true) => "connected",
            (false, false) => "not connected",
        };
        let role = if node.voter { "voter" } else { "observer" };
        grid.row(
            Tint::Plain,
            [node.node_id.clone(), node.address.clone(), role.to_owned(), state.to_owned()],
        );
    }
    grid.render(terminal)
}

/// A row for each document, with its voters.
pub fn voters(documents: &[DocumentVoters], terminal: Terminal) -> String {
    let mut grid =
        Grid::new(&[Column::Text("document"), Column::Number("generation"), Column::Text("voters")]);
    for document in documents {
        let generation = document.generation.to_string();
        grid.row(Tint::Plain, [document.name.clone(), generation, document.voters.join(" ")]);
    }
    grid.render(terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_shown_with_its_documents() {
        let document = DocumentStatus {
            name: "BTC/USDT".to_owned(),
            voters: vec!["0000000000007f3a".to_owned()],
            holder: "0000000000007f3a".to_owned(),
            term: 1,
            position: 12,
            digest: "0123456789abcdef".to_owned(),
            ..DocumentStatus::default()
        };
        let answer = GetNodeResponse {
            node_id: "0000000000007f3a".to_owned(),
            version: "0.1.0".to_owned(),
            documents: vec![document],
            ..GetNodeResponse::default()
        };
        let expected = "\
node     0000000000007f3a
version  0.1.0

document  generation  term  holder     voters  position  batches  pending  changes  bytes  digest
BTC/USDT           0     1  this node       1        12        0        0        0      0  0123456789ab
";
        assert_eq!(node(&answer, Terminal::NONE), expected);
        let faulty = DocumentStatus {
            name: "ETH/USDT".to_owned(),
            quarantined: "record 3 is damaged".to_owned(),
            ..DocumentStatus::default()
        };
        let answer = GetNodeResponse { documents: vec![faulty], ..GetNodeResponse::default() };
        let shown = node(&answer, Terminal::NONE);
        let last = shown.lines().last().unwrap();
        assert_eq!(last, "ETH/USDT is QUARANTINED on this node: record 3 is damaged");
    }
}
