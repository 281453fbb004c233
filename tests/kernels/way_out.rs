//! A container with a way out, by real runc and crun: open with the bare runtime, closed behind the shim, or refused.

use serde_json::{Value, json};

use crate::lacks::Lacks;
use test_support::command::{Finished, say};
use test_support::findings::Findings;
use test_support::host::Kind;
use test_support::isolatectl;
use test_support::life::Life;

/// Asks a host outside for a word that only it knows, and then stays.
const ASK: &str = "timeout 20 bash -c 'exec 3<>/dev/tcp/203.0.113.7/80 && echo >&3 && cat <&3' 2>&1; echo asked; exec sleep 1000";
/// What it is told there.
const WORD: &str = "outside";

const NO_TABLES: &str =
    "this kernel has no nf_tables (load the module, or allow it with firewall = \"if-available\")";

/// A host for a runtime, what its machine lacks, and what does not hold there.
struct Trial {
    life: Life,
    lacks: Lacks,
    about: String,
    findings: Findings,
}

impl Trial {
    fn of(kind: Kind) -> Self {
        let lacks = Lacks::now();
        let about = format!("{}, {lacks:?}", kind.runtime().display());
        Self { life: Life::of(kind), lacks, about, findings: Findings::default() }
    }

    fn claim(&mut self, holds: bool, complaint: impl std::fmt::Display) {
        self.findings.claim(holds, format!("{}: {complaint}", self.about));
    }

    /// Creates a container by the runtime `$B` or `$S`, connects it with the outside as an engine does, starts it, and
    /// waits until it has asked. What it said is the output.
    fn ask(&self, runtime: &str, id: &str) -> Finished {
        let said = self.life.sh(&format!(
            "made ${runtime} {id}
             ip link add way-{id} type veth peer name eth0 netns /proc/$(init {id})/ns/net
             ip addr add 10.78.0.1/24 dev way-{id}; ip link set way-{id} up
             in=\"nsenter -n -t $(init {id})\"; $in ip addr add 10.78.0.2/24 dev eth0; $in ip link set eth0 up
             $in ip route add default via 10.78.0.1
             ${runtime} start {id}
             n=0; until grep -q asked $D/out; do sleep 0.1; n=$((n + 1)); [ $n -lt 600 ]; done; cat $D/out"
        ));
        eprintln!("{}, {id} by ${runtime}: {} {}", self.about, said.out, said.err);
        said
    }

    fn verify(&self, id: &str) -> Finished {
        let root = self.life.bench.host.at("state");
        let program = isolatectl();
        let said = say(self
            .life
            .bench
            .host
            .command(program.to_str().unwrap())
            .args(["verify", "--root", &root, id]));
        eprintln!("{}: {}", self.about, said.out);
        said
    }

    fn delete(&self, runtime: &str, id: &str) {
        self.life.sh(&format!("${runtime} delete --force {id}")).must();
    }

    /// The container has run, has been told at once that there is no way, and holds.
    fn is_closed(&mut self, id: &str) {
        let said = self.ask("S", id);
        self.claim(said.well() && said.out.contains("asked"), format!("it did not run: {said}"));
        self.claim(!said.out.contains(WORD), format!("it is open: {said}"));
        self.claim(said.out.contains("unreachable"), format!("it was not told at once: {said}"));
        let verified = self.verify(id);
        self.claim(verified.well(), verified);
    }

    /// The container has not run, its caller was told why, and nothing is left once it is deleted.
    fn is_refused(&mut self, id: &str, words: &str) {
        let said = self.ask("S", id);
        self.claim(!said.well() && said.err.contains(words), format!("it does not say {words:?}: {said}"));
        self.claim(!said.out.contains("asked"), format!("it ran: {said}"));
        // One that could not be created is not there to delete.
        self.life.sh(&format!("$S delete --force {id} || true")).must();
        let left = self.life.sh("$B list --quiet; find /run/oci-isolate -path '*/containers/*' -type f");
        self.claim(left.well() && left.out.is_empty(), format!("something is left: {left}"));
    }
}

/// The same in a user namespace of its own, as engines with remapped users make it. The host's directories are to be passed
/// by its root.
fn remapped(trial: &Trial, spec: &Value) -> Value {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(trial.life.bench.host.dir(), open).unwrap();
    let mut spec = spec.clone();
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    for ids in ["uidMappings", "gidMappings"] {
        spec["linux"][ids] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    }
    spec
}

fn of(kind: Kind) {
    let mut trial = Trial::of(kind);
    let spec = trial.life.bench.spec(ASK);
    let of_users = remapped(&trial, &spec);

    for (id, spec) in [("bare", &spec), ("users", &of_users)] {
        if id == "users" && trial.lacks == Lacks::UserNamespaces {
            continue;
        }
        trial.life.plain(id, spec);
        let open = trial.ask("B", id);
        trial.claim(open.out.contains(WORD), format!("{id} is not open without the shim: {open}"));
        trial.delete("B", id);
    }

    // The bundles stay, so that each can be created again.
    trial.life.isolated("one", &spec);
    trial.life.isolated("two", &of_users);
    if trial.lacks == Lacks::NfTables {
        trial.is_refused("one", NO_TABLES);
        trial.is_refused("two", NO_TABLES);
        trial.life.settings("firewall = \"if-available\"\n");
    }
    trial.is_closed("one");
    if trial.lacks == Lacks::NfTables {
        // What the setting costs: nothing but being seen closes what is added later.
        trial.life.sh("nsenter -n -t $(init one) ip link add late type bridge; nsenter -n -t $(init one) ip link set late up").must();
        let late = trial.verify("one");
        trial.claim(!late.well() && late.out.contains("seal: link late is still there"), late);
    }
    trial.delete("S", "one");
    if trial.lacks == Lacks::UserNamespaces {
        // The runtime's own words.
        trial.is_refused("two", "No space left on device");
    } else {
        trial.is_closed("two");
        trial.delete("S", "two");
    }
    trial.findings.settle();
}

#[test]
fn with_runc_a_way_out_is_closed_or_the_container_is_refused() {
    of(Kind::Machine);
}

#[test]
fn with_crun_a_way_out_is_closed_or_the_container_is_refused() {
    of(Kind::MachineForCrun);
}
