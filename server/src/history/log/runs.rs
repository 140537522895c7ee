//! Which positions of a market are in the log, and in which segment.

use std::collections::BTreeMap;

use crate::types::Position;

/// Positions without a gap, whole blocks, in one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::history) struct Run {
    pub first: Position,
    pub last: Position,
    pub segment: u64,
}

/// The runs of a market; none overlaps another.
#[derive(Default, Debug)]
pub(super) struct Runs(BTreeMap<u64, Run>);

impl Runs {
    /// The run that contains a position; else the positions around it that no run contains. The last
    /// gap has no end.
    pub fn at(&self, position: Position) -> Result<Run, (Position, Option<Position>)> {
        let before = self.0.range(..=position.0).next_back().map(|(_, run)| *run);
        match before.filter(|run| run.last >= position) {
            Some(run) => Ok(run),
            None => {
                let first = before.map_or(Position(1), |run| run.last.next());
                let next = self.0.range(position.0..).next();
                Err((first, next.map(|(next, _)| Position(next - 1))))
            }
        }
    }

    /// The last position of the last run; zero if there is none.
    pub fn last(&self) -> Position {
        self.0.last_key_value().map_or(Position(0), |(_, run)| run.last)
    }

    /// All runs, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Run> + '_ {
        self.0.values().copied()
    }

    /// The positions up to one that no run contains, ascending.
    pub fn gaps(&self, through: Position) -> Vec<(Position, Position)> {
        let (mut gaps, mut next) = (Vec::new(), Position(1));
        for run in self.iter().take_while(|run| run.first <= through) {
            if run.first > next {
                gaps.push((next, Position(run.first.0 - 1)));
            }
            next = run.last.next();
        }
        if next <= through {
            gaps.push((next, through));
        }
        gaps
    }

    /// Adds what of a run no other contains: blocks are the same wherever they are.
    pub fn add(&mut self, run: Run) {
        let mut from = run.first;
        while from <= run.last {
            match self.at(from) {
                Ok(other) => from = other.last.next(),
                Err((_, end)) => {
                    let last = end.map_or(run.last, |end| end.min(run.last));
                    self.put(Run { first: from, last, ..run });
                    from = last.next();
                }
            }
        }
    }

    /// Adds a run that overlaps no other, as a part of its neighbours in the same segment.
    fn put(&mut self, mut run: Run) {
        let same = |other: &Run| other.segment == run.segment;
        let before = self.0.range(..run.first.0).next_back().map(|(_, before)| *before);
        if let Some(before) = before.filter(|before| before.last.next() == run.first).filter(same) {
            run.first = before.first;
        }
        if let Some(after) = self.0.get(&run.last.next().0).copied().filter(same) {
            self.0.remove(&after.first.0);
            run.last = after.last;
        }
        self.0.insert(run.first.0, run);
    }

    /// Forgets what a segment has of a span.
    pub fn remove(&mut self, first: Position, last: Position, segment: u64) {
        let overlaps = |run: &Run| run.segment == segment && run.first <= last && run.last >= first;
        let hit: Vec<Run> = self.iter().filter(overlaps).collect();
        for run in hit {
            self.0.remove(&run.first.0);
            if run.first < first {
                self.0.insert(run.first.0, Run { last: Position(first.0 - 1), ..run });
            }
            if run.last > last {
                self.0.insert(last.0 + 1, Run { first: last.next(), ..run });
            }
        }
    }

    /// Forgets all that a segment has.
    pub fn remove_segment(&mut self, segment: u64) {
        self.0.retain(|_, run| run.segment != segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, last: u64, segment: u64) -> Run {
        Run { first: Position(first), last: Position(last), segment }
    }

    fn gaps(runs: &Runs, through: u64) -> Vec<(u64, u64)> {
        runs.gaps(Position(through)).iter().map(|(first, last)| (first.0, last.0)).collect()
    }

    #[test]
    fn runs_join_within_a_segment_and_leave_gaps_between() {
        let mut runs = Runs::default();
        assert_eq!(gaps(&runs, 0), []);
        assert_eq!(gaps(&runs, 3), [(1, 3)]);
        for block in [run(1, 4, 0), run(8, 9, 0), run(5, 5, 0), run(10, 20, 1)] {
            runs.add(block);
        }
        assert_eq!(runs.iter().collect::<Vec<_>>(), [run(1, 5, 0), run(8, 9, 0), run(10, 20, 1)]);
        assert_eq!(gaps(&runs, 25), [(6, 7), (21, 25)]);
        assert_eq!(runs.at(Position(7)), Err((Position(6), Some(Position(7)))));
        assert_eq!(runs.at(Position(21)), Err((Position(21), None)));
        // Another copy of what is there adds only what is missing.
        runs.add(run(1, 22, 2));
        assert_eq!(gaps(&runs, 25), [(23, 25)]);
        assert_eq!(runs.at(Position(3)).unwrap().segment, 0);
        assert_eq!(runs.at(Position(6)).unwrap(), run(6, 7, 2));
        runs.remove(Position(3), Position(4), 0);
        runs.remove(Position(6), Position(7), 0);
        assert_eq!(gaps(&runs, 22), [(3, 4)]);
        runs.remove_segment(0);
        assert_eq!(gaps(&runs, 22), [(1, 5), (8, 9)]);
        assert_eq!(runs.last(), Position(22));
    }
}
