//! runc's grammar: Go's `flag` package, after urfave/cli v1 has re-ordered what follows the verb.
//!
//! `flag` (parseOne) stops at the first operand; one dash and two are equal; the value follows `=` or is the
//! next word, even one that looks like a flag. To accept flags after the id as well, urfave/cli first moves
//! them to the front, by heuristics that changed twice: v1.22.1 (upstream's runc 1.1), v1.22.2 to 5, v1.22.6
//! to 17 (upstream's runc 1.2 to 1.5; Debian's 1.1.5). Distributions build runc with their own version, so
//! all three are tried here, and a command line on which they differ is ambiguous. exec is not re-ordered
//! (SkipArgReorder, for its command).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::parsed_flag::{Context, ParsedFlag, Stop, redacted};
use super::table::{Flag, Meaning, Takes, flags};
use super::{Dialect, Verb};

/// Parses `args` from index `from`, appends the flags to `given` and returns the indexes of the operands.
pub(super) fn walk(
    verb: Option<Verb>,
    args: &[OsString],
    from: usize,
    given: &mut Vec<ParsedFlag>,
) -> Result<Vec<usize>, Stop> {
    let flags = flags(Dialect::Runc, verb);
    let context = Context(Dialect::Runc, verb);
    let typed: Vec<usize> = (from..args.len()).collect();
    if matches!(verb, None | Some(Verb::Exec)) {
        return parse(context, flags, args, &typed, given);
    }
    let mut first = Vec::new();
    let operands = parse(context, flags, args, &reorder_v1_22_0(args, &typed), &mut first);
    for order in [reorder_v1_22_2(flags, args, &typed), reorder_v1_22_6(flags, args, &typed)] {
        let mut other = Vec::new();
        match (&operands, parse(context, flags, args, &order, &mut other)) {
            // Neither printing help nor failing has an effect.
            (Err(_), Err(_)) => {}
            (Ok(one), Ok(two)) if *one == two && first == other => {}
            (_, Err(Stop::Ambiguous(why))) => return Err(Stop::Ambiguous(why)),
            (Err(Stop::Ambiguous(_)), _) => return operands,
            _ => return Err(context.ambiguous("", "the arguments", " are read differently by its versions")),
        }
    }
    given.append(&mut first);
    operands
}

/// Go's `flag.FlagSet.Parse`, then urfave's normalizeFlags and help, on the words in this order.
fn parse(
    context: Context,
    flags: &'static [Flag],
    args: &[OsString],
    order: &[usize],
    given: &mut Vec<ParsedFlag>,
) -> Result<Vec<usize>, Stop> {
    let mut forms: Vec<(&Flag, bool)> = Vec::new();
    let mut next = 0;
    while let Some(&at) = order.get(next) {
        let word = args[at].as_bytes();
        if word.len() < 2 || word[0] != b'-' {
            break;
        }
        next += 1;
        if word == b"--" {
            break;
        }
        let dashes = if word[1] == b'-' { 2 } else { 1 };
        let equals = word.iter().skip(dashes + 1).position(|byte| *byte == b'=').map(|n| n + dashes + 1);
        let name = &word[dashes..equals.unwrap_or(word.len())];
        let Some((flag, by_short)) = lookup(flags, name) else {
            return Err(context.unknown(&redacted(word)));
        };
        forms.push((flag, by_short));
        match (flag.takes, equals) {
            (Takes::Value, Some(equals)) => {
                given.push(ParsedFlag::attached(flag, &args[at], at, 0, equals + 1))
            }
            (Takes::Value, None) => match order.get(next) {
                Some(&value) if value == at + 1 => {
                    given.push(ParsedFlag::behind(flag, &args[value], at, 0));
                    next += 1;
                }
                Some(_) => {
                    return Err(context.ambiguous("the value of", &redacted(word), " is not behind it"));
                }
                None => return Err(context.no_value(&redacted(word))),
            },
            (_, None) => given.push(ParsedFlag::switch(flag, true, at)),
            (_, Some(equals)) => match boolean(&word[equals + 1..]) {
                Some(on) => given.push(ParsedFlag::switch(flag, on, at)),
                None => return Err(context.ambiguous("the value of", &redacted(word), " is not a boolean")),
            },
        }
    }
    // "Cannot use two forms of the same flag"
    if let Some((flag, _)) = forms.iter().find(|(flag, short)| forms.contains(&(*flag, !*short))) {
        return Err(context.ambiguous("both forms of the flag", &format!("--{}", flag.long), " are given"));
    }
    // Help and version are ordinary booleans here: the last one counts, and only when nothing failed.
    for flag in flags.iter().filter(|flag| flag.meaning == Meaning::Prints) {
        let last = forms.iter().zip(given.iter()).rev().find(|((given, _), _)| *given == flag);
        if last.is_some_and(|(_, given)| given.is_on()) {
            return Err(context.prints(flag));
        }
    }
    Ok(order[next..].to_vec())
}

/// The flag with this name, and whether it is the short name.
fn lookup(flags: &'static [Flag], name: &[u8]) -> Option<(&'static Flag, bool)> {
    flags.iter().find_map(|flag| {
        let short = flag.short.is_some_and(|short| name == [short]);
        (short || name == flag.long.as_bytes()).then_some((flag, short))
    })
}

/// Go's strconv.ParseBool.
fn boolean(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Some(false),
        _ => None,
    }
}

/// reorderArgs of urfave/cli v1.22.0 and 1: whatever starts with a dash is a flag.
fn reorder_v1_22_0(args: &[OsString], typed: &[usize]) -> Vec<usize> {
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    let mut may_be_value = false;
    for (nth, &at) in typed.iter().enumerate() {
        let word = args[at].as_bytes();
        if word == b"--" {
            rest.extend_from_slice(&typed[nth..]);
            break;
        }
        if may_be_value && !word.starts_with(b"-") {
            may_be_value = false;
            front.push(at);
        } else if word != b"-" && word.starts_with(b"-") {
            front.push(at);
            may_be_value = !word.contains(&b'=');
        } else {
            may_be_value = false;
            rest.push(at);
        }
    }
    front.extend(rest);
    front
}

/// reorderArgs of urfave/cli v1.22.2 to 5: only the command's own flags are moved.
fn reorder_v1_22_2(flags: &'static [Flag], args: &[OsString], typed: &[usize]) -> Vec<usize> {
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    let mut may_be_value = false;
    for (nth, &at) in typed.iter().enumerate() {
        let word = args[at].as_bytes();
        if word == b"--" {
            rest.extend_from_slice(&typed[nth..]);
            break;
        }
        if may_be_value && !word.starts_with(b"-") {
            may_be_value = false;
            front.push(at);
        } else if is_flag(flags, word) {
            front.push(at);
            may_be_value = !word.contains(&b'=');
        } else {
            rest.push(at);
        }
    }
    front.extend(rest);
    front
}

/// reorderArgs of urfave/cli v1.22.6 and later: a value may look like a flag, and `--` comes before the operands.
fn reorder_v1_22_6(flags: &'static [Flag], args: &[OsString], typed: &[usize]) -> Vec<usize> {
    let (mut front, mut rest) = (Vec::new(), Vec::new());
    let mut may_be_value = false;
    for (nth, &at) in typed.iter().enumerate() {
        let word = args[at].as_bytes();
        if may_be_value && !is_flag(flags, word) {
            may_be_value = false;
            front.push(at);
        } else if word == b"--" {
            rest.insert(0, at);
            rest.extend_from_slice(&typed[nth + 1..]);
            break;
        } else if is_flag(flags, word) {
            front.push(at);
            may_be_value = !word.contains(&b'=');
        } else {
            rest.push(at);
        }
    }
    front.extend(rest);
    front
}

/// argIsFlag: up to three dashes are accepted, as there; `flag` refuses the third.
fn is_flag(flags: &'static [Flag], word: &[u8]) -> bool {
    if !word.starts_with(b"-") || word == b"-" || word == b"--" {
        return false;
    }
    let mut name = word.strip_prefix(b"--").unwrap_or(word);
    name = name.strip_prefix(b"-").unwrap_or(name);
    let end = name.iter().position(|byte| *byte == b'=').unwrap_or(name.len());
    lookup(flags, &name[..end]).is_some()
}
