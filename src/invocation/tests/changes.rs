//! Edits of argv change what they should, and nothing else.

use std::ffi::{OsStr, OsString};

use super::super::ArgvEdit;
use super::Dialect::{Crun, Runc, Youki};
use super::{Dialect, argv, understood};

fn joined(words: &[OsString]) -> String {
    let word =
        |word: &OsString| if word.is_empty() { "''".into() } else { word.to_string_lossy().into_owned() };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_pid_file_goes_right_behind_the_verb() {
    let cases = [
        (Runc, "--root create create web", "--root create create --pid-file=/p web"),
        (Runc, "-- create -- web", "-- create --pid-file=/p -- web"),
        (Crun, "create -b /b -- web", "create --pid-file=/p -b /b -- web"),
        (Youki, "-r/r run web -b /b", "-r/r run --pid-file=/p web -b /b"),
    ];
    for (dialect, line, expected) in cases {
        let changed =
            understood(dialect, line).rewritten(&argv(line), &[ArgvEdit::PidFile(OsStr::new("/p"))]);
        assert_eq!(joined(&changed), expected);
        assert_eq!(understood(dialect, expected).pid_file, Some("/p".into()));
    }
}

#[test]
fn the_process_file_is_replaced_in_the_form_it_was_given() {
    let cases = [
        (Runc, "exec --process /f -d web", "exec --process /n -d web"),
        (Runc, "exec -p=/f web", "exec -p=/n web"),
        (Runc, "exec -p /a -p /b web", "exec -p /a -p /n web"),
        (Crun, "exec -dp/f web", "exec -dp/n web"),
        (Crun, "exec -t --process /f web", "exec -t --process /n web"),
        (Crun, "exec -dp /f web", "exec -dp /n web"),
        (Youki, "exec -dp/f web", "exec -dp=/n web"),
        (Youki, "exec web --process=/f", "exec web --process=/n"),
    ];
    for (dialect, line, expected) in cases {
        let call = understood(dialect, line);
        let given = call.process.as_ref().unwrap();
        let changed = call.rewritten(&argv(line), &[ArgvEdit::Set(given, OsStr::new("/n"))]);
        assert_eq!(joined(&changed), expected);
        assert_eq!(understood(dialect, expected).process.unwrap().value, "/n");
    }
}

/// Drops every variable named AWS_*, and the capability CAP_NET_RAW.
fn stripped(dialect: Dialect, line: &str) -> String {
    let call = understood(dialect, line);
    let unwanted = |value: &OsStr| value.to_string_lossy().starts_with("AWS_") || value == "CAP_NET_RAW";
    let given = call.env.iter().chain(&call.caps).filter(|given| unwanted(&given.value));
    joined(&call.rewritten(&argv(line), &given.map(ArgvEdit::Drop).collect::<Vec<_>>()))
}

#[test]
fn variables_and_capabilities_are_dropped_with_their_flag() {
    let cases = [
        (Runc, "exec -e AWS_A=1 -e B=2 -e=AWS_C=3 web env AWS_D=4", "exec -e B=2 web env AWS_D=4"),
        (Runc, "exec -env AWS_A=1 --env=B=2 --cap CAP_NET_RAW web", "exec --env=B=2 web"),
        (Runc, "exec --env AWS_A=1 --env AWS_A=1 web", "exec web"),
        (Crun, "exec -deAWS_A=1 -t -eAWS_B=2 -dc CAP_NET_RAW --env=AWS_C -- web", "exec -d -t -d -- web"),
        (Crun, "exec -de AWS_A=1 --e AWS_B= web -e AWS_C", "exec -d web -e AWS_C"),
        (Youki, "exec -te=AWS_A=1 web -e AWS_B=2 ls", "exec -t web ls"),
    ];
    for (dialect, line, expected) in cases {
        assert_eq!(stripped(dialect, line), expected);
    }
}

#[test]
fn any_value_can_be_set_in_any_form() {
    let forms = [
        (Runc, "exec -e A=1 web"),
        (Runc, "exec --env=A=1 web"),
        (Crun, "exec -eA=1 web"),
        (Crun, "exec -de A=1 web"),
        (Youki, "exec -e A=1 web"),
        (Youki, "exec -teA=1 web"),
        (Youki, "exec --env A=1 web"),
    ];
    for (dialect, line) in forms {
        for value in ["B=2", "-e", "=", "--", "", "web"] {
            let call = understood(dialect, line);
            let changed = call.rewritten(&argv(line), &[ArgvEdit::Set(&call.env[0], OsStr::new(value))]);
            let again = understood(dialect, &joined(&changed));
            assert_eq!(again.env[0].value, value, "{line} -> {changed:?}");
            assert_eq!((again.id, again.env.len()), (call.id, 1));
        }
    }
}
