//! What `hack/release` says of its files, and that `hack/verify-release` refuses every release but the one that was signed.
//!
//! By the same functions that make a real release, on a small one. Needs openssl and jq.
//! The changelog and the DaemonSet are of the version that would be released.

#![allow(clippy::unwrap_used, reason = "all of this crate is test code")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A signed release of small files, and the key.
struct Release {
    scratch: tempfile::TempDir,
}

impl Release {
    fn new() -> Self {
        let release = Self { scratch: tempfile::tempdir().unwrap() };
        release.script(
            r#"
            mkdir release
            for name in {oci-isolate,isolatectl,isolate-job,isolate-node}-x86_64 {oci-isolate,isolate-job,isolate-node}_1.2.3_amd64.deb; do echo "$name" >"release/$name"; done
            vex 1.2.3 2026-01-01T00:00:00Z "$PROJECT/docs/cve.md" >release/oci-isolate-1.2.3.openvex.json
            provenance release 1.2.3 0123abcd https://builder.example/ 2026-01-01T00:00:00Z 2026-01-01T00:01:00Z \
                "sha256:$(sha256sum <"$PROJECT/Cargo.lock" | cut -d ' ' -f 1) Cargo.lock
version:1.99.0 rustc" >statement
            mv statement release/oci-isolate-1.2.3.provenance.json
            for key in key other; do
                openssl genpkey -algorithm ed25519 -out $key
                openssl pkey -in $key -pubout -out $key.pub
            done
            seal_release release key"#,
        );
        release
    }

    fn script(&self, script: &str) {
        let script = format!("set -euo pipefail; . \"$PROJECT/hack/release.d/documents.sh\"; {script}");
        let done = Command::new("bash")
            .args(["-c", &script])
            .env("PROJECT", project())
            .current_dir(self.scratch.path())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join("release").join(name)
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(self.at(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    fn verify(&self, key: &str) -> Output {
        let mut command = Command::new(project().join("hack/verify-release"));
        command.arg(self.scratch.path().join(key)).arg(self.at("")).output().unwrap()
    }

    #[track_caller]
    fn accepted(&self) {
        let said = self.verify("key.pub");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    #[track_caller]
    fn refused(&self, words: &str) {
        let said = self.verify("key.pub");
        let errors = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success() && errors.contains(words), "{words}: {errors}");
        assert!(said.stdout.is_empty(), "{said:?}");
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.at(name)).unwrap()).unwrap()
    }
}

#[test]
fn any_file_that_is_altered_is_refused() {
    let release = Release::new();
    release.accepted();
    let files = release.files();
    assert_eq!(files.len(), 11, "{files:?}");
    for file in files {
        let whole = fs::read(release.at(&file)).unwrap();
        let words = if file.starts_with("SHA256SUMS") { "signature" } else { "altered" };
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            fs::write(release.at(&file), altered).unwrap();
            release.refused(words);
        }
        for altered in [&whole[..whole.len() - 1], &[&whole[..], b"\n"].concat(), b""] {
            fs::write(release.at(&file), altered).unwrap();
            release.refused(words);
        }
        fs::write(release.at(&file), whole).unwrap();
        release.accepted();
    }
}

#[test]
fn any_file_that_is_missing_or_added_is_refused() {
    let release = Release::new();
    for file in release.files() {
        let aside = release.scratch.path().join("aside");
        fs::rename(release.at(&file), &aside).unwrap();
        release.refused("missing");
        // The same bytes by a link.
        std::os::unix::fs::symlink(&aside, release.at(&file)).unwrap();
        release.refused("no plain file");
        fs::remove_file(release.at(&file)).unwrap();
        // Under another name.
        fs::rename(&aside, release.at("another")).unwrap();
        release.refused(if file.starts_with("SHA256SUMS") {
            "is missing"
        } else {
            "not part of the release: another"
        });
        fs::rename(release.at("another"), release.at(&file)).unwrap();
        release.accepted();
    }
    for added in ["another", ".hidden", "SHA256SUMS.old", "with space"] {
        fs::write(release.at(added), "").unwrap();
        release.refused(&format!("not part of the release: {added}"));
        fs::remove_file(release.at(added)).unwrap();
    }
    fs::create_dir(release.at("directory")).unwrap();
    release.refused("no plain file");
}

#[test]
fn only_the_key_that_was_given_counts() {
    let release = Release::new();
    assert!(!release.verify("other.pub").status.success());
    assert!(!release.verify("nothing.pub").status.success());
    // A private key is none to check with.
    assert!(!release.verify("key").status.success());
    // Altered and signed anew by another.
    fs::write(release.at("isolatectl-x86_64"), "other").unwrap();
    release.script("seal_release release other");
    release.refused("the signature of SHA256SUMS is not by");
    release.script(
        "openssl genpkey -algorithm rsa -out rsa 2>/dev/null; openssl pkey -in rsa -pubout -out key.pub",
    );
    release.refused("is no public key of ed25519");
}

#[test]
fn signed_nonsense_is_refused() {
    let release = Release::new();
    for (sums, words) in [
        ("\n", "no checksum"),
        ("nonsense\n", "no checksum"),
        ("0000000000000000000000000000000000000000000000000000000000000000  ../key\n", "no checksum"),
        (
            "0000000000000000000000000000000000000000000000000000000000000000 *isolatectl-x86_64\n",
            "no checksum",
        ),
    ] {
        fs::write(release.at("SHA256SUMS"), sums).unwrap();
        release.script(
            "openssl pkeyutl -sign -rawin -inkey key -in release/SHA256SUMS -out release/SHA256SUMS.sig",
        );
        release.refused(words);
    }
}

#[test]
fn the_provenance_names_every_file_and_where_it_comes_from() {
    let release = Release::new();
    let statement = release.json("oci-isolate-1.2.3.provenance.json");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let sums = fs::read_to_string(release.at("SHA256SUMS")).unwrap();
    let sums: Vec<_> = sums.lines().filter(|line| !line.ends_with("provenance.json")).collect();
    let subjects: Vec<_> = statement["subject"].as_array().unwrap().iter().collect();
    let said: Vec<_> = subjects
        .iter()
        .map(|subject| {
            let of = |pointer: &str| subject.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            format!("{}  {}", of("/digest/sha256"), of("/name"))
        })
        .collect();
    assert_eq!(said, sums);
    let predicate = &statement["predicate"];
    assert_eq!(predicate["buildDefinition"]["externalParameters"]["commit"], "0123abcd");
    let materials = predicate["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    assert_eq!(materials[0]["digest"]["gitCommit"], "0123abcd");
    assert_eq!(materials[1]["name"], "Cargo.lock");
    assert_eq!(materials[1]["digest"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(materials[2]["annotations"]["version"], "1.99.0");
    assert_eq!(predicate["runDetails"]["builder"]["id"], "https://builder.example/");
}

#[test]
fn the_vex_file_has_every_vulnerability_of_the_page() {
    let release = Release::new();
    let vex = release.json("oci-isolate-1.2.3.openvex.json");
    assert_eq!(vex["@context"], "https://openvex.dev/ns/v0.2.0");
    let statements = vex["statements"].as_array().unwrap();
    let said: Vec<_> = statements.iter().map(|one| one["vulnerability"]["name"].as_str().unwrap()).collect();
    let page = fs::read_to_string(project().join("docs/cve.md")).unwrap();
    let rows: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| [")?.split_once(']'))
        .map(|(name, _)| name)
        .collect();
    assert!(rows.len() > 30, "{rows:?}");
    assert_eq!(said, rows);
    for statement in statements {
        assert_eq!(statement["products"][0]["@id"], "pkg:cargo/oci-isolate@1.2.3");
        assert_eq!(statement["status"], "not_affected");
        assert_eq!(statement["justification"], "component_not_present");
        let impact = statement["impact_statement"].as_str().unwrap();
        assert!(
            ["closed", "still applies", "not affected", "read-only"].iter().any(|word| impact.contains(word)),
            "{impact}"
        );
    }
}

#[test]
fn the_changelog_and_the_daemonset_have_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    let read = |name: &str| fs::read_to_string(project().join(name)).unwrap();
    assert!(read("CHANGELOG.md").contains(&format!("\n## [{version}] - 20")), "add a section [{version}]");
    assert!(
        read("hack/kubernetes/daemonset.yaml")
            .contains(&format!("image: docker.io/library/oci-isolate-node:{version}\n"))
    );
}

/// What a Debian package has: the sources of its files, and where it installs them.
fn assets(package: &Path) -> (toml::Value, Vec<(PathBuf, String)>) {
    let manifest: toml::Value =
        toml::from_str(&fs::read_to_string(project().join(package).join("Cargo.toml")).unwrap()).unwrap();
    let deb = manifest["package"]["metadata"]["deb"].clone();
    let mut found = Vec::new();
    for asset in deb["assets"].as_array().unwrap() {
        let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let (directory, name) = from.rsplit_once('/').unwrap_or((".", from));
        // The manual pages and the programs are built; the others are in the repository.
        let built = from.contains("target/");
        let names: Vec<String> = match name.strip_prefix('*') {
            Some(ending) if !built => {
                let entries = fs::read_dir(project().join(package).join(directory)).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                names.filter(|name| name.ends_with(ending)).collect()
            }
            _ => vec![name.to_owned()],
        };
        assert!(!names.is_empty(), "{from}");
        for name in names {
            let source = project().join(package).join(directory).join(&name);
            assert!(built || source.is_file(), "{}", source.display());
            found.push((source, if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() }));
        }
    }
    (deb, found)
}

#[test]
fn the_packages_have_their_settings_and_units_and_share_no_file() {
    let (shim, of_shim) = assets(Path::new("."));
    let (job, of_job) = assets(Path::new("crates/isolate-job"));
    let (node, of_node) = assets(Path::new("crates/isolate-node"));
    for static_one in [&shim, &node] {
        assert_eq!(static_one["depends"].as_str(), Some(""), "a static program depends on nothing");
    }
    let depends = concat!("$auto, oci-isolate (= ", env!("CARGO_PKG_VERSION"), "-1)");
    assert_eq!(job["depends"].as_str(), Some(depends), "its own version of the shim");
    for (deb, installed) in [(&shim, &of_shim), (&job, &of_job)] {
        for file in deb["conf-files"].as_array().unwrap() {
            let file = file.as_str().unwrap();
            assert!(installed.iter().any(|(_, to)| format!("/{to}") == file), "{file} is not in the package");
        }
        let below_etc = installed.iter().filter(|(_, to)| to.starts_with("etc/")).count();
        assert_eq!(below_etc, deb["conf-files"].as_array().unwrap().len());
    }
    let mut all: Vec<_> = [&of_shim, &of_job, &of_node].into_iter().flatten().map(|(_, to)| to).collect();
    all.sort();
    let shared: Vec<_> = all.windows(2).filter(|two| two[0] == two[1]).collect();
    assert!(shared.is_empty(), "{shared:?}");

    let is_unit = |asset: &&(PathBuf, String)| asset.1.starts_with("usr/lib/systemd/system/");
    let units = of_shim.iter().filter(is_unit).map(|(unit, _)| fs::read_to_string(unit).unwrap());
    let lines: Vec<String> =
        units.flat_map(|unit| unit.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let started: Vec<_> =
        lines.iter().filter_map(|line| line.strip_prefix("Exec")?.split(['=', ' ']).nth(1)).collect();
    assert_eq!(started, ["/usr/bin/isolatectl"; 2]);
    assert!(of_shim.iter().any(|(_, to)| to == "usr/bin/isolatectl"));
    assert!(lines.iter().any(|line| line == "OnCalendar=minutely"));
    // For a service of this type there is no end by default, and no second start before it.
    assert!(lines.iter().any(|line| line.starts_with("TimeoutStartSec=")));

    let units: Vec<_> = of_job.iter().filter(is_unit).collect();
    assert_eq!(units.len(), 2, "{units:?}");
    for (unit, _) in units {
        let text = fs::read_to_string(unit).unwrap();
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let program = start.split(' ').next().unwrap();
        assert!(of_job.iter().any(|(_, to)| format!("/{to}") == program), "{program} is not in the package");
        // systemd takes openat2 away with it (`hack/test unit`).
        assert!(!text.contains("\nRestrictSUIDSGID="), "no job transfers data with RestrictSUIDSGID=");
        // The supervisors of its jobs leave facts for statements there.
        let is_readonly = text.contains("\nProtectSystem=strict\n");
        let written =
            text.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=")).collect::<String>();
        assert!(!is_readonly || written.split(' ').any(|path| path == "-/var/log/oci-isolate"), "{written}");
    }
}
