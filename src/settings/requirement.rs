//! `[[require]]`: what a container has that makes the settings isolate it.

use serde::Deserialize;

/// A property of a container and the glob that its value has to match (`*` matches any number of characters).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "MatchKeys")]
pub struct Match {
    /// What is compared.
    pub property: Property,
    /// The glob for its value.
    pub matches: String,
}

/// What `[[require]]` can compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// The annotation of this name.
    Annotation(String),
    /// The variable of this name in the environment of the container's process (runtime-spec, config.md, "Process").
    Variable(String),
}

/// The keys as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MatchKeys {
    annotation: Option<String>,
    env: Option<String>,
    matches: String,
}

impl TryFrom<MatchKeys> for Match {
    type Error = String;

    fn try_from(MatchKeys { annotation, env, matches }: MatchKeys) -> Result<Self, String> {
        let property = match (annotation, env) {
            (Some(annotation), None) => Property::Annotation(annotation),
            (None, Some(name)) if is_variable(&name) => Property::Variable(name),
            (None, Some(name)) => return Err(format!("env = {name:?} is not the name of a variable")),
            (None, None) => return Err("[[require]] needs annotation or env".into()),
            (Some(_), Some(_)) => {
                return Err("[[require]] has annotation and env; write one [[require]] for each".into());
            }
        };
        Ok(Self { property, matches })
    }
}

/// Whether an environment can have a variable of this name (environ(7)).
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}
