//! How every driver begins, ends, is interrupted, and says which program it measures.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use super::args::Asked;
use super::{Result, floor};

static IS_INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The `main` of the driver with this name: reads the arguments, then runs what they ask for.
pub(crate) fn start<O>(
    name: &str,
    help: &str,
    parse: impl Fn(Vec<String>) -> std::result::Result<Asked<O>, String>,
    run: impl Fn(&O, &mut dyn Write) -> Result<()>,
) -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [command, sock, ..] = args.as_slice() {
        if command == "floor" {
            return exit(floor::serve(Path::new(sock)).map_err(Into::into));
        }
    }
    if !args.iter().any(|arg| arg == "--bench") {
        // `cargo test --all-targets` runs benchmarks too, and must not take minutes.
        tell(&format!(
            "nothing is measured here: use scripts/bench {name}"
        ));
        return ExitCode::SUCCESS;
    }
    let mut out = io::stdout();
    match parse(args) {
        Ok(Asked::Help) => exit(out.write_all(help.as_bytes()).map_err(Into::into)),
        Ok(Asked::Run(options)) => exit(obey_signals().and_then(|()| run(&options, &mut out))),
        Err(error) => {
            tell(&error);
            ExitCode::from(2)
        }
    }
}

fn exit(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // A Ctrl-C reaches the servers too, so a run may end by losing one.
        Err(_) if is_interrupted() => {
            tell("interrupted");
            ExitCode::FAILURE
        }
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Lets an interrupted driver end by itself, so that it takes its servers with it.
fn obey_signals() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&IS_INTERRUPTED))?;
    }
    Ok(())
}

fn is_interrupted() -> bool {
    IS_INTERRUPTED.load(Ordering::Relaxed)
}

/// To be asked now and then by whatever takes long.
///
/// # Errors
/// The driver was told to stop.
pub(crate) fn check_interrupt() -> Result<()> {
    if is_interrupted() {
        return Err("interrupted".into());
    }
    Ok(())
}

/// Says something to whoever waits for the report.
#[allow(clippy::print_stderr, reason = "tests of drivers capture it")]
pub(crate) fn tell(message: &str) {
    eprintln!("bench: {message}");
}

/// The `memstore-cluster` to measure: the one that was asked for, or the one of this source tree.
///
/// # Errors
/// Where there is none.
pub(crate) fn our_binary(asked: Option<&Path>) -> Result<PathBuf> {
    // Cargo builds the binary before a benchmark and tells where it is.
    let built = option_env!("CARGO_BIN_EXE_memstore-cluster").map(Path::new);
    let ours = asked.or(built);
    let ours = ours.ok_or("--binary is needed where the crate is built without its binary")?;
    Ok(ours.canonicalize().unwrap_or_else(|_| ours.to_owned()))
}
