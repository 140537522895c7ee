//! Any message of the API as JSON, by way of its description.
//!
//! One object a message: fields are named as in the proto files and always there, unless they are
//! messages or `optional` and not set; enum values are named; 64-bit integers are numbers; times
//! are RFC 3339.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use crate::failure::Failure;

static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(xbook_proto::DESCRIPTORS).map_err(|error| error.to_string()));

/// The message as one line of JSON.
pub fn line<M: Message + Name>(message: &M) -> Result<String, Failure> {
    let fault = |error: &dyn ToString| Failure::internal(format!("can't write JSON: {}", error.to_string()));
    let pool = POOL.as_ref().map_err(|error| fault(error))?;
    let descriptor = pool
        .get_message_by_name(&M::full_name())
        .ok_or_else(|| fault(&format!("{} is not described", M::full_name())))?;
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic.transcode_from(message).map_err(|error| fault(&error))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false)
        .stringify_64_bit_integers(false);
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    dynamic.serialize_with_options(&mut serializer, &options).map_err(|error| fault(&error))?;
    String::from_utf8(text).map_err(|error| fault(&error))
}

#[cfg(test)]
mod tests {
    use xbook_proto::v1::{GetOrderResponse, Order, OrderStatus, Side, StreamTradesRequest};

    #[test]
    fn a_message_keeps_its_names_and_decimals() {
        let order = Order {
            order_id: "0000000000007f3a-1".to_owned(),
            side: Side::Buy.into(),
            price: "10.50".to_owned(),
            status: OrderStatus::Open.into(),
            accept_time: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
            ..Order::default()
        };
        let response = GetOrderResponse { order: Some(order), position: u64::MAX };
        let json: serde_json::Value = serde_json::from_str(&super::line(&response).unwrap()).unwrap();
        assert_eq!(json["position"], u64::MAX);
        assert_eq!(json["order"]["order_id"], "0000000000007f3a-1");
        assert_eq!(json["order"]["side"], "SIDE_BUY");
        assert_eq!(json["order"]["price"], "10.50");
        assert_eq!(json["order"]["post_only"], false);
        assert_eq!(json["order"]["accept_time"], "1970-01-01T00:00:01.500Z");
        assert!(json["order"].get("expire_time").is_none());
    }

    #[test]
    fn what_is_not_set_is_left_out_and_what_is_zero_is_not() {
        let line = |after_position| {
            super::line(&StreamTradesRequest { market: "A/B".to_owned(), after_position }).unwrap()
        };
        assert_eq!(line(None), r#"{"market":"A/B"}"#);
        assert_eq!(line(Some(0)), r#"{"market":"A/B","after_position":0}"#);
    }
}
