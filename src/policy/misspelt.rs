//! Misspelt annotations of ours, and openings without the switch. Ignored, they would leave a container open that
//! its author believes to be isolated.

use super::annotations::{INGRESS, JOB, PEERS};
use super::nonce::NONCE;
use super::platform::PLATFORM;
use super::{Annotation, SWITCH, only};

/// Every annotation of ours that a container can have.
pub const ANNOTATIONS: [&str; 6] = [SWITCH, INGRESS, PEERS, JOB, PLATFORM, NONCE];

/// Those that have a meaning only for an isolated container.
const OF_THE_ISOLATED: [&str; 5] = [INGRESS, PEERS, JOB, PLATFORM, NONCE];

/// The beginnings of our names, reduced to letters and digits, and a common misspelling of them.
const BEGINNINGS: [&[u8]; 2] = [b"ioociisolate", b"ociisolate"];

/// Refuses misspellings of [`ANNOTATIONS`]: another case, other separators or blanks, or an unknown name
/// under our prefix. The `further` ones are the operator's own.
///
/// # Errors
/// There is one; the message suggests the right spelling.
pub(crate) fn misspelt<'a>(
    annotations: &[Annotation],
    further: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), String> {
    for Annotation { name, .. } in annotations {
        if is_ours(name) && !ANNOTATIONS.contains(&&**name) && !further.clone().any(|known| known == name) {
            let meant = closest(name).map_or_else(
                || format!("known are {}", ANNOTATIONS.join(", ")),
                |known| format!("did you mean {known}?"),
            );
            return Err(format!("annotation {} is not known; {meant}", shown(name)));
        }
    }
    Ok(())
}

/// Refuses annotations for isolated containers of one that is not.
///
/// # Errors
/// It has an annotation that asks for one.
pub(crate) fn without_switch(annotations: &[Annotation]) -> Result<(), String> {
    for name in OF_THE_ISOLATED {
        if only(annotations, name)?.is_some() {
            return Err(format!(
                "annotation {name} is for isolated containers, and this one is not; add --annotation {SWITCH}=true, \
                 or {SWITCH}=false if that is meant"
            ));
        }
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| letters(name).take(beginning.len()).eq(beginning.iter().copied()))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// The one of [`ANNOTATIONS`] with the smallest edit distance, if that is small.
fn closest(name: &str) -> Option<&'static str> {
    let written: Vec<u8> = letters(name).take(64).collect();
    let distances = ANNOTATIONS.iter().map(|known| {
        let known_letters: Vec<u8> = letters(known).collect();
        (distance(&written, &known_letters), *known)
    });
    distances.min().filter(|(distance, _)| *distance <= 4).map(|(_, known)| known)
}

/// The Levenshtein distance: letters to add, drop or replace.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

/// The name as written if it is one plain word, else quoted and shortened.
fn shown(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic()) && name.len() <= 128;
    if is_plain { name.to_owned() } else { format!("{:?}", name.chars().take(128).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> String {
        let annotations = [Annotation { name: name.into(), value: Some("true".into()) }];
        misspelt(&annotations, ["io.oci-isolate.mine"].into_iter()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_nearly_one_of_ours_is_refused_with_the_right_spelling() {
        for name in [
            "io.oci-isolate.network_isolation",
            "io.oci-isolate.networkIsolation",
            "io.oci-isolate.network-isolations",
            "IO.OCI-ISOLATE.NETWORK-ISOLATION",
            "io.oci_isolate.network-isolation",
            "io.oci-isolate/network-isolation",
            "io/oci-isolate.network-isolation",
            "oci-isolate.network-isolation",
            "oci-isolate.io/network-isolation",
            "io.oci-isolate.network-isolation=true",
            "io.ociisolate.networkisolation",
        ] {
            let known = "did you mean io.oci-isolate.network-isolation?";
            assert_eq!(refusal(name), format!("annotation {name} is not known; {known}"));
        }
        for name in [
            " io.oci-isolate.job",
            "io.oci-isolate.job ",
            "io.oci-isolate.job\0x",
            "io.oci\u{2011}isolate.job",
        ] {
            let known = "did you mean io.oci-isolate.job?";
            assert_eq!(refusal(name), format!("annotation {name:?} is not known; {known}"));
        }
        assert!(refusal("io.oci-isolate.peer").ends_with("did you mean io.oci-isolate.peers?"));
        assert!(
            refusal("io.oci-isolate.something-else-entirely")
                .ends_with(&format!("known are {}", ANNOTATIONS.join(", ")))
        );
        assert!(!refusal("io.oci-isolate.").is_empty() && !refusal("io.oci-isolate").is_empty());
    }

    #[test]
    fn what_is_ours_the_operators_or_anybody_elses_is_let_through() {
        for name in ANNOTATIONS {
            assert_eq!(refusal(name), "");
        }
        for name in [
            "io.oci-isolate.mine",
            "",
            "io",
            "org.opencontainers.image.title",
            "com.example.oci-isolate",
            "io.oci",
        ] {
            assert_eq!(refusal(name), "", "{name}");
        }
    }
}
