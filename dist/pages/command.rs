//! A clap command as Markdown: one heading for each subcommand, what it does, its arguments.

use clap::{Arg, Command};

/// The whole command: the flags that go with every subcommand, then the subcommands.
pub(crate) fn markdown(command: &Command) -> String {
    let mut command = command.clone();
    command.build();
    let mut out = arguments(command.get_arguments().filter(|argument| !is_ours(argument)));
    let shown = |verb: &&Command| verb.get_name() != "help" && !verb.is_hide_set();
    for verb in command.get_subcommands().filter(shown) {
        of_verb(verb, "", &mut out);
    }
    out
}

fn of_verb(verb: &Command, before: &str, out: &mut String) {
    let name = format!("{before}{}", verb.get_name());
    let words = verb.get_arguments().filter(|a| !is_ours(a) && !a.is_global_set()).map(|argument| {
        let word = word(argument);
        if argument.is_required_set() { word } else { format!("[{word}]") }
    });
    let deeper: Vec<_> = verb.get_subcommands().filter(|verb| verb.get_name() != "help").collect();
    let words: Vec<String> = words.chain((!deeper.is_empty()).then(|| "*COMMAND*".to_owned())).collect();
    let about = verb.get_long_about().or(verb.get_about()).map(ToString::to_string).unwrap_or_default();
    out.push_str(&format!("\n## {name} {}\n\n{}\n\n", words.join(" "), sentence(&about)));
    out.push_str(&arguments(verb.get_arguments().filter(|a| !is_ours(a) && !a.is_global_set())));
    for verb in deeper {
        of_verb(verb, &format!("{name} "), out);
    }
}

fn arguments<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let entry = |argument: &Arg| {
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
        let takes =
            argument.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect::<Vec<_>>();
        let takes = (argument.get_action().takes_values() && !takes.is_empty())
            .then(|| format!(" One of {}.", takes.join(", ")));
        let help = sentence(&help.unwrap_or_default());
        format!("{}\n: {}{}\n\n", word(argument), help.replace('\n', "\n  "), takes.unwrap_or_default())
    };
    arguments.map(entry).collect()
}

/// How the argument is written.
fn word(argument: &Arg) -> String {
    let value = || {
        let names = argument.get_value_names().unwrap_or_default();
        names.iter().map(|name| format!("*{name}*")).collect::<Vec<_>>().join(" ")
    };
    let flag = match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("**-{short}**, **--{long}**"),
        (None, Some(long)) => format!("**--{long}**"),
        (Some(short), None) => format!("**-{short}**"),
        (None, None) => return value(),
    };
    if argument.get_action().takes_values() { format!("{flag} {}", value()) } else { flag }
}

/// clap's own; everybody knows them.
fn is_ours(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "version")
}

fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with(['.', ':', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
