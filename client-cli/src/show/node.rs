//! The node and its documents.

use xbook_proto::v1::{
    ClusterNode, CreateJoinTokenResponse, DocumentStatus, DocumentVoters, GetNodeResponse, ListNodesResponse,
};

use super::grid::{Column, Grid, Tint};
use super::order::pairs;
use super::words;
use crate::output::Terminal;

/// Digits of a digest that are shown: enough to compare nodes by eye.
const DIGEST_DIGITS: usize = 12;

/// How many documents are named that a node votes on, if they are not all.
const MAX_NAMED: usize = 3;

/// From which difference on a clock is wrong, in microseconds.
const WRONG_CLOCK_US: u64 = 5_000_000;

/// The node, then a row for each of its documents: who writes it, and how much it is.
pub fn node(node: &GetNodeResponse, terminal: Terminal) -> String {
    let text = pairs(&[
        ("node", &node.node_id),
        ("version", &node.version),
        ("reads", &reads(node)),
        ("started", &words::time(node.start_time.as_ref())),
    ]);
    if node.documents.is_empty() {
        return text;
    }
    let faults = node.documents.iter().map(|document| (&*document.name, &*document.quarantined));
    let faults = words::quarantined(faults);
    let ahead = node.documents.iter().map(|document| (&*document.name, document.tape_ahead_us));
    let ahead = words::tapes_ahead(ahead);
    format!("{text}\n{}\n{}{faults}{ahead}", written(node, terminal), sizes(&node.documents, terminal))
}

/// What formats of documents the node's program reads.
fn reads(node: &GetNodeResponse) -> String {
    match (node.oldest_format, node.newest_format) {
        (oldest, newest) if oldest == newest => format!("format {newest}"),
        (oldest, newest) => format!("formats {oldest} to {newest}"),
    }
}

fn written(node: &GetNodeResponse, terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("document"),
        Column::Number("generation"),
        Column::Number("format"),
        Column::Number("term"),
        Column::Text("holder"),
        Column::Number("voters"),
        Column::Number("position"),
        Column::Number("pending"),
    ]);
    for document in &node.documents {
        let mine = document.holder == node.node_id;
        grid.row(
            Tint::Plain,
            [
                document.name.clone(),
                document.generation.to_string(),
                document.format.to_string(),
                document.term.to_string(),
                if mine { "this node".to_owned() } else { document.holder.clone() },
                document.voters.len().to_string(),
                document.position.to_string(),
                document.pending_intents.to_string(),
            ],
        );
    }
    grid.render(terminal)
}

fn sizes(documents: &[DocumentStatus], terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("document"),
        Column::Number("batches"),
        Column::Number("changes"),
        Column::Number("bytes"),
        Column::Text("digest"),
    ]);
    for document in documents {
        grid.row(
            Tint::Plain,
            [
                document.name.clone(),
                document.committed_batches.to_string(),
                document.changes.to_string(),
                document.bytes.to_string(),
                document.digest.chars().take(DIGEST_DIGITS).collect(),
            ],
        );
    }
    grid.render(terminal)
}

/// A row for each node of the cluster, then the clocks that are wrong. `documents` are those of the
/// answering node; nothing if they are not known.
pub fn nodes(answer: &ListNodesResponse, documents: &[DocumentStatus], terminal: Terminal) -> String {
    let mut grid = Grid::new(&[
        Column::Text("node"),
        Column::Text("address"),
        Column::Text("votes on"),
        Column::Text("state"),
    ]);
    for node in &answer.nodes {
        let state = match (node.this_node, node.connected) {
            (true, _) => "this node",
            (false, true) => "connected",
            (false, false) => "not connected",
        };
        grid.row(
            Tint::Plain,
            [node.node_id.clone(), node.address.clone(), votes_on(node, documents), state.to_owned()],
        );
    }
    let clocks: String = answer.nodes.iter().filter_map(wrong_clock).collect();
    grid.render(terminal) + &clocks
}

/// A token, and what to do with it.
pub fn invitation(answer: &CreateJoinTokenResponse, uses: u32) -> String {
    let until = words::time(answer.expire_time.as_ref());
    let join = match answer.peer_address.as_str() {
        "" => "HOST:PORT",
        address => address,
    };
    format!(
        "Until {until} (UTC) {} may join:\n  xnode run --join {join} --join-token {}\n",
        words::count(uses as usize, "new node"),
        answer.token
    )
}

/// The documents that a node votes on.
fn votes_on(node: &ClusterNode, documents: &[DocumentStatus]) -> String {
    let votes = |document: &&DocumentStatus| document.voters.contains(&node.node_id);
    let mut named: Vec<String> =
        documents.iter().filter(votes).map(|document| document.name.clone()).collect();
    match named.len() {
        0 if documents.is_empty() && node.voter => "directory".to_owned(),
        0 if documents.is_empty() => String::new(),
        0 => "nothing".to_owned(),
        all if all == documents.len() && all > 1 => format!("all {}", words::count(all, "document")),
        some => {
            named.truncate(MAX_NAMED);
            if some > MAX_NAMED {
                named.push(format!("and {} more", some - MAX_NAMED));
            }
            named.join("\n")
        }
    }
}

/// A warning about a clock that differs too much from the majority's.
fn wrong_clock(node: &ClusterNode) -> Option<String> {
    let ahead = node.clock_ahead_us.filter(|ahead| ahead.unsigned_abs() > WRONG_CLOCK_US)?;
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "warning: the clock of node {} is {}.{} s {direction} the majority's: set it right, or orders that \
         are placed there expire too early or too late\n",
        node.node_id,
        ahead.unsigned_abs() / 1_000_000,
        ahead.unsigned_abs() / 100_000 % 10,
    ))
}

/// A row for each document, with its voters.
pub fn voters(documents: &[DocumentVoters], terminal: Terminal) -> String {
    let mut grid =
        Grid::new(&[Column::Text("document"), Column::Number("generation"), Column::Text("voters")]);
    for document in documents {
        let generation = document.generation.to_string();
        grid.row(Tint::Plain, [document.name.clone(), generation, document.voters.join("\n")]);
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
            format: 2,
            term: 1,
            position: 12,
            digest: "0123456789abcdef".to_owned(),
            ..DocumentStatus::default()
        };
        let answer = GetNodeResponse {
            node_id: "0000000000007f3a".to_owned(),
            version: "0.1.0".to_owned(),
            documents: vec![document],
            oldest_format: 1,
            newest_format: 3,
            ..GetNodeResponse::default()
        };
        let expected = "\
node     0000000000007f3a
version  0.1.0
reads    formats 1 to 3

document  generation  format  term  holder     voters  position  pending
BTC/USDT           0       2     1  this node       1        12        0

document  batches  changes  bytes  digest
BTC/USDT        0        0      0  0123456789ab
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

    fn documents(voters: &[(&str, &[&str])]) -> Vec<DocumentStatus> {
        let status = |(name, voters): &(&str, &[&str])| DocumentStatus {
            name: (*name).to_owned(),
            voters: voters.iter().map(|voter| (*voter).to_owned()).collect(),
            holder: "89abcdef01234567".to_owned(),
            generation: 12,
            term: 123,
            position: 12_345_678,
            bytes: 12_345_678,
            ..DocumentStatus::default()
        };
        voters.iter().map(status).collect()
    }

    fn cluster_node(node_id: &str, clock_ahead_us: Option<i64>) -> ClusterNode {
        let address = "203.0.113.123:17001".to_owned();
        ClusterNode { node_id: node_id.to_owned(), address, clock_ahead_us, ..ClusterNode::default() }
    }

    #[test]
    fn a_node_votes_on_some_documents() {
        let (a, b, c, d) = ("89abcdef01234560", "89abcdef01234561", "89abcdef01234562", "89abcdef01234563");
        let documents = documents(&[
            ("directory", &[a, b]),
            ("A/B", &[a, c]),
            ("C/D", &[a, c]),
            ("E/F", &[a, c]),
            ("ABCDEFGHIJKL/ABCDEFGHIJKL", &[a, c]),
        ]);
        let nodes = [a, b, c, d].map(|id| cluster_node(id, None)).into();
        let expected = "\
node              address              votes on         state
89abcdef01234560  203.0.113.123:17001  all 5 documents  not connected
89abcdef01234561  203.0.113.123:17001  directory        not connected
89abcdef01234562  203.0.113.123:17001  A/B              not connected
                                       C/D
                                       E/F
                                       and 1 more
89abcdef01234563  203.0.113.123:17001  nothing          not connected
";
        let answer = ListNodesResponse { nodes, position: 1 };
        assert_eq!(super::nodes(&answer, &documents, Terminal::NONE), expected);
        let answer = GetNodeResponse { documents, ..GetNodeResponse::default() };
        assert!(node(&answer, Terminal::NONE).lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_node() {
        let nodes =
            [("a", Some(5_000_000)), ("b", Some(7_250_000)), ("c", Some(-3_600_000_000)), ("d", None)];
        let nodes = nodes.map(|(id, clock)| cluster_node(id, clock)).into();
        let text = super::nodes(&ListNodesResponse { nodes, position: 1 }, &[], Terminal::NONE);
        let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 2, "{text}");
        assert!(warnings[0].contains("clock of node b is 7.2 s ahead of the majority's"), "{text}");
        assert!(warnings[1].contains("clock of node c is 3600.0 s behind the majority's"), "{text}");
    }

    #[test]
    fn voters_are_listed_one_a_line() {
        let voters = ["89abcdef01234560", "89abcdef01234561"].map(str::to_owned).into();
        let documents = [DocumentVoters { name: "A/B".to_owned(), generation: 1, voters }];
        let expected = "\
document  generation  voters
A/B                1  89abcdef01234560
                      89abcdef01234561
";
        assert_eq!(super::voters(&documents, Terminal::NONE), expected);
    }
}
