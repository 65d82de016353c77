//! `ltc help`: the commands in groups, from what the parser knows of them.

use clap::Command;

/// Groups in the order of a person's day, each with its commands.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Target a Lattice", &["target", "registry", "trust", "domain"]),
    ("Run apps", &["create", "update", "scale", "remove"]),
    ("See what runs", &["list", "status", "cells", "images", "visualize", "explain"]),
    ("Move what runs", &["drain", "undrain", "rebalance"]),
    ("Read logs", &["logs", "debug-logs"]),
    ("Tasks", &["task", "cancel-task", "delete-task"]),
    ("Documents", &["submit-lrp", "submit-task"]),
    ("About ltc", &["help", "version", "completion"]),
];

/// The whole page.
pub fn render(root: &Command) -> String {
    let name = |command: &Command| match command.get_visible_aliases().next() {
        Some(alias) => format!("{}, {alias}", command.get_name()),
        None => command.get_name().to_owned(),
    };
    let width = root.get_subcommands().map(|c| name(c).len()).max().unwrap_or(0);
    let mut text = "ltc - create, watch and change apps on a Lattice\n\n\
                    Usage: ltc COMMAND [ARGUMENTS]\n"
        .to_owned();
    for (title, commands) in GROUPS {
        text += &format!("\n{title}\n");
        for command in commands.iter().filter_map(|name| root.find_subcommand(name)) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text += &format!("  {:width$}   {about}\n", name(command));
        }
    }
    text += "\nEvery command\n";
    for option in root.get_arguments().filter(|a| a.is_global_set()) {
        let long = option.get_long().unwrap_or_default();
        let value = option.get_value_names().filter(|_| option.get_action().takes_values());
        let value = value.and_then(|names| names.first()).map(|n| format!(" {n}"));
        let flag = format!("--{long}{}", value.unwrap_or_default());
        let about = option.get_help().map(ToString::to_string).unwrap_or_default();
        text += &format!("  {flag:width$}   {about}\n");
    }
    text += "\n`ltc help COMMAND` tells all about one of them.\n";
    text
}

/// Commands the page leaves out.
pub fn ungrouped(root: &Command) -> Vec<String> {
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, commands)| commands.contains(&name));
    let names = root.get_subcommands().map(Command::get_name);
    names.filter(|name| !is_grouped(name)).map(str::to_owned).collect()
}
