//! What an answer has at a path.

use rust_decimal::Decimal;
use serde_json::Value;

/// The values at a path such as `order.status`, `fills[0].price` or `bids[*].quantity`; none if nothing is
/// there.
///
/// # Errors
/// The path can't be understood.
pub fn at<'a>(answer: &'a Value, path: &str) -> Result<Vec<&'a Value>, String> {
    let mut found = vec![answer];
    for step in path.split('.') {
        let (field, mut indexes) = match step.split_once('[') {
            Some((field, rest)) => (field, Some(rest)),
            None => (step, None),
        };
        if !field.is_empty() {
            found = found.into_iter().filter_map(|value| value.get(field)).collect();
        } else if indexes.is_none() {
            return Err(format!("{path} has an empty name in it"));
        }
        while let Some(rest) = indexes {
            let (index, after) = rest.split_once(']').ok_or_else(|| format!("{path} has a [ without a ]"))?;
            found = match index {
                "*" => found.into_iter().filter_map(Value::as_array).flatten().collect(),
                number => {
                    let at: usize =
                        number.parse().map_err(|_| format!("[{number}] in {path} is no number"))?;
                    found.into_iter().filter_map(|value| value.get(at)).collect()
                }
            };
            indexes = after.strip_prefix('[');
            if indexes.is_none() && !after.is_empty() {
                return Err(format!("{path} has {after} behind a ]"));
            }
        }
    }
    Ok(found)
}

/// Whether the value of a field is what was said: a text, a number however it is written, or the name of an
/// enum's value, with or without what all of that enum begin with.
pub fn is(value: &Value, field: &str, said: &str) -> bool {
    let text = shown(value);
    if text == said {
        return true;
    }
    if let (Ok(mine), Ok(theirs)) = (text.parse::<Decimal>(), said.parse::<Decimal>()) {
        return mine == theirs;
    }
    // ORDER_STATUS_OPEN of the field `status` is OPEN.
    let prefix = text.strip_suffix(said).and_then(|rest| rest.strip_suffix('_'));
    prefix.is_some_and(|prefix| !said.is_empty() && prefix.ends_with(&field.to_ascii_uppercase()))
}

/// The name of the field that a path ends with.
pub fn field(path: &str) -> &str {
    let last = path.rsplit('.').next().unwrap_or_default();
    last.split('[').next().unwrap_or_default()
}

/// A value as it is said in a playbook.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let answer =
            json!({ "order": { "status": "ORDER_STATUS_OPEN" }, "fills": [{ "p": "1" }, { "p": "2" }, {}] });
        let texts =
            |path: &str| at(&answer, path).map(|found| found.into_iter().map(shown).collect::<Vec<_>>());
        assert_eq!(texts("order.status").unwrap(), ["ORDER_STATUS_OPEN"]);
        assert_eq!(texts("fills[1].p").unwrap(), ["2"]);
        assert_eq!(texts("fills[*].p").unwrap(), ["1", "2"]);
        assert_eq!(texts("fills[7].p").unwrap().len() + texts("order.x.y").unwrap().len(), 0);
        assert_eq!(at(&json!([[1, 2], [3]]), "[*][0]").unwrap(), [1, 3]);
        for wrong in ["fills[", "fills[x]", "fills[0]p", "", "a..b"] {
            assert!(texts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        assert!(is(&json!("10.50"), "price", "10.5") && is(&json!(3), "position", "3"));
        assert!(is(&json!("ORDER_STATUS_OPEN"), "status", "OPEN"));
        assert!(is(&json!("ORDER_STATUS_OPEN"), "status", "ORDER_STATUS_OPEN"));
        assert!(is(&json!("SIDE_BUY"), "side", "BUY") && is(&json!(true), "post_only", "true"));
        assert!(!is(&json!("ORDER_STATUS_PARTIALLY_FILLED"), "status", "FILLED"));
        assert!(!is(&json!("10.5"), "price", "10.51") && !is(&json!("x"), "y", ""));
        assert_eq!((field("fills[*].price"), field("bids[0]"), field("a")), ("price", "bids", "a"));
    }
}
