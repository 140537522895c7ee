//! For each rule, where leaving it out shows.
//!
//! Each is a small search in which the bug shows; where it needs many steps, the bounds name who may be a
//! candidate for which term, and all the rest is left open.

use super::{
    bounds::{Bounds, Disk},
    rules::Rule,
};

/// The bounds in which the checker finds a trace when this rule is left out.
pub fn bounds(rule: Rule) -> Bounds {
    let abc = |terms, takers| Bounds::new(terms, takers);
    match rule {
        Rule::PromiseOnce | Rule::PromiseOnTop | Rule::AckLabelled | Rule::AckSnapshot | Rule::CommitTerm => {
            abc(2, 1)
        }
        Rule::PromiseStored | Rule::AckDurable => abc(2, 1).restarts(1).disk(Disk::Stored),
        Rule::PromiseByVoter => abc(2, 0).voters("ABCDE", "").restarts(1).candidates(&["AC"]),
        Rule::OwnVoters => abc(2, 1).observers(1),
        Rule::HolderIsActor => abc(1, 2).restarts(1).disk(Disk::Early),
        Rule::AckGeneration => abc(1, 1).voters("ABC", "ABD").terms(1, 2),
        Rule::CommitActivation => abc(4, 1).candidates(&["C", "A", "C"]),
        Rule::NextCommitted | Rule::GenesisPast => abc(2, 1).voters("ABC", "ABD").terms(2, 1),
        Rule::NothingAfterSeal => abc(1, 1).voters("ABC", "ABD"),
        Rule::SealAckLabel => abc(2, 1).voters("ABC", "ABD").terms(2, 1),
        Rule::SealAdopted => abc(3, 1).voters("AB", "AB").terms(3, 1).candidates(&["B", "B"]),
        Rule::SealFresh => abc(2, 1).voters("ABC", "ADE").terms(2, 2).dead("DE"),
    }
}

/// Whether the bug breaks no promise but stops the book, so that only [`super::Recovery`] shows it.
pub fn needs_recovery(rule: Rule) -> bool {
    matches!(rule, Rule::SealAdopted | Rule::SealFresh)
}
