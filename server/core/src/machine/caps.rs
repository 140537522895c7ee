//! How much a state keeps at most.

/// The caps of a state. All nodes of a document must have the same: what is forgotten, and what is
/// refused because there is no room, is decided by them. A node runs with the default; the simulator
/// makes them small, so that each is reached in every run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// Requests with an id that are remembered, and repeats of them.
    pub requests: usize,
    /// Sessions that are remembered.
    pub sessions: usize,
    /// Commands of sessions whose content and outcome are remembered.
    pub commands: usize,
    /// Orders that are marked. There is one for each withdraw or withdrawn order that waits for its
    /// turn; beyond this no order is stopped before its own.
    pub withdrawn: usize,
    /// Orders that rest in a market. It bounds what one command can do, a sweep or a cancel-all, and so
    /// the size of a tape batch.
    pub open_orders: usize,
    /// Parts that icebergs hide in a market: as many trades more one command can do.
    pub hidden_parts: u64,
    /// Orders that expire in one batch, so that its size is bounded: of switches that fire all orders but the
    /// last one's count too. While more is due nothing else happens, so none of them trades.
    pub expired: usize,
    /// Trailing stops that wait in a market: each trade may move all of them, and each is told.
    pub trailing: usize,
    /// Triggered orders that run in one batch. While more are to, no intent has its turn.
    pub triggered: usize,
    /// Switches that are armed, and accounts that are killed.
    pub protected: usize,
    /// Bytes of requests and of their outcomes after which a change ends; the last request's outcome may be larger.
    /// So a change has at most twice as much (four times more in a generation's last), and what the orders of a
    /// whole book take, some 20 bytes each, and the parts that they hide, some 30: less than a message between nodes holds.
    pub batch_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            requests: 262_144,
            sessions: 16_384,
            commands: 16_384,
            withdrawn: 65_536,
            open_orders: 500_000,
            hidden_parts: 50_000,
            expired: 4_096,
            trailing: 1_000,
            triggered: 1_000,
            protected: 65_536,
            batch_bytes: 1024 * 1024,
        }
    }
}
