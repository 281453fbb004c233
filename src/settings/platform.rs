//! Images of the platform's own containers: `[[platform]]`.

use serde::Deserialize;

/// The image of containers of the operator's own, which move data in and out of isolated pods.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlatformImage {
    /// The glob for its name, as the engine writes it (`*` matches any number of characters).
    pub image: String,
    /// Globs for its program and each of its arguments; a last `**` stands for any further ones.
    pub args: Vec<String>,
}

impl PlatformImage {
    /// Whether image and program are named.
    ///
    /// # Errors
    /// Which is not.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.image.is_empty() {
            return Err("platform: an image is empty".into());
        }
        // Another name would be looked up in the container's PATH, which its author chooses.
        let is_path = |program: &String| {
            let mut parts = program.split('/');
            let is_clean = |part| !["", ".", ".."].contains(&part);
            parts.next() == Some("") && parts.all(is_clean) && !program.contains('*')
        };
        if !self.args.first().is_some_and(is_path) {
            return Err(format!(
                "platform: the first of args of image {:?} is no program's absolute path",
                self.image
            ));
        }
        Ok(())
    }
}
