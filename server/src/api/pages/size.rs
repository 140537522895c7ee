//! How large an answer may be: no larger than what a usual client takes.
//!
//! What a list may hold is said in the proto files, and that it fits is tested here with the longest
//! texts that there are. What does not fit is read by pages.

/// Most bytes of a message that is sent, the usual limit of clients.
pub(in crate::api) const MAX_ANSWER_BYTES: usize = 4 * 1_024 * 1_024;

/// Most fills of one outcome that its answer lists.
pub(in crate::api) const MAX_FILLS: usize = 10_000;

/// Most cancelled orders that an answer names.
pub(in crate::api) const MAX_CANCELLED: usize = 20_000;

/// The first entries of a list, and whether there are more.
pub(in crate::api) fn first<T>(mut entries: impl Iterator<Item = T>, most: usize) -> (Vec<T>, bool) {
    let first: Vec<T> = entries.by_ref().take(most).collect();
    (first, entries.next().is_some())
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use xbook_proto::v1;

    use super::*;
    use crate::machine::MAX_MARKETS;
    use crate::node::cut;

    /// The longest texts: an order's id, a decimal, what a client chose, a market, words.
    fn longest() -> [String; 5] {
        let id = format!("{}-{}", "f".repeat(16), u64::MAX);
        let words = cut(&"\u{10ffff}".repeat(9_999));
        [id, "9".repeat(29), "x".repeat(64), format!("{0}/{0}", "A".repeat(12)), words]
    }

    fn time() -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds: i64::MAX, nanos: i32::MAX })
    }

    fn order() -> v1::Order {
        let [order_id, decimal, text, market, _] = longest();
        v1::Order {
            order_id,
            market,
            account: "x".repeat(32),
            // An order has one of the two.
            request_id: text,
            command_number: u64::MAX,
            session: String::new(),
            side: 1,
            r#type: 1,
            time_in_force: 1,
            post_only: true,
            price: decimal.clone(),
            quantity: decimal.clone(),
            filled_quantity: decimal.clone(),
            open_quantity: decimal.clone(),
            filled_value: decimal.repeat(2),
            status: 1,
            reason: 1,
            accept_time: time(),
            expire_time: time(),
            update_time: time(),
            position: u64::MAX,
            self_trade_prevention: 1,
            prevented_quantity: decimal.clone(),
            protection_price: decimal.clone(),
            min_quantity: decimal.clone(),
            slide: true,
            display_quantity: decimal.clone(),
            shown_quantity: decimal,
            client_order_id: "x".repeat(36),
            trigger_price: "9".repeat(29),
            triggered_position: u64::MAX,
            trail_distance: "9".repeat(29),
            limit_distance: "9".repeat(29),
        }
    }

    fn fill() -> v1::Fill {
        let [id, decimal, _, market, _] = longest();
        v1::Fill {
            position: u64::MAX,
            order_id: id.clone(),
            counter_order_id: id,
            side: 1,
            liquidity: 1,
            price: decimal.clone(),
            quantity: decimal.clone(),
            time: time(),
            market,
            fee: decimal,
            auction: true,
        }
    }

    #[test]
    fn the_largest_answers_fit() {
        let [id, decimal, _, market, words] = longest();
        let page = page_size();
        let voters = vec!["f".repeat(16); 7];
        let fills = vec![fill(); MAX_FILLS];
        let placed = v1::PlaceOrderResponse { order: Some(order()), fills, ..Default::default() };
        let cancelled =
            v1::CancelAllOrdersResponse { order_ids: vec![id.clone(); MAX_CANCELLED], ..Default::default() };
        let orders = v1::ListOrdersResponse { orders: vec![order(); page], ..Default::default() };
        let fill_page = v1::ListFillsResponse { fills: vec![fill(); page], ..Default::default() };
        let trade = v1::Trade {
            position: u64::MAX,
            price: decimal.clone(),
            quantity: decimal.clone(),
            taker_side: 1,
            maker_order_id: id.clone(),
            taker_order_id: id.clone(),
            time: time(),
            auction: true,
        };
        let trades = v1::ListTradesResponse { trades: vec![trade; page], ..Default::default() };
        // One that is quarantined tells nothing else.
        let faulty = v1::Market { name: market.clone(), quarantined: words.clone(), ..Default::default() };
        let markets = v1::ListMarketsResponse { markets: vec![faulty; MAX_MARKETS] };
        let document = v1::DocumentStatus {
            name: market.clone(),
            quarantined: words,
            voters: voters.clone(),
            ..Default::default()
        };
        let node = v1::GetNodeResponse { documents: vec![document; MAX_MARKETS + 1], ..Default::default() };
        let lease = v1::Lease {
            document: market,
            holder: voters[0].clone(),
            since: time(),
            promised_by: voters.clone(),
            voters,
            ..Default::default()
        };
        let leases = v1::ListLeasesResponse { leases: vec![lease; MAX_MARKETS + 1] };
        let taken = v1::TradeFill {
            maker_order_id: id,
            price: decimal.clone(),
            quantity: decimal.clone(),
            position: u64::MAX,
            fee: decimal,
        };
        let result = v1::TradeResult { fills: vec![taken; MAX_FILLS], ..Default::default() };
        let results = v1::TradeResponse { results: vec![result], ..Default::default() };
        for (what, bytes) in [
            ("a placed order", placed.encoded_len()),
            ("cancelled orders", cancelled.encoded_len()),
            ("orders", orders.encoded_len()),
            ("fills", fill_page.encoded_len()),
            ("trades", trades.encoded_len()),
            ("markets", markets.encoded_len()),
            ("documents", node.encoded_len()),
            ("leases", leases.encoded_len()),
            ("results", results.encoded_len()),
        ] {
            assert!(bytes < MAX_ANSWER_BYTES - 4_096, "{what}: {bytes}");
        }
    }

    fn page_size() -> usize {
        crate::api::pages::MAX_SIZE as usize
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(first([1, 2, 3].into_iter(), 3), (vec![1, 2, 3], false));
        assert_eq!(first([1, 2, 3].into_iter(), 2), (vec![1, 2], true));
    }
}
