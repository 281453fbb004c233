//! From `create` to `delete`: a container that is isolated stays so, whatever call comes in between.

use serde_json::json;

use test_support::bench::{mount, refused, runtime_that};
use test_support::host::Kind;
use test_support::life::Life;

#[test]
fn an_exec_before_the_start_is_refused() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        let look = |program: &str| life.sh(&format!("${program} exec web ip -o link show up"));
        life.sh("made $S web; plumb web; nsenter -t $(init web) -n ip link set plumbed up").must();
        let open = look("B").must();
        assert!(open.contains("plumbed"), "{kind:?}: {open}");
        refused(
            &look("S"),
            "nothing run in container web: it is not started yet, so its network is not sealed",
        )
        .unwrap();
        life.sh("$S start web").must();
        let closed = look("S").must();
        assert!(closed.contains("lo:") && !closed.contains("plumbed"), "{kind:?}: {closed}");
        // Stopped for a while it is as sealed as before.
        let paused = life.sh("$S pause web; timeout 2 $S exec web true && echo ran; $S resume web");
        assert!(!paused.out.contains("ran") || paused.well(), "{kind:?}: {paused}");
    }
}

#[test]
fn a_container_that_joins_a_sealed_namespace_is_not_entered_before_its_start_either() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("one", &life.stays());
        life.sh("made $S one; $S start one").must();
        let pid = life.sh("init one").must();
        let mut spec = life.stays();
        let list = json!([{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
            {"type": "network", "path": format!("/proc/{}/ns/net", pid.trim())}]);
        spec["linux"]["namespaces"] = list;
        life.isolated("two", &spec);
        life.sh("made $S two; [ $(net one) = $(net two) ]").must();
        refused(&life.sh("$S exec two true"), "it is not started yet").unwrap();
        life.sh("$S start two; $S exec two true").must();
    }
}

/// The runtime starts the process that it keeps itself, whatever the file says.
#[test]
fn of_two_containers_with_one_pid_file_none_starts_unsealed() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        for id in ["one", "two"] {
            life.isolated(id, &life.stays());
        }
        life.sh("for id in one two; do $S create -b $D/$id --pid-file $D/pid $id </dev/null >/dev/null 2>&1; done").must();
        let said = life.sh("$S start one");
        refused(&said, "; give each container a pid file of its own").unwrap();
        life.sh("$S start two; $B state one | grep -q created; $B state two | grep -q running").must();
        // With the right one it goes on.
        life.sh("$B state one | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p' >$D/pid; $S start one").must();
    }
}

#[test]
fn a_container_whose_record_is_gone_can_be_ended_only() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        for id in ["created", "started"] {
            life.isolated(id, &life.stays());
        }
        life.plain("plain", &life.stays());
        life.sh(
            "for id in created started plain; do made $S $id; done; $S start started; rm -r /run/oci-isolate",
        )
        .must();
        let why = "it was created isolated (annotation io.oci-isolate.network-isolation) and its record is gone; \
                   delete it and create it again";
        for call in ["start created", "exec started true", "update --pids-limit 9 started"] {
            refused(&life.sh(&format!("$S {call}")), why).unwrap();
        }
        // Nothing is wrong with those that were not isolated, and all can be looked at and ended.
        life.sh("$S start plain; $S exec plain true; $S update --pids-limit 90 plain").must();
        life.sh("for id in created started plain; do $S state $id; $S kill $id KILL; done").must();
        life.sh("for id in created started plain; do $S delete --force $id; done; made $S created; $S start created").must();
    }
}

#[test]
fn the_settings_of_now_say_who_without_a_record_is_isolated() {
    let life = Life::of(Kind::Machine);
    let mut spec = life.stays();
    spec["annotations"] = json!({"image": "r/marketplace/x", "com.example.isolate": "true"});
    life.plain("web", &spec);
    life.sh("made $B web; $S start web; $S exec web true").must();
    for settings in [
        "annotations = [\"com.example.isolate\"]",
        "[[require]]\nannotation = \"image\"\nmatches = \"*/marketplace/*\"",
    ] {
        life.settings(settings);
        refused(&life.sh("$S exec web true"), "and its record is gone").unwrap();
    }
}

/// crun takes it for every user; runc for users who are not root.
#[test]
fn cruns_root_is_where_crun_has_it() {
    for kind in [Kind::MachineForCrun, Kind::SidForCrun] {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        life.plain("other", &life.stays());
        let said = life.sh(
            "export XDG_RUNTIME_DIR=$D/elsewhere; made $SHIM web; [ -e $XDG_RUNTIME_DIR/crun/web/status ]
            $SHIM create -b $D/other web </dev/null >/dev/null 2>&1 && exit 9
            [ -e /run/oci-isolate/containers$XDG_RUNTIME_DIR/crun/web.json ]
            $SHIM start web; $SHIM exec -e AWS_SECRET_ACCESS_KEY=planted web /bin/env",
        );
        assert!(!said.must().contains("AWS_SECRET_ACCESS_KEY"), "{kind:?}");
        let bare =
            life.sh("XDG_RUNTIME_DIR=$D/elsewhere $BARE exec -e AWS_SECRET_ACCESS_KEY=planted web /bin/env");
        assert!(bare.must().contains("AWS_SECRET_ACCESS_KEY"), "{kind:?}");
    }
}

#[test]
fn a_root_by_another_path_is_the_same_root() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        let said = life.sh(
            "mkdir -p $R $D/bound; ln -s state $D/link; mount --bind $R $D/bound; made $S web; plumb web
            $SHIM --root $D/bound start web; $SHIM --root $D/link exec web cat /proc/net/dev
            $SHIM --root $D/bound exec -e AWS_SECRET_ACCESS_KEY=planted web /bin/env",
        );
        let said = said.must();
        assert!(!said.contains("plumbed") && !said.contains("AWS_SECRET_ACCESS_KEY"), "{kind:?}: {said}");
        let bare = life.sh("$BARE --root $D/bound exec -e AWS_SECRET_ACCESS_KEY=planted web /bin/env").must();
        assert!(bare.contains("AWS_SECRET_ACCESS_KEY"), "{kind:?}");
    }
}

/// crun before 1.22 takes a path for an id; the others refuse it.
#[test]
fn an_id_that_is_a_path_does_not_get_by_the_record() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        life.sh("made $S web; $S start web").must();
        for id in ["./web", "/web", "../state/web"] {
            let enter = |program: &str| life.sh(&format!("${program} exec {id} true"));
            assert_eq!(enter("B").well(), kind == Kind::MachineForCrun, "{kind:?}: {id}");
            assert!(!enter("S").well(), "{kind:?}: {id}");
            if kind == Kind::MachineForCrun {
                refused(&enter("S"), "and its record is gone").unwrap();
            }
        }
    }
}

#[test]
fn a_verb_that_is_not_known_is_not_for_isolated_containers() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.isolated("web", &life.stays());
        life.plain("plain", &life.stays());
        let mounts = json!([{"destination": "/host", "type": "bind", "source": life.bench.dir("secret"), "options": ["rbind"]}]);
        life.bench.host.write("mounts.json", &mounts.to_string());
        life.bench.host.write("secret/word", "from the host");
        life.sh("for id in web plain; do made $S $id; $S start $id; done").must();
        let add = |program: &str, id: &str| {
            life.sh(&format!("${program} mounts add {id} $D/mounts.json && $B exec {id} cat /host/word"))
        };
        // Only this one has it: there it is open.
        let open = kind == Kind::SidForCrun;
        assert_eq!(add("S", "plain").out.contains("from the host"), open, "{kind:?}");
        let why =
            if kind.runtime().ends_with("crun") { "mounts into a running container" } else { "is not known" };
        let said = add("S", "web");
        refused(&said, "container web is isolated, and what this call does to it is not known").unwrap();
        refused(&said, why).unwrap();
        assert_eq!(add("B", "web").out.contains("from the host"), open, "{kind:?}");
        // Neither by a command line that is not understood, nor where the record is gone.
        for call in ["--new-flag mounts add web x", "frobnicate --id=web", "frobnicate web"] {
            refused(&life.sh(&format!("$SHIM {call}")), "container web is isolated").unwrap();
        }
        life.sh("rm -r /run/oci-isolate").must();
        refused(&life.sh("$S frobnicate web"), "its record is gone").unwrap();
        assert!(!life.sh("$S frobnicate plain").err.contains("isolated"));
    }
}

/// CRIU does not run here, so the runtime is one that says what it is asked.
#[test]
fn an_isolated_container_is_not_restored_unless_the_settings_say_so() {
    let life = Life::of(Kind::Machine);
    life.isolated("web", &life.stays());
    life.plain("plain", &life.stays());
    life.bench.host.write("runc", &runtime_that("echo \"asked: $*\""));
    let settings = |more: &str| {
        life.sh("chmod +x $D/runc").must();
        life.bench.host.settings(&format!("runtime = [\"{}\"]\n{more}", life.bench.host.at("runc")));
    };
    let restore = |id: &str| life.sh(&format!("$S restore --image-path $D/image -b $D/{id} {id}"));
    settings("");
    refused(
        &restore("web"),
        "container web not restored: whether it was isolated when it was checkpointed is unknown",
    )
    .unwrap();
    assert!(restore("plain").must().contains("asked: "));
    settings("restore = \"allow\"");
    assert!(restore("web").must().contains("asked: "));
    let record = life.sh("cat /run/oci-isolate/containers$R/web.json").must();
    assert!(record.contains("\"restore\""), "{record}");
}

/// What another container does that has the directory above the source, at the moment that suits it.
#[test]
fn a_source_that_is_replaced_while_the_container_is_created_is_refused() {
    for kind in Kind::RUNTIMES {
        let life = Life::of(kind);
        life.sh("mkdir -p $D/shared/sub $D/secret; touch $D/secret/token").must();
        let mut spec = life.stays();
        mount(&mut spec, &life.bench.host.dir().join("shared/sub"), "/in", &["rbind", "rw"]);
        life.isolated("web", &spec);
        life.isolated("well", &spec);

        let runtime = kind.runtime();
        let dir = life.bench.host.at("");
        let exchanging = format!(
            "case \" $* \" in *\" create \"*) mv {dir}/shared/sub {dir}/shared/old; ln -s {dir}/secret {dir}/shared/sub;; esac
             exec {} \"$@\"",
            runtime.display()
        );
        let name = runtime.file_name().unwrap().to_str().unwrap();
        let wrapper = life.bench.host.write(name, &runtime_that(&exchanging));
        life.sh(&format!("chmod +x {wrapper}")).must();
        life.bench.host.settings(&format!("runtime = [\"{wrapper}\"]"));
        life.sh("made $S web").must();
        let shown = life.sh("ls /proc/$(init web)/root/in").must();
        assert_eq!(shown, "token", "{kind:?}");
        let words = "mount-system: /in is not what was at ";
        refused(&life.sh("$S start web"), words).unwrap();

        life.sh("$B delete --force web; rm $D/shared/sub; mv $D/shared/old $D/shared/sub").must();
        life.bench.host.settings(&format!("runtime = [{runtime:?}]"));
        life.sh("made $S well; $S start well").must();
    }
}
