//! `man` and `completions`: what is generated from the definition of the command line.

use std::io::{self, Write};
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::error::Error;

use super::args;
use super::exit::{Exit, Failure};
use super::help::{self, Section};
use super::output;

/// Writes a completion script.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut command = args::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Exit::Ok)
}

/// Writes the pages of the program and of each sub-command: into a directory, one file each, or
/// one after another to standard output, where `man -l -` reads them.
pub(crate) fn pages(directory: Option<&Path>) -> Result<Exit, Failure> {
    let mut command = args::command();
    command.build();
    let commands: Vec<_> = [&command]
        .into_iter()
        .chain(command.get_subcommands())
        .cloned()
        .collect();
    let mut out = output::stdout();
    for command in commands {
        let sections = help::sections(command.get_name());
        let lists_others = command.has_subcommands();
        let man = Man::new(command);
        let mut page = Vec::new();
        begin(&man, &mut page)?;
        if lists_others {
            man.render_subcommands_section(&mut page)?;
        }
        end(&sections, &mut page)?;
        match directory {
            Some(directory) => {
                let path = directory.join(man.get_filename());
                let failed = Error::io(format!("write {}", path.display()));
                std::fs::write(&path, page).map_err(failed)?;
            }
            None => out.write_all(&page)?,
        }
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn begin(man: &Man, out: &mut Vec<u8>) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)
}

fn end(sections: &[Section], out: &mut Vec<u8>) -> io::Result<()> {
    for section in sections {
        let mut roff = Roff::new();
        roff.control("SH", [section.title]);
        for line in section.text.lines() {
            match line {
                "" => roff.control("PP", []),
                line if line.starts_with("  ") => {
                    roff.control("nf", []).text([roman(line)]).control("fi", [])
                }
                line => roff.text([roman(line)]),
            };
        }
        roff.to_writer(out)?;
    }
    Ok(())
}
