//! What verifying a market found.

use xbook_proto::v1::{DigestComparison, Rematched, VerifyMarketResponse, VerifyVerdict};

use super::grid::{Column, Grid, Tint};
use crate::output::Terminal;

/// Digits of a digest that are shown: enough to compare nodes by eye.
const DIGEST_DIGITS: usize = 12;

/// A row for each node, then what was matched again, then what is wrong and what was left out.
pub fn verified(answer: &VerifyMarketResponse, terminal: Terminal) -> String {
    let mut grid = Grid::new(&[Column::Text("node"), Column::Text("digest"), Column::Text("")]);
    for node in &answer.nodes {
        let words = match node.comparison() {
            DigestComparison::Equal => "equal",
            DigestComparison::Different => "DIFFERENT",
            DigestComparison::NotKept => "not compared",
            DigestComparison::Unreachable => "not reached",
            DigestComparison::Behind => "behind",
            DigestComparison::Refused => "refused",
            DigestComparison::Unspecified => "unknown",
        };
        let digest: String = node.digest.chars().take(DIGEST_DIGITS).collect();
        grid.row(Tint::Plain, [node.node_id.clone(), digest, words.to_owned()]);
    }
    let mut text = format!("At position {}:\n{}", answer.position, grid.render(terminal));
    for matched in &answer.rematched {
        text.push_str(&matched_again(matched));
    }
    for finding in &answer.findings {
        text.push_str(&format!("WRONG: {finding}\n"));
    }
    for left_out in &answer.unverified {
        text.push_str(&format!("NOT VERIFIED: {left_out}\n"));
    }
    text.push_str(match answer.verdict() {
        VerifyVerdict::Passed => "All was verified; nothing is wrong.\n",
        VerifyVerdict::Incomplete => "Incomplete: nothing was found wrong, but not all was verified.\n",
        VerifyVerdict::Wrong | VerifyVerdict::Unspecified => "This market is not right.\n",
    });
    text
}

fn matched_again(matched: &Rematched) -> String {
    let value =
        if matched.quantity.is_empty() { String::new() } else { format!(" of {} in all", matched.quantity) };
    format!(
        "Generation {generation}, positions {first} to {last}: matched {intents} intents again, in {batches} batches: \
         {fills} fills{value}.\n",
        generation = matched.generation,
        first = matched.after_position + 1,
        last = matched.through_position,
        intents = matched.intents,
        batches = matched.batches,
        fills = matched.fills,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use xbook_proto::v1::NodeDigest;

    fn node(id: &str, comparison: DigestComparison) -> NodeDigest {
        let digest = if comparison == DigestComparison::Unreachable { "" } else { "0123456789abcdef" };
        NodeDigest {
            node_id: id.to_owned(),
            comparison: comparison.into(),
            digest: digest.to_owned(),
            ..NodeDigest::default()
        }
    }

    #[test]
    fn a_node_that_differs_is_named() {
        let matched = |generation, after_position, through_position| Rematched {
            generation,
            after_position,
            through_position,
            batches: 2,
            intents: 6,
            fills: 3,
            quantity: "6".into(),
        };
        let answer = VerifyMarketResponse {
            position: 12,
            nodes: vec![node("a", DigestComparison::Equal), node("b", DigestComparison::Different)],
            rematched: vec![matched(1, 3, 8), matched(2, 8, 12)],
            findings: vec!["node b has another digest".to_owned()],
            verdict: VerifyVerdict::Wrong.into(),
            ..VerifyMarketResponse::default()
        };
        let expected = "\
At position 12:
node  digest
a     0123456789ab  equal
b     0123456789ab  DIFFERENT
Generation 1, positions 4 to 8: matched 6 intents again, in 2 batches: 3 fills of 6 in all.
Generation 2, positions 9 to 12: matched 6 intents again, in 2 batches: 3 fills of 6 in all.
WRONG: node b has another digest
This market is not right.
";
        assert_eq!(verified(&answer, Terminal::NONE), expected);
    }

    #[test]
    fn what_was_left_out_is_not_called_right() {
        let answer = VerifyMarketResponse {
            position: 12,
            nodes: vec![node("a", DigestComparison::Equal), node("b", DigestComparison::Unreachable)],
            unverified: vec!["node b, a voter, was not reached: it did not answer in time".to_owned()],
            verdict: VerifyVerdict::Incomplete.into(),
            ..VerifyMarketResponse::default()
        };
        let expected = "\
At position 12:
node  digest
a     0123456789ab  equal
b                   not reached
NOT VERIFIED: node b, a voter, was not reached: it did not answer in time
Incomplete: nothing was found wrong, but not all was verified.
";
        assert_eq!(verified(&answer, Terminal::NONE), expected);
    }
}
