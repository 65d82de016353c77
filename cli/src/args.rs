//! The command line: which commands there are, and nothing of what they do.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::{
    cancel_task, cells, completion, create, debug_logs, delete_task, domain, drain, explain, help,
    images, list, logs, rebalance, registry, remove, scale, status, submit_lrp, submit_task,
    target, task, trust, update, version, visualize,
};
use crate::exit::Exit;
use crate::out::Format;
use crate::view;

const EVERYWHERE: &str = "Options of every command";

/// Create, watch and change apps on a Lattice.
#[derive(Debug, Parser)]
#[command(name = "ltc", version, disable_help_subcommand = true, disable_version_flag = true)]
pub struct Cli {
    /// What standard output carries: text for people or json for programs
    #[arg(
        long,
        short = 'o',
        global = true,
        value_enum,
        default_value_t,
        help_heading = EVERYWHERE,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub output: Format,
    /// No colours; NO_COLOR does the same
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub no_color: bool,
    /// Print the version
    #[arg(long, short = 'v', action = ArgAction::Version)]
    version: Option<bool>,
    /// What to do; help without one.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Point ltc at a Lattice, or show where it points
    #[command(visible_alias = "ta")]
    Target(target::Args),
    /// Keep credentials for private image registries
    Registry(registry::Args),
    /// Show or install the authority behind https://*.DOMAIN
    Trust(trust::Args),
    /// Serve https for hosts of your own, with certificates of yours
    Domain(domain::Args),
    /// Run an app from an image, a directory or a tarball
    #[command(visible_alias = "cr")]
    Create(Box<create::Args>),
    /// Change the routes of an app
    #[command(visible_alias = "up")]
    Update(update::Args),
    /// Change the number of instances
    #[command(visible_alias = "sc")]
    Scale(scale::Args),
    /// Stop apps and forget them
    #[command(visible_alias = "rm")]
    Remove(remove::Args),
    /// Show apps and tasks
    #[command(visible_alias = "ls")]
    List(list::Args),
    /// Show one app and its instances
    #[command(visible_alias = "st")]
    Status(status::Args),
    /// Show the machines
    #[command(visible_alias = "ce")]
    Cells(cells::Args),
    /// Empty a machine without an outage, until it is undrained
    Drain(drain::Args),
    /// Let a drained machine take work again
    Undrain(drain::UndrainArgs),
    /// Spread instances anew over the machines, once
    Rebalance(rebalance::Args),
    /// Show the images that machines keep, or remove those that nobody uses
    #[command(visible_alias = "im")]
    Images(images::Args),
    /// Show how instances spread over the machines
    #[command(visible_alias = "vz")]
    Visualize(visualize::Args),
    /// Show where an instance would be put, and why
    #[command(visible_alias = "ex")]
    Explain(explain::Args),
    /// Follow the log of an app or task
    #[command(visible_alias = "lg")]
    Logs(logs::Args),
    /// Follow the platform's own log
    #[command(visible_alias = "dl")]
    DebugLogs(debug_logs::Args),
    /// Show one task
    #[command(visible_alias = "tk")]
    Task(task::Args),
    /// End a task
    #[command(visible_alias = "ct")]
    CancelTask(cancel_task::Args),
    /// End a task and forget it
    #[command(visible_alias = "dt")]
    DeleteTask(delete_task::Args),
    /// Want an LRP from a Receptor API document
    #[command(visible_alias = "sl")]
    SubmitLrp(submit_lrp::Args),
    /// Want a task from a Receptor API document
    #[command(visible_alias = "su")]
    SubmitTask(submit_task::Args),
    /// Show this page, or all about one command
    #[command(visible_alias = "h")]
    Help(help::Args),
    /// Show the versions of ltc and of the Lattice
    #[command(visible_alias = "vr")]
    Version(version::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
}

/// A command line that ends with words instead of a command.
#[derive(Debug)]
pub struct Words {
    /// The words.
    pub text: String,
    /// How `ltc` ends.
    pub exit: Exit,
}

/// The parser, its own help page being the grouped one.
pub fn parser() -> clap::Command {
    let parser = Cli::command();
    let page = view::help::render(&parser);
    parser.override_help(page)
}

/// Reads a command line.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Cli, Words> {
    let matches = parser().try_get_matches_from(argv).map_err(words)?;
    Cli::from_arg_matches(&matches).map_err(words)
}

fn words(error: clap::Error) -> Words {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
        ErrorKind::InvalidSubcommand => Exit::General,
        _ => Exit::InvalidSyntax,
    };
    let mut text = error.render().to_string();
    if exit != Exit::Ok {
        text = next_command(&text);
    }
    Words { text, exit }
}

/// Ends as all errors of `ltc` do, and tells how to pass a command where one was typed bare.
fn next_command(text: &str) -> String {
    let text = text.trim_end().trim_end_matches("For more information, try '--help'.").trim_end();
    let usage = text.split("Usage: ltc ").nth(1).unwrap_or_default();
    let command = usage.split(' ').next().filter(|word| word.starts_with(char::is_lowercase));
    let mut text = text.to_owned();
    if command == Some("create") && text.contains("unexpected argument") {
        text +=
            "\n  try: ltc create NAME IMAGE -- COMMAND ARGUMENTS    (`--` stands before a command)";
    }
    let help = command.map_or("ltc help".to_owned(), |command| format!("ltc help {command}"));
    format!("{text}\n  try: {help}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Cli, Words> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_parser_is_sound() {
        parser().debug_assert();
    }

    #[test]
    fn every_command_has_its_old_alias() {
        for (alias, name) in [
            ("ta", "target"),
            ("vr", "version"),
            ("cr", "create"),
            ("ls", "list"),
            ("st", "status"),
            ("ce", "cells"),
            ("lg", "logs"),
            ("sc", "scale"),
            ("up", "update"),
            ("rm", "remove"),
            ("tk", "task"),
            ("sl", "submit-lrp"),
            ("su", "submit-task"),
            ("ct", "cancel-task"),
            ("dt", "delete-task"),
            ("vz", "visualize"),
            ("dl", "debug-logs"),
            ("h", "help"),
        ] {
            let parser = parser();
            assert_eq!(parser.find_subcommand(alias).map(|c| c.get_name()), Some(name));
        }
    }

    #[test]
    fn the_help_page_leaves_no_command_out() {
        assert_eq!(view::help::ungrouped(&parser()), Vec::<String>::new());
        insta::assert_snapshot!(view::help::render(&Cli::command()));
    }

    #[test]
    fn exit_codes_tell_unknown_commands_from_wrong_usage() {
        for (line, exit) in [
            ("ltc frobnicate", Exit::General),
            ("ltc create", Exit::InvalidSyntax),
            ("ltc create web", Exit::InvalidSyntax),
            ("ltc create web img cmd", Exit::InvalidSyntax),
            ("ltc create web img -c 0", Exit::InvalidSyntax),
            ("ltc create web img -c 101", Exit::InvalidSyntax),
            ("ltc create web img -p 0", Exit::InvalidSyntax),
            ("ltc create web img -p 65536", Exit::InvalidSyntax),
            ("ltc create web img -t 5", Exit::InvalidSyntax),
            ("ltc create web img --no-such", Exit::InvalidSyntax),
            ("ltc scale web", Exit::InvalidSyntax),
            ("ltc scale web many", Exit::InvalidSyntax),
            ("ltc scale web -1", Exit::InvalidSyntax),
            ("ltc remove", Exit::InvalidSyntax),
            ("ltc update web", Exit::InvalidSyntax),
            ("ltc logs", Exit::InvalidSyntax),
            ("ltc --help", Exit::Ok),
            ("ltc -v", Exit::Ok),
            ("ltc create --help", Exit::Ok),
        ] {
            assert_eq!(parse_words(line).unwrap_err().exit, exit, "{line}");
        }
    }

    #[test]
    fn flags_stand_before_behind_and_between_positionals() {
        for line in [
            "ltc create web img -m 64 -e A=1 -e B -p 80,90 -- /bin/x -y --z",
            "ltc create -m 64 -e A=1 -e B -p 80,90 web img -- /bin/x -y --z",
            "ltc cr web -m 64 -e A=1 img -e B --ports=80,90 -- /bin/x -y --z",
        ] {
            let cli = parse_words(line).unwrap();
            let Some(Command::Create(args)) = cli.command else { panic!("{line}") };
            assert_eq!((args.name.as_str(), args.image.as_str()), ("web", "img"));
            assert_eq!((args.memory_mb, args.ports.as_slice()), (64, &[80, 90][..]));
            assert_eq!(args.env, ["A=1", "B"]);
            assert_eq!(args.command, ["/bin/x", "-y", "--z"]);
        }
    }

    #[test]
    fn defaults_are_the_originals() {
        let Some(Command::Create(args)) = parse_words("ltc create web img").unwrap().command else {
            panic!("not create")
        };
        assert_eq!((args.cpu_weight, args.memory_mb, args.disk_mb), (100, 128, 0));
        assert_eq!((args.cpu_limit, args.max_pids), (0, 1024));
        assert_eq!((args.instances, args.timeout.as_secs()), (1, 120));
        assert_eq!(args.monitor.timeout.as_secs(), 1);
    }
}
