//! Credentials that must be nowhere but in the process that was started by the user and its transfers, and a search of the whole host for
//! them: the environment, command line, memory and descriptors of every process, and files.

use test_support::command::say;
use test_support::host::EngineHost;

/// Variables of the user's.
pub(crate) const CANARIES: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIACANARYCANARY0001"),
    ("AWS_SECRET_ACCESS_KEY", "canary/secret/0123456789abcdefghijklmnop"),
    ("AWS_SESSION_TOKEN", "canary-session-token-0123456789"),
];

/// Processes that have one, with the place and the command line, and files: of the engine, of jobs, logs, and what the shim keeps.
fn found(host: &EngineHost) -> Vec<String> {
    let words = CANARIES.map(|(_, value)| value.chars().rev().collect::<String>()).join(",");
    let program = host.write("search.py", include_str!("search.py"));
    let mut search = host.observer("python3");
    search.arg(program).arg(words).arg(host.dir()).arg("/proc/1/root/run/oci-isolate");
    say(&mut search).must().lines().map(str::to_owned).collect()
}

/// Asserts that credentials are in processes whose command lines have these words, in each of them, and nowhere else. Without words they are
/// nowhere.
#[track_caller]
pub(crate) fn only_in(host: &EngineHost, words: &[&str]) {
    let found = found(host);
    let holders: Vec<_> = found.iter().filter_map(|line| line.strip_prefix("process ")).collect();
    let is_allowed =
        |line: &&str| words.iter().any(|word| line.contains("isolate-job") && line.contains(word));
    let others: Vec<_> = holders.iter().filter(|line| !is_allowed(line)).collect();
    assert!(others.is_empty(), "{others:?}");
    let files: Vec<_> = found.iter().filter(|line| line.starts_with("file ")).collect();
    assert!(files.is_empty(), "{files:?}");
    for word in words {
        for place in ["environ", "memory"] {
            let has = |line: &&str| line.starts_with(place) && line.contains(word);
            assert!(holders.iter().any(has), "the search does not find the {place} of {word}: {holders:?}");
        }
    }
}
