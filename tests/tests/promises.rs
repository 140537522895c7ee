//! The table "Promises kept" in ARCHITECTURE.md: each promise has tests, and each of those exists.

use std::collections::BTreeSet;
use std::path::Path;

const HEADING: &str = "## Promises kept";

#[test]
fn each_promise_has_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut tests = BTreeSet::new();
    for room in ["server", "client-cli", "tests"] {
        collect(&root.join(room), &mut tests);
    }

    let (_, section) = architecture.split_once(HEADING).expect("the table's heading");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "the table has {} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let named: Vec<&str> = row.rsplit('|').nth(1).unwrap_or("").split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "a promise without a test: {row}");
        missing.extend(named.into_iter().filter(|name| !tests.contains(*name)));
    }
    assert!(missing.is_empty(), "tests that the table names and nobody wrote: {missing:?}");
}

/// The names of all functions below a folder that are marked as tests.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if let Some((name, _)) = name.and_then(|name| name.split_once('(')).filter(|_| marked) {
                    tests.insert(name.to_owned());
                    marked = false;
                }
            }
        }
    }
}
