//! The trading rules as a trader writes them: what is in the book, what is asked for, what the tape says, and what
//! is in the book then. Each row is decided under a lease and followed by a second state, which must agree.
//!
//! `a1 B 5@100`: account a, order a1, buys 5 at 100, good till cancelled; without a price it is a market order and
//! IOC. `IOC`, `FOK`, `PO` (post-only), `exp=T10` and the ways of self-trade prevention follow. `3@100 b1/a1`: they
//! traded, b1 as the maker. Accepted is left out; `a1 REJECTED` is what Refused makes of a new order. A book lists
//! orders by priority; what is in brackets differs from a market with tick 1 and lot 1.

mod play;

use play::{Row, play};

/// Name, market, start, commands, events, book.
const ROWS: &[Row] = &[
    // Matching and time in force.
    (
        "worked example",
        "",
        "",
        "x1 B 100@10; y1 B 100@11; z1 S 50@11; z2 S 75@9",
        "Rested x1 100@10; Rested y1 100@11; 50@11 y1/z1; 50@11 y1/z2; 25@10 x1/z2",
        "B x1 75@10",
    ),
    (
        "remainder rests",
        "",
        "b1 S 3@100; c1 S 4@101",
        "a1 B 10@101",
        "3@100 b1/a1; 4@101 c1/a1; Rested a1 3@101",
        "B a1 3@101",
    ),
    (
        "time priority",
        "",
        "b1 S 5@100; c1 S 5@100; d1 B 2@100",
        "a1 B 6@100",
        "3@100 b1/a1; 3@100 c1/a1",
        "S c1 2@100",
    ),
    ("IOC", "", "b1 S 3@101", "a1 B 5@101 IOC", "3@101 b1/a1; Removed a1 2 NO_LIQUIDITY", ""),
    (
        "market, thin book",
        "",
        "b1 S 3@100; c1 S 2@104",
        "a1 B 9",
        "3@100 b1/a1; 2@104 c1/a1; Removed a1 4 NO_LIQUIDITY",
        "",
    ),
    ("market, empty book", "", "", "a1 S 4", "Removed a1 4 NO_LIQUIDITY", ""),
    ("FOK fills", "", "b1 S 3@100; c1 S 4@101", "a1 B 7@101 FOK", "3@100 b1/a1; 4@101 c1/a1", ""),
    (
        "FOK short by one",
        "",
        "b1 S 3@100; c1 S 4@101",
        "a1 B 8@101 FOK",
        "a1 REJECTED NOT_FILLABLE",
        "S b1 3@100, c1 4@101",
    ),
    ("post-only at the touch", "", "b1 S 3@100", "a1 B 2@100 PO", "a1 REJECTED WOULD_TAKE", "S b1 3@100"),
    // Self-trade prevention.
    (
        "cancel taker in mid-sweep",
        "",
        "b1 S 3@100; a1 S 5@101; c1 S 4@101",
        "a2 B 10@101 CANCEL_TAKER",
        "3@100 b1/a2; Removed a2 7 SELF_TRADE",
        "S a1 5@101, c1 4@101",
    ),
    (
        "cancel taker is the rule of a market that says nothing",
        "",
        "a1 S 5@101",
        "a2 B 10@101",
        "Removed a2 10 SELF_TRADE",
        "S a1 5@101",
    ),
    (
        "the market's rule is another one",
        "default DECREMENT",
        "a1 S 5@101",
        "a2 B 10@101",
        "Prevented 5 a1/a2 left 0/5; Rested a2 5@101",
        "B a2 5@101",
    ),
    (
        "the taker's choice goes before the market's",
        "default ALLOW",
        "a1 S 5@101",
        "a2 B 4@101; a3 B 4@101 CANCEL_MAKER",
        "4@101 a1/a2; Removed a1 1 SELF_TRADE; Rested a3 4@101",
        "B a3 4@101",
    ),
    (
        "the maker has no say",
        "",
        "a1 S 5@101 CANCEL_MAKER",
        "a2 B 4@101 CANCEL_TAKER",
        "Removed a2 4 SELF_TRADE",
        "S a1 5@101",
    ),
    (
        "cancel maker",
        "",
        "b1 S 3@100; a1 S 5@101; c1 S 4@101",
        "a2 B 10@101 CANCEL_MAKER",
        "3@100 b1/a2; Removed a1 5 SELF_TRADE; 4@101 c1/a2; Rested a2 3@101",
        "B a2 3@101",
    ),
    (
        "cancel both",
        "",
        "b1 S 3@100; a1 S 5@101; c1 S 4@101",
        "a2 B 10@101 CANCEL_BOTH",
        "3@100 b1/a2; Removed a1 5 SELF_TRADE; Removed a2 7 SELF_TRADE",
        "S c1 4@101",
    ),
    (
        "decrement, taker larger",
        "",
        "b1 S 3@100; a1 S 5@101; c1 S 4@101",
        "a2 B 10@101 DECREMENT",
        "3@100 b1/a2; Prevented 5 a1/a2 left 0/2; 2@101 c1/a2",
        "S c1 2@101",
    ),
    (
        "decrement, maker larger",
        "",
        "a1 S 5@100; c1 S 4@100",
        "a2 B 2@100 DECREMENT",
        "Prevented 2 a1/a2 left 3/0",
        "S a1 3@100, c1 4@100",
    ),
    (
        "own order not reached",
        "",
        "b1 S 3@100; a1 S 5@100",
        "a2 B 3@100 CANCEL_BOTH",
        "3@100 b1/a2",
        "S a1 5@100",
    ),
    (
        "FOK, cancel maker, enough",
        "",
        "a1 S 5@100; c1 S 4@100",
        "a2 B 4@100 FOK CANCEL_MAKER",
        "Removed a1 5 SELF_TRADE; 4@100 c1/a2",
        "",
    ),
    (
        "FOK, cancel maker, short",
        "",
        "a1 S 5@100; c1 S 4@100",
        "a2 B 5@100 FOK CANCEL_MAKER",
        "a2 REJECTED NOT_FILLABLE",
        "S a1 5@100, c1 4@100",
    ),
    (
        "FOK, cancel taker",
        "",
        "c1 S 4@100; a1 S 5@100",
        "a2 B 4@100 FOK CANCEL_TAKER; a3 B 1@100 FOK CANCEL_TAKER",
        "4@100 c1/a2; a3 REJECTED NOT_FILLABLE",
        "S a1 5@100",
    ),
    (
        "post-only meets own order",
        "",
        "a1 S 5@100",
        "a2 B 1@100 PO CANCEL_MAKER",
        "a2 REJECTED WOULD_TAKE",
        "S a1 5@100",
    ),
    (
        "amended into own order",
        "",
        "a1 S 5@100; a2 B 2@98",
        "amend a2 price=100",
        "Lifted a2 2@100; Removed a2 2 SELF_TRADE",
        "S a1 5@100",
    ),
    (
        "a new total counts what was prevented",
        "",
        "a1 S 9@100; a2 B 2@100 DECREMENT; b1 B 3@100",
        "amend a1 total=5; amend a1 total=6",
        "refused BELOW_FILLED; Reduced a1 1",
        "S a1 1@100",
    ),
    // Amends.
    (
        "amend down keeps the place",
        "",
        "a1 B 5@99; b1 B 5@99",
        "amend a1 open=3; c1 S 4@99",
        "Reduced a1 3; 3@99 a1/c1; 1@99 b1/c1",
        "B b1 4@99",
    ),
    (
        "amend up loses it",
        "",
        "a1 B 5@99; b1 B 5@99",
        "amend a1 open=6; c1 S 6@99",
        "Lifted a1 6@99; Rested a1 6@99; 5@99 b1/c1; 1@99 a1/c1",
        "B a1 5@99",
    ),
    (
        "amend that trades",
        "",
        "a1 B 5@98; b1 S 3@100",
        "amend a1 price=100",
        "Lifted a1 5@100; 3@100 b1/a1; Rested a1 2@100",
        "B a1 2@100",
    ),
    (
        "amend to below filled",
        "",
        "a1 B 10@99; c1 S 6@99",
        "amend a1 total=6; amend a1 total=8",
        "refused BELOW_FILLED; Reduced a1 2",
        "B a1 2@99",
    ),
    (
        "post-only amend",
        "",
        "a1 B 5@98 PO; b1 S 3@100",
        "amend a1 price=100",
        "refused WOULD_TAKE",
        "B a1 5@98; S b1 3@100",
    ),
    // Times.
    (
        "GTD at its instant",
        "",
        "a1 S 5@100 exp=T10",
        "time T10; c1 B 5@100",
        "Removed a1 5 EXPIRE_TIME; Rested c1 5@100",
        "B c1 5@100",
    ),
    (
        "GTD one before",
        "",
        "a1 S 5@100 exp=T10",
        "time T9; c1 B 2@100; time T10",
        "2@100 a1/c1; Removed a1 3 EXPIRE_TIME",
        "",
    ),
    (
        "several expire",
        "",
        "a1 S 1@100 exp=T7; b1 S 1@100 exp=T5; c1 S 1@100 exp=T7; d1 S 1@100",
        "time T8",
        "Removed b1 1 EXPIRE_TIME; Removed a1 1 EXPIRE_TIME; Removed c1 1 EXPIRE_TIME",
        "S d1 1@100",
    ),
    ("born dead", "", "", "time T10; a1 B 5@100 exp=T10", "a1 EXPIRED EXPIRE_TIME", ""),
];

#[test]
fn each_row_ends_as_it_says() {
    for row in ROWS {
        play(row);
    }
}
