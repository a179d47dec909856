//! Log events to standard error, as the configuration asks.
//!
//! Whoever reads a master's standard error may stall, and the loop must not: an event is written
//! only where standard error takes it at once, and is lost otherwise. A thread with a queue would
//! lose less, and make every system call of the loop dearer.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Config, LogFormat};

/// From here on events are written. Called once; a second call changes nothing.
pub(crate) fn start(config: &Config) {
    let _ = subscriber(config, has_colour(), || Willing(io::stderr())).try_init();
}

/// Writes what its descriptor takes at once, and drops the rest.
struct Willing<W>(W);

impl<W: Write + AsFd> Write for Willing<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
        let is_willing = matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1));
        // A pipe that is ready takes PIPE_BUF bytes, which is more than an event has (pipe(7)).
        if is_willing {
            self.0.write(event)
        } else {
            Ok(event.len())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
    use std::fs::File;
    use std::io::Read as _;
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
    fn a_reader_that_stalls_costs_events_and_no_time() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let (reader, writer) = (File::from(reader), File::from(writer));
        let mut log = Willing(writer);
        let event = [b'x'; 1_000];
        // Would block for ever, were it not dropped: a pipe holds 64 KiB.
        for _ in 0..1_000 {
            log.write_all(&event).unwrap();
        }
        drop(log);
        let mut written = Vec::new();
        reader.take(1 << 20).read_to_end(&mut written).unwrap();
        assert!(written.len() >= 4_096, "what fits is written");
        assert_eq!(written.len() % event.len(), 0, "an event is written whole");
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
