//! Logs: events and spans of `tracing`, and records of dependencies that use `log`, to stderr.
//!
//! Every line of a request carries the request's span, and so its id.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Starts logging for this process.
///
/// # Errors
/// It was started before.
pub fn start(config: &LogConfig) -> Result<(), TryInitError> {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colors = wanted && io::stderr().is_terminal();
    // This also bridges the records of `log`.
    subscriber(config, io::stderr, colors).try_init()
}

fn subscriber<W>(config: &LogConfig, writer: W, colors: bool) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = config.filter.filter();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A line that can't be written is lost: saying so on stderr would panic for the same reason.
    let builder = builder.log_internal_errors(false);
    match config.format {
        LogFormat::Text => Box::new(builder.with_ansi(colors).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use tonic::body::Body;
    use tonic::codegen::http::Request;
    use tonic::{Code, Status};
    use tower::{Layer, Service};

    use super::*;
    use crate::config::LogFilter;
    use crate::layers;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        logged_by(format, || {
            let span = tracing::info_span!("request", id = "r-1");
            span.in_scope(|| tracing::info!(market = "BTC/USDT", "placed"));
            tracing::debug!("not wanted");
        })
    }

    fn logged_by(format: LogFormat, logs: impl FnOnce()) -> String {
        let written = Captured::default();
        let config = LogConfig { format, filter: LogFilter::new("info").unwrap() };
        let writer = { move |written: &Captured| written.clone() };
        let clone = written.clone();
        tracing::subscriber::with_default(subscriber(&config, move || writer(&clone), false), logs);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        struct Full;

        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let config = LogConfig { format: LogFormat::Text, filter: LogFilter::new("info").unwrap() };
        let full = subscriber(&config, || Full, false);
        tracing::subscriber::with_default(full, || tracing::info!("not written"));
    }

    #[test]
    fn a_line_of_text_carries_its_request() {
        let text = logged(LogFormat::Text);
        assert!(text.contains("INFO request{id=\"r-1\"}: "), "{text}");
        assert!(text.ends_with("placed market=\"BTC/USDT\"\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn only_a_call_that_fails_is_named_where_nobody_listens_to_calls() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let call = |code| async move {
            let answer = move |_: Request<()>| async move {
                Ok::<_, Infallible>(Status::new(code, "").into_http::<Body>())
            };
            let request = Request::post("http://a/xbook.v1.TradingService/PlaceOrder");
            let request = request.header("xbook-request-id", "r-7").body(()).unwrap();
            layers::failures().layer(tower::service_fn(answer)).call(request).await.unwrap();
        };
        let text = logged_by(LogFormat::Text, || {
            for code in [Code::Ok, Code::NotFound, Code::Internal] {
                runtime.block_on(call(code));
            }
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let method = "method=\"xbook.v1.TradingService/PlaceOrder\"";
        for part in
            ["ERROR call{", method, "account=\"main\"", "request=\"r-7\"", "status=Internal", "failed"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_line_of_json_carries_its_request() {
        let text = logged(LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "placed");
        assert_eq!(line["market"], "BTC/USDT");
        assert_eq!(line["span"]["id"], "r-1");
    }
}
