//! Changes of a market's rules. `update dynamic_bp=500`: the other rules are as they were.

use super::play::Row;

/// Name, market, start, commands, events, book.
pub const ROWS: &[Row] = &[
    (
        "fees from one position on",
        "",
        "b1 S 3@100; c1 S 3@100",
        "a1 B 3@100; update maker_fee=0 taker_fee=1000; a2 B 3@100",
        "3@100 b1/a1 -0.03/0.15; RulesChanged; 3@100 c1/a2 0.00/0.30",
        "",
    ),
    (
        "the default way of self-trade prevention, and an order's own",
        "",
        "a1 S 5@100; a2 S 5@101",
        "update default=CANCEL_MAKER; a3 B 1@100; update default=DECREMENT; a4 B 2@101; a5 B 1@101 CANCEL_TAKER",
        "RulesChanged; Removed a1 5 SELF_TRADE; Rested a3 1@100; RulesChanged; Prevented 2 a2/a4 left 3/0; \
         Removed a5 1 SELF_TRADE",
        "B a3 1@100; S a2 3@101",
    ),
    (
        "bands bind what comes then and amends, and what rests stays",
        "uncrossed 100",
        "a1 B 5@80; b1 S 5@130",
        "update static_bp=1000 dynamic_bp=500; a2 B 1@111; amend a1 open=4; amend b1 price=89; b2 S 1@108; \
         c1 B 2@109; update static_bp=0 dynamic_bp=0; c2 B 2@109",
        "RulesChanged; a2 REJECTED PRICE_BAND; Reduced a1 4; refused PRICE_BAND; Rested b2 1@108; \
         Removed c1 2 PRICE_BAND; RulesChanged; 1@108 b2/c2 -0.01/0.06; Rested c2 1@109",
        "B c2 1@109, a1 4@80; S b1 5@130",
    ),
    (
        "what the static band is around, until the next uncross",
        "static_bp 1000",
        "b1 S 3@115",
        "a1 B 1@120; cancel a1; update reference=100; a2 B 1@111; a3 B 1@110; state AUCTION; c1 S 1@109; uncross; \
         d1 S 1@98; d2 S 1@99",
        "1@115 b1/a1 -0.01/0.06; refused UNKNOWN_ORDER; RulesChanged; a2 REJECTED PRICE_BAND; Rested a3 1@110; \
         StateChanged AUCTION; Rested c1 1@109; 1@110 a3/c1 0.03/0.03; Uncrossed 110 volume 1 surplus +0; \
         d1 REJECTED PRICE_BAND; Rested d2 1@99",
        "S d2 1@99, b1 2@115",
    ),
    (
        "protection",
        "",
        "b1 S 3@100; c1 S 2@104",
        "update protection_bp=300; a1 B 9",
        "RulesChanged; 3@100 b1/a1 -0.03/0.15; Removed a1 6 PROTECTION",
        "S c1 2@104",
    ),
    (
        "session times count from then on, and an accepted DAY order keeps its end",
        "T5 CONTINUOUS, T50 CLOSED",
        "time T20; a1 B 5@99 DAY",
        "update sessions=none T10=HALTED T30=POST_ONLY T60=CLOSED; b1 B 1@98 DAY; time T40; time T50; time T60; \
         update sessions=none; time T90",
        "RulesChanged; b1 until T60; Rested b1 1@98; StateChanged POST_ONLY; Removed a1 5 SESSION_END; \
         Removed b1 1 SESSION_END; StateChanged CLOSED; RulesChanged",
        "",
    ),
    (
        "the same rules, those that are fixed, and those of a market that is delisted",
        "",
        "a1 B 1@100",
        "update protection_bp=0; update tick=0.5; state DELISTED; update protection_bp=9",
        "nothing; refused FIXED_RULE; StateChanged DELISTED; Removed a1 1 DELISTED; refused MARKET_STATE",
        "",
    ),
];
