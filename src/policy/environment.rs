//! The environment of a container's process, where the settings refer to it: `[[require]] env` and
//! `[openings] job = "${NAME}"`.

use crate::settings::{Property, Settings};

/// Whether the verdict on a container depends on its environment.
#[must_use]
pub fn reads_environment(settings: &Settings) -> bool {
    requires_by_environment(settings) || settings.openings.job.as_deref().and_then(variable).is_some()
}

/// Whether it depends on its environment if a container is isolated.
#[must_use]
pub fn requires_by_environment(settings: &Settings) -> bool {
    settings.require.iter().any(|require| matches!(require.property, Property::Variable(_)))
}

/// The name in `${NAME}`.
pub(super) fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(known)).then_some(name)
}

/// The values of a variable: usually one at most, but an environment can have several entries of one name.
pub(super) fn values<'e>(environment: &'e [String], name: &str) -> impl Iterator<Item = &'e str> {
    environment.iter().filter_map(move |entry| entry.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_between_braces_and_nothing_else() {
        assert_eq!(variable("${TRAINING_JOB_NAME}"), Some("TRAINING_JOB_NAME"));
        for text in ["TRAINING_JOB_NAME", "$A", "${}", "${A", "a${A}", "${A}b", "${A-b}", "${A}${B}", ""] {
            assert_eq!(variable(text), None, "{text}");
        }
    }

    #[test]
    fn values_are_those_of_exactly_that_name() {
        let environment = ["A=1", "AB=2", "A", "a=3", "A=", "=A=4"].map(str::to_owned);
        assert_eq!(values(&environment, "A").collect::<Vec<_>>(), ["1", ""]);
    }
}
