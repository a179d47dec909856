//! Log events to standard error, as the configuration asks.
//!
//! A master writes them on a thread of their own: whoever reads its standard error may stall, and
//! the loop must not. What does not fit the queue meanwhile is lost.

use std::io::{self, IsTerminal as _};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Config, LogFormat};

/// Events that wait to be written, at the most; about a megabyte.
const QUEUE: usize = 8_192;

/// From here on events are written, by whoever has one. Called once; a second call changes
/// nothing.
pub(crate) fn start(config: &Config) {
    let _ = subscriber(config, has_colour(), io::stderr).try_init();
}

/// From here on events are written on a thread of their own. What is queued is written when the
/// guard is dropped, if standard error takes it within a second.
#[must_use = "what is queued is lost unless the guard is dropped"]
pub(crate) fn start_queued(config: &Config) -> WorkerGuard {
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE)
        .lossy(true)
        .thread_name("memstore-log")
        .finish(io::stderr());
    let _ = subscriber(config, has_colour(), queue).try_init();
    guard
}

fn has_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn subscriber<W>(config: &Config, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = config.log.parse::<Targets>();
    let filter = filter.unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // By default an event that cannot be written is reported with `eprintln!`, which panics where
    // standard error is closed: a master must outlive whoever reads its log.
    let layer = fmt::layer()
        .with_writer(writer)
        .with_ansi(colour)
        .log_internal_errors(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::Surroundings;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(log: &str, format: LogFormat) -> String {
        let mut config = Config::new(&Surroundings {
            runtime_dir: None,
            temp_dir: "/tmp".into(),
            uid: 0,
        });
        log.clone_into(&mut config.log);
        config.log_format = format;
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(&config, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(slot = 3, "worker started");
            tracing::debug!("not at this level");
        });
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_is_a_line_per_event_without_colour_for_a_file() {
        let text = written("info", LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("INFO") && text.contains("worker started slot=3"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn json_is_an_object_per_line() {
        let text = written("info", LogFormat::Json);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["slot"], 3);
        assert_eq!(event["message"], "worker started");
    }

    #[test]
    fn the_level_decides_what_is_written() {
        assert_eq!(written("off", LogFormat::Text), "");
        assert_eq!(written("debug", LogFormat::Text).lines().count(), 2);
        assert_eq!(
            written("error,memstore_cluster=info", LogFormat::Text)
                .lines()
                .count(),
            1
        );
    }
}
