//! What people and programs write as text: numbers, ids, tokens, settings.

use rust_decimal::Decimal;
use xbook::config::{Config, Settings};
use xbook::decimal::Grid;
use xbook::machine::JoinToken;
use xbook::types::{NodeId, OrderId};

/// What is taken is written as it was meant; the rest is refused.
pub(super) fn take(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    number(text);
    if let Ok(id) = text.parse::<OrderId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "{text}");
    }
    if let Ok(id) = text.parse::<NodeId>() {
        assert_eq!(id.to_string().parse(), Ok(id), "{text}");
    }
    let _ = text.parse::<JoinToken>();
    settings(text);
}

/// A price, in steps of some size.
fn number(text: &str) {
    let (step, value) = text.split_once(' ').unwrap_or(("0.01", text));
    let (Ok(step), Ok(value)) = (step.parse::<Decimal>(), value.parse::<Decimal>()) else { return };
    let Ok(grid) = Grid::new(step) else { return };
    let Ok(steps) = grid.steps(value) else { return };
    let written: Decimal = grid.text(steps).parse().expect("a number that was written");
    assert_eq!(written, value, "{text}: {steps} steps");
    assert_eq!(grid.steps(written), Ok(steps), "{text}");
}

fn settings(text: &str) {
    let Ok(given) = toml::from_str::<Settings>(text) else { return };
    let _ = Config::load(given, None);
}

pub(super) fn samples() -> Vec<Vec<u8>> {
    let texts = [
        "0.01 64250.25",
        "250 1000000",
        "0.0000000001 79228162514264337593543950335",
        "00000000000000ff-17",
        "0123456789abcdef0123456789abcdef",
        "listen = \"127.0.0.1:7001\"\ndata = \"data\"\njoin = [\"127.0.0.1:7101\"]\n\n[log]\nfilter = \"info\"\n",
        "document-size = \"64MiB\"\ngrace = \"5s\"\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
