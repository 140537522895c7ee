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
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::LogFilter;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let written = Written::default();
        let config = LogConfig { format, filter: LogFilter::new("info").unwrap() };
        let writer = { move |written: &Written| written.clone() };
        let clone = written.clone();
        tracing::subscriber::with_default(subscriber(&config, move || writer(&clone), false), || {
            let span = tracing::info_span!("request", id = "r-1");
            span.in_scope(|| tracing::info!(market = "BTC/USDT", "placed"));
            tracing::debug!("not wanted");
        });
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
    fn a_line_of_json_carries_its_request() {
        let text = logged(LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "placed");
        assert_eq!(line["market"], "BTC/USDT");
        assert_eq!(line["span"]["id"], "r-1");
    }
}
