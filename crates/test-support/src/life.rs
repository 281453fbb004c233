//! Containers that are made step by step: created, started, entered, by the bare runtime or behind the shim.

use serde_json::{Value, json};

use crate::bench::{Bench, isolated};
use crate::command::{Finished, say};
use crate::host::Kind;
use crate::shim;

/// A host for one runtime, and its bundles.
pub struct Life {
    pub bench: Bench,
    pub kind: Kind,
}

impl Life {
    pub fn of(kind: Kind) -> Self {
        let bench = Bench::of(kind);
        let life = Self { bench, kind };
        life.settings("");
        life
    }

    /// Settings on top of the runtime.
    pub fn settings(&self, text: &str) {
        self.bench.host.settings(&format!("runtime = [{:?}]\n{text}", self.kind.runtime()));
    }

    /// A configuration that runs until it is killed.
    pub fn stays(&self) -> Value {
        self.bench.spec("exec sleep 1000")
    }

    /// Writes a bundle that is isolated, with control groups of its own.
    pub fn isolated(&self, id: &str, spec: &Value) {
        self.plain(id, &isolated(spec));
    }

    /// Writes a bundle as it is, with control groups of its own.
    pub fn plain(&self, id: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["linux"]["cgroupsPath"] = json!(format!("{}/{id}", self.bench.host.cgroup()));
        std::fs::write(self.bench.dir(id).join("config.json"), spec.to_string()).unwrap();
    }

    /// Runs a script on the host: `$S` is the shim and `$B` the bare runtime, both with `--root`; `$D` the directory of
    /// bundles, `$R` the root. `made S ID` creates a container of the bundle of that name; `init ID` is its process.
    pub fn sh(&self, script: &str) -> Finished {
        let (dir, shim, bare) = (self.bench.host.at(""), shim(), self.kind.runtime());
        let (dir, shim, bare) = (dir.trim_end_matches('/'), shim.display(), bare.display());
        let head = format!(
            "D={dir}; R=$D/state; SHIM={shim}; BARE={bare}; S=\"$SHIM --root $R\"; B=\"$BARE --root $R\"
            made() {{ local id=${{!#}}; \"${{@:1:$#-1}}\" create -b $D/$id --pid-file $D/$id.pid $id </dev/null >$D/out 2>$D/err || {{ cat $D/err; return 1; }} >&2; }}
            init() {{ cat $D/$1.pid; }}
            plumb() {{ nsenter -t $(init $1) -n ip link add plumbed type bridge; }}
            net() {{ readlink /proc/$(init $1)/ns/net; }}\n"
        );
        say(self.bench.host.command("bash").args(["-euc", &(head + script)]))
    }
}
