//! What verifying a market found.

use std::fmt::Write;

use xbook_proto::v1::{DigestComparison, VerifyMarketResponse};

use super::grid::{Column, Grid, Tint};
use crate::output::Terminal;

/// Digits of a digest that are shown: enough to compare nodes by eye.
const DIGEST_DIGITS: usize = 12;

/// A row for each node, then what was matched again, then what is wrong.
pub fn verified(answer: &VerifyMarketResponse, terminal: Terminal) -> String {
    let mut grid = Grid::new(&[Column::Text("node"), Column::Text("digest"), Column::Text("")]);
    for node in &answer.nodes {
        let words = match node.comparison() {
            DigestComparison::Equal => "equal",
            DigestComparison::Different => "DIFFERENT",
            DigestComparison::NotKept => "not compared",
            DigestComparison::Unreachable => "not reached",
            DigestComparison::Unspecified => "unknown",
        };
        let message = if node.message.is_empty() { String::new() } else { format!(": {}", node.message) };
        let digest: String = node.digest.chars().take(DIGEST_DIGITS).collect();
        grid.row(Tint::Plain, [node.node_id.clone(), digest, format!("{words}{message}")]);
    }
    let mut text = format!("At position {}:\n{}", answer.position, grid.render(terminal));
    if let Some(matched) = &answer.rematched {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "Matched {intents} intents of generation {generation} again, in {batches} batches: {fills} fills \
             of {quantity} in all.",
            intents = matched.intents,
            generation = matched.generation,
            batches = matched.batches,
            fills = matched.fills,
            quantity = matched.quantity,
        );
    }
    for finding in &answer.findings {
        let _ = writeln!(text, "WRONG: {finding}");
    }
    text.push_str(if answer.passed { "Nothing is wrong.\n" } else { "This market is not right.\n" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use xbook_proto::v1::{NodeDigest, Rematched};

    #[test]
    fn a_node_that_differs_is_named() {
        let node = |id: &str, comparison: DigestComparison| NodeDigest {
            node_id: id.to_owned(),
            comparison: comparison.into(),
            digest: "0123456789abcdef".to_owned(),
            ..NodeDigest::default()
        };
        let answer = VerifyMarketResponse {
            position: 12,
            passed: false,
            nodes: vec![node("a", DigestComparison::Equal), node("b", DigestComparison::Different)],
            rematched: Some(Rematched {
                batches: 2,
                intents: 6,
                fills: 3,
                quantity: "6".into(),
                ..Rematched::default()
            }),
            findings: vec!["node b has another digest".to_owned()],
        };
        let expected = "\
At position 12:
node  digest
a     0123456789ab  equal
b     0123456789ab  DIFFERENT
Matched 6 intents of generation 0 again, in 2 batches: 3 fills of 6 in all.
WRONG: node b has another digest
This market is not right.
";
        assert_eq!(verified(&answer, Terminal::NONE), expected);
    }
}
