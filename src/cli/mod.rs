//! The command line: what was typed, what it means, and who does it.
//!
//! `args` says what was typed, `load` what it means together with environment and file, and the
//! files named after sub-commands do it. `output` is the only way to the user's eyes, `exit` the
//! only place that knows the numbers. Only the binary calls this.

mod args;
mod commands;
mod copy;
mod exit;
mod help;
mod load;
mod logging;
mod manual;
mod output;
mod run;
mod serve;
mod show;
mod snapshot;
mod subscribe;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::cluster::{self, Options, Source, Store};
use crate::config::merge::{Environment, Merged};
use crate::config::settings::Purpose;
use crate::config::{self, Config};
use crate::error::Error;
use crate::protocol::auth::Secret;

use args::Action;
use exit::{Exit, Failure};

/// Does what the arguments of this process ask, and returns the code it ends with.
pub fn main() -> ExitCode {
    let environment: Environment = std::env::vars_os().collect();
    let exit = match dispatch(std::env::args_os(), &environment) {
        Ok(exit) => exit,
        Err(failure) => {
            output::tell(&failure);
            failure.exit()
        }
    };
    exit.into()
}

fn dispatch(
    arguments: impl Iterator<Item = OsString>,
    environment: &Environment,
) -> Result<Exit, Failure> {
    let arguments: Vec<_> = arguments.collect();
    let typed = match args::parse(&arguments) {
        Ok(typed) => typed,
        Err(answer) if is_manual(&answer) => {
            answer.print()?;
            let asked_for = !answer.use_stderr();
            return Ok(if asked_for { Exit::Ok } else { Exit::Usage });
        }
        Err(error) => return Err(Failure::usage(&error, &arguments)),
    };
    let load = |purpose| load::load(purpose, &typed, environment);
    match &typed.action {
        Action::Run(command) => run::run(&begin(load(Purpose::Run)?), command),
        Action::Serve => serve::serve(&begin(load(Purpose::Serve)?)),
        Action::Ask(request) => commands::ask(
            &client(load(Purpose::Client)?)?,
            request,
            &mut output::stdout(),
        ),
        Action::Subscribe(subscribe) => {
            subscribe.run(&client(load(Purpose::Client)?)?, &mut output::stdout())
        }
        Action::Dump(format, file) => {
            snapshot::dump(&client(load(Purpose::Client)?)?, *format, file.as_deref())
        }
        Action::Load(file, condition) => snapshot::load(
            &client(load(Purpose::Client)?)?,
            file.as_deref(),
            *condition,
        ),
        Action::Copy(copy) => copy.run(&begin(load(Purpose::Client)?)),
        Action::Config(what) => show::run(*what, &load(Purpose::Show)?),
        Action::Completions(shell) => manual::completions(*shell),
        Action::Man(directory) => manual::pages(directory.as_deref()),
    }
}

/// The store of the master that is to be asked.
fn client(merged: Merged) -> Result<Store, Error> {
    let config = merged.config;
    logging::start(&config);
    let client = config.client();
    let client = client.expect("the merge refuses a client without a socket");
    let options = Options {
        sock: Some(client.sock),
        secret: read_secret(client.secret_file.as_deref())?,
        timeout: client.timeout,
        ..Options::default()
    };
    options.connect_now()
}

/// Whether it is the help or the version that the parser has to tell.
fn is_manual(answer: &clap::Error) -> bool {
    use clap::error::ErrorKind::{
        DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
    };
    matches!(
        answer.kind(),
        DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand | DisplayVersion
    )
}

/// What a configuration means to a master's store.
fn master_options(config: &Config) -> Result<Options, Error> {
    Ok(Options {
        name: config.name.clone(),
        sock: config.sock.clone(),
        store: match &config.store {
            config::Store::Memory => Source::memory(),
            config::Store::File(path) => Source::file(path, config.sync.unwrap_or_default()),
            other => other.clone().into(),
        }
        .within(config.memory),
        load_on_start: config.load_on_start.clone(),
        dump_on_exit: config.dump_on_exit.clone(),
        secret: read_secret(config.secret_file.as_deref())?,
        allow_uids: config.allow_uids.clone(),
        limits: config.limits.clone(),
        keyspace_events: config.keyspace_events,
        tombstones: config.tombstones.clone(),
        sessions: config.sessions.clone(),
        timeout: config.timeout,
        ..Options::default()
    })
}

/// A secret's file that cannot be read is a matter of configuration here.
fn read_secret(file: Option<&Path>) -> Result<Option<Secret>, Error> {
    let secret = file.map(cluster::read_secret).transpose();
    secret.map_err(|error| match error {
        Error::Io { action, source } => Error::Config(format!("cannot {action}: {source}")),
        other => other,
    })
}

/// Starts the log of a master, with what it was asked for and by whom.
fn begin(merged: Merged) -> Config {
    logging::start(&merged.config);
    for note in &merged.notes {
        tracing::warn!("{note}");
    }
    for (setting, origin) in &merged.origins {
        let values = (setting.show)(&merged.config);
        tracing::debug!(setting = setting.key, ?values, %origin, "configured");
    }
    merged.config
}
