//! Changes that are small as bytes and large once they are decoded, made by a little encoder.

use proptest::prelude::*;

use super::*;
use crate::document::RawChange;

/// More than any of the changes here may take to be refused.
const MOST_BYTES: u64 = 64 * 1024;

fn unsigned(out: &mut Vec<u8>, number: u64) {
    leb128::write::unsigned(out, number).unwrap();
}

/// A run: a length, and the value that is repeated.
fn run(length: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    leb128::write::signed(&mut out, length).unwrap();
    out.extend(value);
    out
}

/// A change of one actor with these columns. Its checksum is wrong: sizes come before sums.
fn change(dependencies: u64, actors: u64, columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    unsigned(&mut body, dependencies);
    unsigned(&mut body, 16);
    body.extend([7; 16]);
    // Number, first operation, time, message.
    body.extend([1, 1, 0, 0]);
    unsigned(&mut body, actors);
    unsigned(&mut body, columns.len() as u64);
    for (column, content) in columns {
        unsigned(&mut body, *column);
        unsigned(&mut body, content.len() as u64);
    }
    body.extend(columns.iter().flat_map(|(_, content)| content));
    chunk(CHANGE, &body)
}

fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([0; 4]);
    bytes.push(kind);
    unsigned(&mut bytes, body.len() as u64);
    bytes.extend(body);
    bytes
}

#[track_caller]
fn assert_refused(bytes: Vec<u8>, reason: &str) {
    let mut error = None;
    let used = allocation_counter::measure(|| error = RawChange::parse_stored(bytes).err());
    assert_eq!(error.unwrap().to_string(), reason);
    assert!(used.bytes_max < MOST_BYTES, "{used:?}");
}

#[test]
fn a_run_of_operations_is_counted_and_not_expanded() {
    for operations in [20_000_000, 1 << 60, i64::MAX] {
        // Keys, flags, actions, values and lists, all in runs: 90 bytes.
        let columns = [
            (21, run(operations, &[1, b'a'])),
            (66, run(operations, &[1])),
            (86, run(operations, &[0])),
            (112, run(operations, &[0])),
        ];
        let bytes = change(0, 0, &columns);
        let most = bytes.len() as u64 / OPERATION_BYTES;
        assert_refused(bytes, &format!("its operations are {operations}, above the limit of {most}"));
    }
}

#[test]
fn a_list_of_what_is_overwritten_is_counted() {
    let mut many = Vec::new();
    unsigned(&mut many, 1 << 62);
    let columns = [(66, run(1, &[1])), (112, run(1, &many)), (113, run(1 << 62, &[0]))];
    assert_refused(change(0, 0, &columns), "its operations are 4611686018427387905, above the limit of 3");
}

#[test]
fn nonsense_is_refused_before_it_is_decoded() {
    assert_refused(
        change(0, 0, &[(66, run(i64::MIN, &[]))]),
        "its operations are 9223372036854775808, above the limit of 2",
    );
    assert_refused(change(0, 0, &[(66, run(0, &[1]))]), "not a change: an operation does nothing");
    assert_refused(change(0, 0, &[(1, run(1, &[1]))]), "not a change: it names an actor that is not there");
    assert_refused(change(0, 0, &[(74, vec![1])]), "not a change: a column of it is compressed");
    assert_refused(change(0, 0, &[(165, vec![1])]), "not a change: it has a column that no node writes");
    assert_refused(
        change(0, 0, &[(66, vec![]), (66, vec![])]),
        "not a change: it has a column that no node writes",
    );
    assert_refused(
        change(0, u64::MAX, &[]),
        "its other actors are 18446744073709551615, above the limit of 1024",
    );
    assert_refused(
        change(u64::MAX, 0, &[]),
        "its dependencies are 18446744073709551615, above the limit of 4096",
    );
    assert_refused(change(4_096, 0, &[]), "not a change: it ends too early");
    assert_refused(chunk(2, &[0; 1_000]), "not a change: it is compressed, or of another kind");
    assert_refused(Vec::new(), "not a change: it ends too early");
}

#[test]
fn the_heading_is_read_without_the_rest() {
    let bytes = change(0, 0, &[(66, vec![0xFF; 40])]);
    assert_eq!(heading(&bytes), Ok(Heading { actor: Actor([7; 16]), seq: 1 }));
}

proptest! {
    #[test]
    fn no_columns_take_much_to_refuse(
        columns in proptest::sample::subsequence(COLUMNS.to_vec(), 0..COLUMNS.len()),
        content in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..24), COLUMNS.len()),
        actors in 0_u64..3,
    ) {
        let columns: Vec<_> = columns.iter().map(|(column, _)| *column).zip(content).collect();
        let bytes = change(0, actors, &columns);
        let used = allocation_counter::measure(|| drop(RawChange::parse_stored(bytes)));
        prop_assert!(used.bytes_max < MOST_BYTES, "{used:?}");
    }

    #[test]
    fn no_bytes_take_much_to_refuse(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        for bytes in [content.clone(), chunk(CHANGE, &content)] {
            let used = allocation_counter::measure(|| drop(RawChange::parse_stored(bytes)));
            prop_assert!(used.bytes_max < MOST_BYTES, "{used:?}");
        }
    }
}
