//! What this machine's memory costs: the floor under any book that does not fit into a cache.

use std::hint::black_box;

use rand_mt::Mt;

use xbook_tests::clock::Stopwatch;

/// About what a book of 10,000 and one of a million orders take.
pub const SMALL_BYTES: usize = 1 << 20;
pub const LARGE_BYTES: usize = 1 << 26;

/// Nanoseconds to read a random cache line among this many bytes: when each address depends on the
/// line before, and when none does.
pub fn read_ns(bytes: usize) -> (f64, f64) {
    const LINE_WORDS: usize = 8;
    const READS: u32 = 1_000_000;
    let lines = bytes / (LINE_WORDS * size_of::<u64>());
    let mut random = Mt::new(5);
    let mut below = |bound: usize| ((u64::from(random.next_u32()) * bound as u64) >> 32) as usize;
    // Sattolo's shuffle makes one cycle through all lines.
    let mut next: Vec<usize> = (0..lines).collect();
    for line in (1..lines).rev() {
        next.swap(line, below(line));
    }
    let mut words = vec![0u64; lines * LINE_WORDS];
    for (line, next) in next.into_iter().enumerate() {
        words[line * LINE_WORDS] = (next * LINE_WORDS) as u64;
    }
    let watch = Stopwatch::start();
    let mut place = 0;
    for _ in 0..READS {
        place = words[place] as usize;
    }
    black_box(place);
    let dependent = watch.elapsed().as_secs_f64();
    let places: Vec<usize> = (0..READS).map(|_| below(lines) * LINE_WORDS).collect();
    let watch = Stopwatch::start();
    black_box(places.iter().map(|place| words[*place]).fold(0, |sum, word| sum ^ word));
    let independent = watch.elapsed().as_secs_f64();
    let each = 1e9 / f64::from(READS);
    (dependent * each, independent * each)
}
