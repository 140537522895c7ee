//! Auctions: a trade's first order is the buyer there. Market orders that wait are listed as `at market`.

use super::play::Row;

/// Name, market, start, commands, events, book.
pub const ROWS: &[Row] = &[
    (
        "auction with surplus",
        "AUCTION, last 100",
        "a1 B 10@102; b1 B 5@100; c1 S 4@99; d1 S 5@101",
        "uncross",
        "4@102 a1/c1 0.09/0.09; 5@102 a1/d1 0.11/0.11; Uncrossed 102 volume 9 surplus +1",
        "B a1 1@102, b1 5@100",
    ),
    (
        "auction, reference decides",
        "AUCTION, last 101",
        "a1 B 5@105; c1 S 5@95",
        "uncross",
        "5@101 a1/c1 0.11/0.11; Uncrossed 101 volume 5 surplus +0",
        "",
    ),
    (
        "auction, pressure up",
        "AUCTION, last 100",
        "a1 B 9@105; b1 B 1@103; c1 S 5@95",
        "uncross",
        "5@105 a1/c1 0.11/0.11; Uncrossed 105 volume 5 surplus +4",
        "B a1 4@105, b1 1@103",
    ),
    (
        "auction, pressure down",
        "AUCTION, last 100",
        "a1 B 5@105; c1 S 9@95",
        "uncross",
        "5@95 a1/c1 0.10/0.10; Uncrossed 95 volume 5 surplus -4",
        "S c1 4@95",
    ),
    (
        "auction, market orders only",
        "AUCTION, last 100",
        "a1 B 5 AUCTION; c1 S 3 AUCTION",
        "uncross",
        "3@100 a1/c1 0.06/0.06; Uncrossed 100 volume 3 surplus +2; Removed a1 2 AUCTION_ENDED",
        "",
    ),
    (
        "auction, market orders only and nothing was ever traded",
        "AUCTION",
        "a1 B 5 AUCTION; c1 S 3 AUCTION",
        "uncross",
        "Removed a1 5 AUCTION_ENDED; Removed c1 3 AUCTION_ENDED",
        "",
    ),
    (
        "auction, market before limit",
        "AUCTION, last 100",
        "a1 B 5@103; b1 B 4 AUCTION; c1 S 6@101",
        "uncross",
        "4@103 b1/c1 0.09/0.09; 2@103 a1/c1 0.05/0.05; Uncrossed 103 volume 6 surplus +3",
        "B a1 3@103",
    ),
    (
        "auction, iceberg whole",
        "AUCTION, last 100",
        "a1 S 9@100 show=2; b1 S 4@100; c1 B 11@100",
        "uncross",
        "9@100 c1/a1 0.18/0.18; 2@100 c1/b1 0.04/0.04; Uncrossed 100 volume 11 surplus -2",
        "S b1 2@100",
    ),
    (
        "auction, what is left of an iceberg shows a whole part at its rank",
        "last 100",
        "a1 S 9@100 show=3; b1 S 4@100; c1 B 2@100; state AUCTION; d1 B 2@100",
        "uncross; e1 B 4@100",
        "2@100 d1/a1 0.04/0.04; Uncrossed 100 volume 2 surplus -9; 3@100 a1/e1 -0.03/0.15; Replenished a1 2; \
         1@100 b1/e1 -0.01/0.05",
        "S b1 3@100, a1 2@100",
    ),
    (
        "auction, nothing crosses",
        "AUCTION, last 100",
        "a1 B 5@98; c1 S 5@99; d1 B 1@97 AUCTION",
        "uncross",
        "Removed d1 1 AUCTION_ENDED",
        "B a1 5@98; S c1 5@99",
    ),
    (
        "auction, one market order",
        "AUCTION, last 100",
        "a1 B 5@98; c1 S 5@99; d1 B 1 AUCTION",
        "uncross",
        "1@99 d1/c1 0.02/0.02; Uncrossed 99 volume 1 surplus -4",
        "B a1 5@98; S c1 4@99",
    ),
    (
        "auction triggers a stop",
        "last 100",
        "x1 S 2 stop=97; state AUCTION; a1 B 5@97; b1 B 5@95; c1 S 4@96",
        "uncross",
        "4@97 a1/c1 0.08/0.08; Triggered x1; Uncrossed 97 volume 4 surplus +1; [x1 runs]; \
         1@97 a1/x1 0.00/0.05; 1@95 b1/x1 0.00/0.05",
        "B b1 4@95",
    ),
    (
        "what an uncross triggers waits for trading if that opens for post-only orders alone",
        "last 100",
        "x1 S 2 stop=97; state AUCTION; a1 B 5@97; c1 S 4@96",
        "state POST_ONLY; uncross",
        "4@97 a1/c1 0.08/0.08; Triggered x1; Uncrossed 97 volume 4 surplus +1; StateChanged POST_ONLY; \
         [x1 runs]; 1@97 a1/x1 0.00/0.05; Removed x1 1 NO_LIQUIDITY",
        "",
    ),
    (
        "IOC in an auction",
        "AUCTION, last 100",
        "a1 B 5@97",
        "b1 S 5@97 IOC; c1 S 1@98 PO; d1 B 1@99; e1 B 1; f1 B 1@mtl; g1 B 2@99 min=1; h1 B 1@99 FOK",
        "b1 REJECTED MARKET_STATE; c1 REJECTED MARKET_STATE; Rested d1 1@99; e1 REJECTED MARKET_STATE; \
         f1 REJECTED MARKET_STATE; g1 REJECTED MARKET_STATE; h1 REJECTED MARKET_STATE",
        "B d1 1@99, a1 5@97",
    ),
    (
        "an order of an auction outside of one",
        "",
        "",
        "a1 B 5@97 AUCTION; a2 B 5 AUCTION; state PRE_OPEN; a3 B 5@97 AUCTION; a4 B 5 AUCTION",
        "a1 REJECTED MARKET_STATE; a2 REJECTED MARKET_STATE; StateChanged PRE_OPEN; Rested a3 5@97; Rested a4 5",
        "B a3 5@97; at market a4 5",
    ),
    (
        "amends in an auction",
        "",
        "a1 B 5@98 PO; b1 S 5@99; c1 B 5 AUCTION; d1 B 5 AUCTION; state AUCTION; c2 B 5 AUCTION; d2 B 5 AUCTION",
        "amend a1 price=99; amend a1 open=4; amend b1 price=97; amend c2 open=6; amend c2 price=99; amend d2 open=3; \
         uncross",
        "refused MARKET_STATE; Reduced a1 4; Lifted b1 5@97; Rested b1 5@97; Rested c2 6; refused UNKNOWN_VALUE; \
         Reduced d2 3; 3@98 d2/b1 0.06/0.06; 2@98 c2/b1 0.04/0.04; Uncrossed 98 volume 5 surplus +8; \
         Removed c2 4 AUCTION_ENDED",
        "B a1 4@98",
    ),
    (
        "cancels, the kill switch and expiry in an auction",
        "AUCTION",
        "a1 B 5 AUCTION; b1 B 5 AUCTION; c1 S 5@99 exp=T5; d1 S 5@99; e1 B 1 AUCTION",
        "cancel a1; kill b on; time T5; replace e1 e2 B 2@99 AUCTION; uncross",
        "Removed a1 5 REQUESTED; Killed b on; Removed b1 5 ACCOUNT_KILLED; Removed c1 5 EXPIRE_TIME; \
         Removed e1 1 REPLACED; Rested e2 2@99; 2@99 e2/d1 0.04/0.04; Uncrossed 99 volume 2 surplus -3",
        "S d1 3@99",
    ),
    (
        "own orders meet in an uncross: neither takes",
        "AUCTION, last 100",
        "a1 B 5@100 CANCEL_BOTH; a2 S 5@100 CANCEL_BOTH",
        "uncross",
        "5@100 a1/a2 0.10/0.10; Uncrossed 100 volume 5 surplus +0",
        "",
    ),
    (
        "a halt in an auction keeps what crosses, and any way back to trading uncrosses it",
        "AUCTION, last 100",
        "a1 B 5@101; b1 S 3@99; c1 B 1 AUCTION",
        "state HALTED; cancel b1; state CANCEL_ONLY; amend a1 open=4; uncross; d1 S 1@101",
        "StateChanged HALTED; Removed b1 3 REQUESTED; StateChanged CANCEL_ONLY; Reduced a1 4; \
         Removed c1 1 AUCTION_ENDED; 1@101 a1/d1 -0.01/0.06",
        "B a1 3@101",
    ),
    (
        "a stop that comes in an auction waits, and the uncross triggers it",
        "AUCTION, last 100",
        "a1 B 5@103; b1 S 3@101",
        "c1 B 1 stop=100; d1 B 1 stop=103; uncross",
        "c1 REJECTED WOULD_TRIGGER; Waiting d1 at 103; 3@103 a1/b1 0.07/0.07; Triggered d1; \
         Uncrossed 103 volume 3 surplus +2; [d1 runs]; Removed d1 1 NO_LIQUIDITY",
        "B a1 2@103",
    ),
    (
        "what the auction would give is told as it changes, and not before it begins",
        "indications, last 100",
        "state PRE_OPEN; a1 B 5@101; b1 S 3@99",
        "state AUCTION; c1 B 1 AUCTION; d1 B 1@90; cancel b1; uncross",
        "StateChanged AUCTION; indicates 101 volume 3 surplus +2; Rested c1 1; indicates 101 volume 3 surplus +3; \
         Rested d1 1@90; Removed b1 3 REQUESTED; indicates nothing; Removed c1 1 AUCTION_ENDED",
        "B a1 5@101, d1 1@90",
    ),
];
