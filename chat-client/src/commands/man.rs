//! `man`: the manual, printed from the same table as the help: the whole program on one page, with
//! every command, or one command alone.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{cli::Cli, output::Output, report::Failure};

/// What every section begins with.
const APOSTROPHE: [&str; 2] = [r".ie \n(.g .ds Aq \(aq", r".el .ds Aq '"];

pub(super) fn run(verb: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let page = match verb {
        None => whole(&command),
        Some(verb) => {
            let found = command.find_subcommand(verb).cloned();
            let found =
                found.ok_or_else(|| Failure::Usage(format!("there is no command {verb}")))?;
            alone(found)
        }
    };
    let page = page.map_err(|error| Failure::io("cannot write the manual", error))?;
    let page = String::from_utf8_lossy(&page);
    // Every section comes with the definition of the apostrophe; one is enough.
    let (mut is_defined, mut lines) = (false, Vec::new());
    for line in page.lines() {
        let is_definition = APOSTROPHE.contains(&line);
        if !is_definition || !is_defined {
            lines.push(line);
        }
        is_defined |= line == APOSTROPHE[1];
    }
    output.line(lines.join("\n").trim_end())
}

fn alone(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

fn whole(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Roff::new().control("SH", ["COMMANDS"]).to_writer(&mut page)?;
    describe_commands(command, &mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// Every command that does something: those that only group others are not listed themselves.
fn describe_commands(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        if !command.is_subcommand_required_set() {
            describe(command, page)?;
        }
        describe_commands(command, page)?;
    }
    Ok(())
}

fn describe(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = command.clone();
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    roff.control("TP", []).text([bold(usage)]).text([roman(about)]);
    roff.to_writer(page)?;

    let is_common = |argument: &&clap::Arg| {
        argument.is_global_set() || matches!(argument.get_id().as_str(), "help" | "version")
    };
    let common: Vec<_> = command
        .get_arguments()
        .filter(is_common)
        .map(|argument| argument.get_id().clone())
        .collect();
    for id in common {
        command = command.mut_arg(id, |argument| argument.hide(true));
    }
    let mut options = Vec::new();
    Man::new(command).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options).into_owned();
    let is_text = |line: &&str| !line.starts_with(".SH") && !APOSTROPHE.contains(line);
    let lines: Vec<&str> = options.lines().filter(is_text).collect();
    if !lines.is_empty() {
        // Below the command they belong to.
        page.extend_from_slice(format!(".RS\n{}\n.RE\n", lines.join("\n")).as_bytes());
    }
    Ok(())
}
