//! A sealed container that is up, and what `isolatectl` says of it.

use std::fs;

use serde_json::{Value, json};

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::{ShimOutput, say};
use test_support::recorded::spec::{isolated, put};
use test_support::shim;

/// The value of the credential that the engine's configuration has, and of those that are planted. It is never shown.
pub(crate) const SECRET: &str = "planted-value";

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// A host with container `web`, sealed and running. It ends with the value.
pub(crate) struct Sealed {
    pub(crate) host: RecorderHost,
}

impl Sealed {
    pub(crate) fn new() -> Self {
        let sealed = Self::empty();
        sealed.start("web", |_| {});
        sealed
    }

    /// Without a container.
    pub(crate) fn empty() -> Self {
        Self::of("runc")
    }

    /// The same with another runtime.
    pub(crate) fn of(runtime: &str) -> Self {
        let host = RecorderHost::new();
        // The machine's is written by other tests; this one is only read, and a crash goes by the machine's.
        host.write("core_pattern", "core\n");
        host.sh(&format!("mount --bind {} {CORE_PATTERN}", host.at("core_pattern"))).must();
        let rootfs = "cd rootfs; mkdir bin proc sys dev etc tmp; cp /bin/busybox bin
            for applet in sh sleep env true; do ln -s busybox bin/$applet; done; mkdir -m 0700 ../../root";
        host.sh(rootfs).must();
        host.write("config.toml", format!("runtime = [{runtime:?}]\n"));
        Self { host }
    }

    /// Lets containers have user namespaces: the kernel makes no proc in one that would show more than the host's own.
    pub(crate) fn with_user_namespaces(self) -> Self {
        self.sh(&format!("umount {CORE_PATTERN}")).must();
        self
    }

    /// Creates a container, whose configuration `change` changes.
    pub(crate) fn create(&self, id: &str, change: impl FnOnce(&mut Value)) {
        assert_eq!(self.try_create(id, change), "");
    }

    /// The same; what was said against it.
    pub(crate) fn try_create(&self, id: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut config = isolated();
        put(&mut config, "/root/path", json!(self.host.at("bundle/rootfs")));
        put(&mut config, "/process/args", json!(["/bin/sleep", "1000"]));
        put(&mut config, "/process/env", json!(["PATH=/bin", format!("AWS_SECRET_ACCESS_KEY={SECRET}")]));
        put(&mut config, "/linux/cgroupsPath", json!(format!("{}/{id}", self.group())));
        change(&mut config);
        fs::create_dir_all(self.host.at(id)).unwrap();
        self.host.write(&format!("{id}/config.json"), config.to_string());
        self.sh(&format!(
            "$SHIM --root $R create -b $D/{id} {id} </dev/null >/dev/null 2>$D/err || cat $D/err"
        ))
        .must()
    }

    /// Creates and starts a container.
    pub(crate) fn start(&self, id: &str, change: impl FnOnce(&mut Value)) {
        self.create(id, change);
        self.sh(&format!("$SHIM --root $R start {id}")).must();
    }

    /// The pid of the container's init process on its host.
    pub(crate) fn pid(&self, id: &str) -> u64 {
        self.host.read_record(id)["init"]["pid"].as_u64().unwrap()
    }

    /// The control group of all containers of this host.
    pub(crate) fn group(&self) -> String {
        format!("/{}", self.host.at("").trim_end_matches('/').rsplit('/').next().unwrap())
    }

    /// Runs a shell script on the host: `$R` is the runtime's root, `$D` the host's directory, `$JOIN` a script that
    /// moves its process into the control groups of `web`.
    pub(crate) fn sh(&self, script: &str) -> ShimOutput {
        let join = format!(
            "for g in /sys/fs/cgroup/*{0}/web /sys/fs/cgroup{0}/web; do [ ! -d $g ] || echo 0 >$g/cgroup.procs; done",
            self.group()
        );
        let mut command = self.host.command("bash");
        command.args(["-euc", script]).env("SHIM", shim()).env("JOIN", join);
        say(command.env("R", self.host.at("root")).env("D", self.host.at("")))
    }

    /// Sabotages container `web`: a script on the host that must succeed; `$P` is the init process.
    pub(crate) fn sabotage(&self, script: &str) -> String {
        self.sh(&format!("P={}; {script}", self.pid("web"))).must()
    }

    /// As if the promises had been made that the settings waived when `web` was created: what stands against them is what
    /// a container has that was created around the shim.
    pub(crate) fn promised(&self) {
        let record = self.host.record("web");
        self.sabotage(&format!("sed -i 's/\"waived\":\\[[^]]*\\]/\"waived\":[]/' {record}"));
    }

    /// Starts a process that stays, by a script in which `stay` becomes it, and says its pid on the host.
    pub(crate) fn stays(&self, script: &str) -> String {
        let script = format!("P={}; echo $BASHPID >$D/pid; {script}", self.pid("web"));
        self.host.write("stays.sh", script);
        let pid = self.sh(
            "rm -f $D/pid; setsid bash -eu $D/stays.sh </dev/null >/dev/null 2>$D/err &
            pid=$!; for n in $(seq 200); do sleep 0.02
            if grep -qx 'sleep' /proc/$pid/comm || pgrep -P $pid sleep >/dev/null; then echo $pid; exit; fi; done; cat $D/err >&2; exit 9",
        );
        pid.must().trim().to_owned()
    }

    /// Calls `isolatectl`. No value of a credential is ever shown.
    #[track_caller]
    pub(crate) fn ctl(&self, args: &[&str]) -> ShimOutput {
        let said = say(self.host.command(test_support::isolatectl()).args(args));
        assert!(!said.out.contains(SECRET) && !said.err.contains(SECRET), "{said:?}");
        said
    }

    /// Asserts that `verify` finds nothing wrong with these containers, one by one and all together.
    #[track_caller]
    pub(crate) fn holds(&self, ids: &[&str]) {
        for id in ids {
            let holds = ShimOutput { status: 0, out: format!("{id}: holds\n"), err: String::new() };
            assert_eq!(self.ctl(&["verify", id]), holds);
        }
        let all = ids.iter().map(|id| format!("{id}: holds\n")).collect();
        assert_eq!(self.ctl(&["verify", "--all"]), ShimOutput { status: 0, out: all, err: String::new() });
    }

    /// What `verify` says against `web`, a line for each; the same in text and in JSON, for it alone and for all.
    #[track_caller]
    pub(crate) fn broken(&self) -> Vec<String> {
        let text = self.ctl(&["verify", "web"]);
        assert_eq!((text.status, text.err.as_str()), (1, ""), "{}", text.out);
        let lines = text.out.strip_prefix("web: does not hold\n").unwrap_or_else(|| panic!("{text:?}"));
        let lines: Vec<_> = lines.lines().map(|line| line.strip_prefix("  ").unwrap().to_owned()).collect();
        let json = self.ctl(&["--json", "verify", "--all"]);
        assert_eq!((json.status, json.err.as_str()), (1, ""));
        let json: Value = serde_json::from_str(&json.out).unwrap();
        let web = json.as_array().unwrap().iter().find(|verdict| verdict["id"] == "web").unwrap();
        assert_eq!((&web["holds"], &web["root"]), (&json!(false), &json!(self.host.at("root"))));
        let line = |broken: &Value| {
            format!("{}: {}", broken["rule"].as_str().unwrap(), broken["why"].as_str().unwrap())
        };
        let same: Vec<_> = web["broken"].as_array().unwrap().iter().map(line).collect();
        assert_eq!(same, lines);
        lines
    }

    /// Asserts that `verify` holds, and after the sabotage says exactly this.
    #[track_caller]
    pub(crate) fn sabotaged(&self, script: &str, says: &[&str]) {
        self.holds(&["web"]);
        self.sabotage(script);
        assert_eq!(self.broken(), says, "{script}");
    }

    /// Asserts that `verify` names a process that the script becomes; `PID` stands for its pid.
    #[track_caller]
    pub(crate) fn intruded(&self, script: &str, says: &str) {
        self.holds(&["web"]);
        let pid = self.stays(script);
        let broken = self.broken();
        let line = says.replace("PID", &pid);
        assert!(broken.contains(&line), "{script}\n{line}\n{broken:#?}");
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        // Control groups outlive the host.
        let group = self.group();
        let _ = self.sh(&format!(
            "for id in $(ls $R); do runc --root $R delete -f $id; done
            for p in $(cat /sys/fs/cgroup/*{group}/*/cgroup.procs | sort -u); do kill -9 $p; done; sleep 0.1
            find /sys/fs/cgroup/*{group} -depth -type d -exec rmdir {{}} +"
        ));
    }
}
