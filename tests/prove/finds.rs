//! What `isolatectl prove` finds in an installation that does not isolate.

use test_support::command::Finished;

use crate::called::rows;

/// Fails if it is content, or finds something else.
#[track_caller]
pub(crate) fn finds(said: &Finished, way: &str, state: &str, words: &str) {
    assert_eq!(said.status, Some(1), "{said}");
    let rows = rows(said);
    let [_, is, says] = rows.iter().find(|[name, ..]| name == way).unwrap();
    assert!(is == state && says.contains(words), "{way} is {is}: {says}");
}
