use super::*;

fn repeat() -> Repeat {
    Repeat { request_id: "r1".to_owned(), command: "xcli buy 1 A/B 2 --request-id r1".to_owned() }
}

fn off_tick(message: &str) -> Status {
    let metadata = [("field", "order.price"), ("value", "10.005"), ("limit", "0.01")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let details = ErrorDetails::with_error_info("OFF_TICK", "xbook", metadata);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn with_reason(code: Code, reason: &str) -> Status {
    let none: [(String, String); 0] = [];
    Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, "xbook", none))
}

#[test]
fn each_status_has_its_exit_code() {
    for (code, read, change) in [
        (Code::InvalidArgument, Exit::Invalid, Exit::Invalid),
        (Code::NotFound, Exit::Invalid, Exit::Invalid),
        (Code::AlreadyExists, Exit::Invalid, Exit::Invalid),
        (Code::PermissionDenied, Exit::Invalid, Exit::Invalid),
        (Code::OutOfRange, Exit::Invalid, Exit::Invalid),
        (Code::FailedPrecondition, Exit::Refused, Exit::Refused),
        (Code::Aborted, Exit::Refused, Exit::Refused),
        (Code::ResourceExhausted, Exit::Unreachable, Exit::Unreachable),
        (Code::Unimplemented, Exit::Internal, Exit::Internal),
        (Code::Unavailable, Exit::Unreachable, Exit::OutcomeUnknown),
        (Code::DeadlineExceeded, Exit::Unreachable, Exit::OutcomeUnknown),
        (Code::Cancelled, Exit::Unreachable, Exit::OutcomeUnknown),
        (Code::Unknown, Exit::Internal, Exit::OutcomeUnknown),
        (Code::Internal, Exit::Internal, Exit::OutcomeUnknown),
        (Code::DataLoss, Exit::Internal, Exit::OutcomeUnknown),
    ] {
        let status = Status::new(code, "said");
        assert_eq!(Failure::of_read(&status).exit, read, "{code:?}");
        assert_eq!(Failure::of_change(&status, &repeat()).exit, change, "{code:?}");
    }
}

#[test]
fn a_reached_limit_is_a_refusal_and_an_overload_is_not() {
    let exit = |reason| Failure::of_read(&with_reason(Code::ResourceExhausted, reason)).exit;
    assert_eq!(exit("TOO_MANY"), Exit::Refused);
    assert_eq!(exit("OVERLOADED"), Exit::Unreachable);
}

#[test]
fn the_newer_reasons_are_known() {
    for (code, reason, exit, transient) in [
        (Code::FailedPrecondition, "SESSION_FORGOTTEN", Exit::Refused, false),
        (Code::FailedPrecondition, "COMMAND_REUSED", Exit::Refused, false),
        (Code::FailedPrecondition, "BELOW_FILLED", Exit::Refused, false),
        // The request may have been taken before the fault was found.
        (Code::Unavailable, "QUARANTINED", Exit::OutcomeUnknown, false),
        (Code::Unavailable, "STARTING", Exit::Unreachable, true),
        (Code::ResourceExhausted, "TOO_MUCH_UNREAD", Exit::Unreachable, true),
    ] {
        let status = with_reason(code, reason);
        let failure = Failure::of_change(&status, &repeat());
        assert_eq!(failure.exit, exit, "{reason}");
        assert_eq!(is_transient(&status), transient, "{reason}");
        let known = reason::from_name(reason);
        assert!(failure.message().ends_with(reason::phrase(known)), "{}", failure.message());
        assert!(failure.to_string().contains(&format!("[{reason}]\n")), "{failure}");
    }
}

#[test]
fn an_error_names_field_value_limit_and_reason_once() {
    let bare = Failure::of_read(&off_tick("price is off the grid"));
    assert_eq!(
        bare.to_string(),
        "error: price is off the grid (field order.price, value 10.005, limit 0.01) [OFF_TICK]\n  \
         `xcli market show NAME` shows a market's grid and limits\n"
    );
    let full = Failure::of_read(&off_tick("order.price: 10.005 is not a multiple of 0.01."));
    assert!(
        full.to_string().starts_with("error: order.price: 10.005 is not a multiple of 0.01 [OFF_TICK]\n")
    );
    let silent = Failure::of_read(&off_tick(""));
    assert!(silent.to_string().starts_with("error: the price is not a multiple of the market's tick size ("));
}

#[test]
fn json_has_the_parts_apart() {
    let json: serde_json::Value =
        serde_json::from_str(&Failure::of_read(&off_tick("off grid")).to_json()).unwrap();
    let error = &json["error"];
    assert_eq!(error["exit_code"], 3);
    assert_eq!(error["status"], "INVALID_ARGUMENT");
    assert_eq!(error["reason"], "OFF_TICK");
    assert_eq!(error["field"], "order.price");
    assert_eq!(error["value"], "10.005");
    assert_eq!(error["limit"], "0.01");
    assert!(error.get("request_id").is_none());
}

#[test]
fn a_field_violation_names_the_field_too() {
    let details = ErrorDetails::with_bad_request_violation("order.quantity", "must be positive");
    let status = Status::with_error_details(Code::InvalidArgument, "not positive", details);
    assert_eq!(Failure::of_read(&status).to_string(), "error: not positive (field order.quantity)\n");
}

#[test]
fn an_unknown_outcome_tells_how_to_repeat() {
    let failure = Failure::of_change(&Status::cancelled("Timeout expired"), &repeat());
    assert_eq!(
        failure.to_string(),
        "error: the outcome is unknown: the answer did not come in time\n  \
         to learn the outcome, repeat: xcli buy 1 A/B 2 --request-id r1\n"
    );
    assert!(failure.to_json().contains(r#""request_id":"r1""#));
}

#[test]
fn a_retry_delay_is_told() {
    let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(250)));
    details.set_error_info("OVERLOADED", "xbook", [("limit".to_owned(), "10000".to_owned())]);
    let status = Status::with_error_details(Code::ResourceExhausted, "too busy", details);
    let failure = Failure::of_read(&status);
    assert_eq!(failure.cause.retry_after_ms, Some(250));
    assert_eq!(failure.to_string(), "error: too busy (limit 10000) [OVERLOADED]\n  try again in 250ms\n");
}

#[test]
fn only_the_connections_faults_are_transient() {
    assert!(is_transient(&Status::unavailable("")));
    assert!(is_transient(&with_reason(Code::ResourceExhausted, "SLOW_READER")));
    assert!(is_transient(&Status::from_error(Box::new(io::Error::other("broken")))));
    for code in [Code::NotFound, Code::OutOfRange, Code::Internal, Code::ResourceExhausted] {
        assert!(!is_transient(&Status::new(code, "")), "{code:?}");
    }
}
