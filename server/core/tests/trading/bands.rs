//! Price bands, auctions that they begin, and what a market does by itself at a time. `uncrossed 100`: two strangers
//! traded in an uncross at 100; `volatility 60`: an auction that a band begins lasts so long; `T50 CLOSED`: the market is closed then.
//! Batches are a few microseconds later than the seconds of a row, so what lasts for 60 s from T0 is over at T61.

use super::play::Row;

/// Name, market, start, commands, events, book.
pub const ROWS: &[Row] = &[
    (
        "static band",
        "static_bp 1000, uncrossed 100",
        "",
        "a1 B 1@111; a2 S 1@111; a3 S 1@89; a4 B 1@89; b1 B 1@110; cancel b1; b2 S 1@90",
        "a1 REJECTED PRICE_BAND; Rested a2 1@111; a3 REJECTED PRICE_BAND; Rested a4 1@89; Rested b1 1@110; \
         Removed b1 1 REQUESTED; Rested b2 1@90",
        "B a4 1@89; S b2 1@90, a2 1@111",
    ),
    (
        "no static band before the first uncross",
        "static_bp 1000, last 100",
        "",
        "a1 B 1@200",
        "Rested a1 1@200",
        "B a1 1@200",
    ),
    (
        "band stops a sweep",
        "dynamic_bp 500, last 100",
        "b1 S 3@100; c1 S 2@104; d1 S 9@106",
        "a1 B 9@110",
        "3@100 b1/a1 -0.03/0.15; 2@104 c1/a1 -0.02/0.11; Removed a1 4 PRICE_BAND",
        "S d1 9@106",
    ),
    (
        "a band's edge is inside",
        "dynamic_bp 500, last 100",
        "b1 S 3@105; c1 B 3@95; d1 S 1@106; e1 B 1@94",
        "a1 B 3@105; f1 B 1@106; a2 S 3@100",
        "3@105 b1/a1 -0.03/0.16; 1@106 d1/f1 -0.01/0.06; Rested a2 3@100",
        "B c1 3@95, e1 1@94; S a2 3@100",
    ),
    (
        "band halts to auction",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; c1 S 2@104; d1 S 9@106",
        "a1 B 9@110; e1 S 1@90; uncross",
        "3@100 b1/a1 -0.03/0.15; 2@104 c1/a1 -0.02/0.11; Rested a1 4@110; StateChanged AUCTION until T60; \
         Rested e1 1@90; 1@106 a1/e1 0.03/0.03; 3@106 a1/d1 0.07/0.07; Uncrossed 106 volume 4 surplus -6",
        "S d1 6@106",
    ),
    (
        "an auction that a band began ends by itself",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; d1 S 9@106",
        "a1 B 9@110; time T60; time T61",
        "3@100 b1/a1 -0.03/0.15; Rested a1 6@110; StateChanged AUCTION until T60; \
         6@106 a1/d1 0.13/0.13; Uncrossed 106 volume 6 surplus -3; StateChanged CONTINUOUS",
        "S d1 3@106",
    ),
    (
        "band, market order",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; d1 S 9@106",
        "a1 B 9",
        "3@100 b1/a1 -0.03/0.15; Removed a1 6 PRICE_BAND; StateChanged AUCTION until T60",
        "S d1 9@106",
    ),
    (
        "protection before the band",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; d1 S 9@106",
        "a1 B 9 prot=104; a2 B 1@103 IOC",
        "3@100 b1/a1 -0.03/0.15; Removed a1 6 PROTECTION; Removed a2 1 NO_LIQUIDITY",
        "S d1 9@106",
    ),
    (
        "band, FOK and minimum",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; d1 S 9@106",
        "a1 B 9@110 FOK; a2 B 9@110 min=4",
        "a1 REJECTED NOT_FILLABLE; a2 REJECTED MIN_NOT_FILLABLE",
        "S b1 3@100, d1 9@106",
    ),
    (
        "a band on the far side: what lies below it is not bought either",
        "dynamic_bp 500, last 100",
        "b1 S 3@90",
        "a1 B 1@100; a2 B 1@100 FOK; c1 S 2@99; a3 B 1@94",
        "Removed a1 1 PRICE_BAND; a2 REJECTED NOT_FILLABLE; Rested c1 2@99; Removed a3 1 PRICE_BAND",
        "S b1 3@90, c1 2@99",
    ),
    (
        "an amend that a band stops",
        "dynamic_bp 500, last 100, volatility 60",
        "b1 S 3@100; d1 S 9@106; a1 B 9@90",
        "amend a1 price=110; cancel a1",
        "Lifted a1 9@110; 3@100 b1/a1 -0.03/0.15; Rested a1 6@110; StateChanged AUCTION until T60; \
         Removed a1 6 REQUESTED",
        "S d1 9@106",
    ),
    (
        "an amend that a band stops, without an auction",
        "dynamic_bp 500, last 100",
        "b1 S 3@100; d1 S 9@106; a1 B 9@90",
        "amend a1 price=110",
        "Lifted a1 9@110; 3@100 b1/a1 -0.03/0.15; Removed a1 6 PRICE_BAND",
        "S d1 9@106",
    ),
    (
        "an amend to beyond the static band",
        "static_bp 1000, uncrossed 100",
        "a1 B 9@90",
        "amend a1 price=111; amend a1 open=8",
        "refused PRICE_BAND; Reduced a1 8",
        "B a1 8@90",
    ),
    (
        "a cascade keeps the band of what began it",
        "dynamic_bp 300, last 100, volatility 60",
        "b1 B 2@99; b2 B 2@98; b3 B 2@97; b4 B 9@96; x1 S 2 stop=99; y1 S 2 stop=98; z1 S 2 stop=97",
        "c1 S 2@99; time T60; time T61",
        "2@99 b1/c1 -0.01/0.10; Triggered x1; [x1 runs]; 2@98 b2/x1 -0.01/0.10; Triggered y1; [y1 runs]; \
         2@97 b3/y1 -0.01/0.10; Triggered z1; [z1 runs]; Removed z1 2 PRICE_BAND; StateChanged AUCTION until T60; \
         StateChanged CONTINUOUS",
        "B b4 9@96",
    ),
    (
        "what was triggered stands still in the auction, and goes on after it",
        "dynamic_bp 200, last 100, volatility 60",
        "b1 B 2@98; b2 B 9@96; x1 S 2 stop=98; y1 S 2@90 stop=98",
        "c1 S 2@98; amend y1 open=1; time T61",
        "2@98 b1/c1 -0.01/0.10; Triggered x1; Triggered y1; [x1 runs]; Removed x1 2 PRICE_BAND; \
         StateChanged AUCTION until T60; refused WOULD_TRIGGER; StateChanged CONTINUOUS; [y1 runs]; Rested y1 2@90; \
         StateChanged AUCTION until T121",
        "B b2 9@96; S y1 2@90",
    ),
    (
        "slide, then band",
        "static_bp 1000, uncrossed 100",
        "b1 S 3@115",
        "a1 B 1@120 SLIDE; a2 B 1@110 SLIDE",
        "a1 REJECTED PRICE_BAND; Rested a2 1@110",
        "B a2 1@110; S b1 3@115",
    ),
    (
        "precedence of reasons, with a band",
        "static_bp 1000, uncrossed 100",
        "b1 S 3@100; state POST_ONLY",
        "a1 B 1@120; a2 B 1@120 PO; a3 B 1@120 FOK; a4 B 1@120 SLIDE",
        "a1 REJECTED MARKET_STATE; a2 REJECTED WOULD_TAKE; a3 REJECTED MARKET_STATE; \
         a4 accepted at 99; Rested a4 1@99",
        "B a4 1@99; S b1 3@100",
    ),
    (
        "a stop-limit is judged by the static band when it runs",
        "static_bp 1000, uncrossed 100",
        "b1 S 1@105; a1 B 1@120 stop=105",
        "c1 B 1@105",
        "1@105 b1/c1 -0.01/0.06; Triggered a1; [a1 runs]; Removed a1 1 PRICE_BAND",
        "",
    ),
    (
        "an auction that would end outside the static band goes on once",
        "static_bp 500, dynamic_bp 500, volatility 60, extension 30, uncrossed 100",
        "d1 S 9@106",
        "a1 B 1@105; state AUCTION; a2 B 5 AUCTION; time T60; state CONTINUOUS",
        "Rested a1 1@105; StateChanged AUCTION; Rested a2 5; 5@106 a2/d1 0.11/0.11; \
         Uncrossed 106 volume 5 surplus -4; StateChanged CONTINUOUS",
        "B a1 1@105; S d1 4@106",
    ),
    (
        "an auction that would end outside the static band by itself goes on once",
        "static_bp 500, dynamic_bp 100, volatility 60, extension 30, uncrossed 100",
        "c1 S 1@102; d1 S 9@106",
        "a1 B 2@105; a2 B 5 AUCTION; time T61; time T90; time T91",
        "Rested a1 2@105; StateChanged AUCTION until T60; Rested a2 5; StateChanged AUCTION until T90; \
         1@106 a2/c1 0.03/0.03; 4@106 a2/d1 0.09/0.09; Uncrossed 106 volume 5 surplus -5; StateChanged CONTINUOUS",
        "B a1 2@105; S d1 5@106",
    ),
    (
        "DAY",
        "T50 CLOSED",
        "a1 B 5@99 DAY; b1 S 1@105",
        "time T49; time T50",
        "Removed a1 5 SESSION_END; StateChanged CLOSED",
        "S b1 1@105",
    ),
    (
        "a day of sessions",
        "T10 PRE_OPEN, T20 AUCTION, T30 CONTINUOUS, T50 CLOSED, indications",
        "time T5; a1 B 5@99 DAY",
        "time T10; b1 S 3@98; time T20; time T30; c1 S 1@97; time T86409; time T86410; d1 B 1@90",
        "StateChanged PRE_OPEN; Rested b1 3@98; StateChanged AUCTION; indicates 99 volume 3 surplus +2; \
         3@99 a1/b1 0.06/0.06; Uncrossed 99 volume 3 surplus +2; StateChanged CONTINUOUS; 1@99 a1/c1 0.00/0.05; \
         Removed a1 1 SESSION_END; StateChanged CLOSED; StateChanged PRE_OPEN; Rested d1 1@90",
        "B d1 1@90",
    ),
    (
        "what was due while nobody was there happens in its turn, and what expires before it opens does not trade",
        "T5 CONTINUOUS, T20 AUCTION, T30 CONTINUOUS, T50 HALTED",
        "time T15; a1 B 5@99; a2 B 1@99 exp=T30; state AUCTION; b1 S 5@98",
        "time T60; c1 B 1@97",
        "nothing; Removed a2 1 EXPIRE_TIME; 5@98 a1/b1 0.10/0.10; Uncrossed 98 volume 5 surplus +0; \
         StateChanged CONTINUOUS; StateChanged HALTED; c1 REJECTED MARKET_STATE",
        "",
    ),
    (
        "a market begins with the state that it would have, and an operator's word holds until the next time",
        "T10 CLOSED, T30 CONTINUOUS",
        "",
        "time T15; a1 B 1@99; state CONTINUOUS; a2 B 1@99; time T30; state DELISTED; time T86410",
        "StateChanged CLOSED; a1 REJECTED MARKET_STATE; StateChanged CONTINUOUS; Rested a2 1@99; nothing; \
         StateChanged DELISTED; Removed a2 1 DELISTED",
        "",
    ),
];
