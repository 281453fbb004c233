//! Who asks for isolation: annotations, the settings, a flag; and that it cannot be taken back.

use serde_json::json;

use test_support::recorded::host::RecorderHost;
use test_support::recorded::output::say;
use test_support::recorded::spec::{SWITCH, annotated, isolated, plain};
use test_support::shim;

/// Whether a container of the bundle is isolated: what happens to config.json and to the state directory has to agree.
#[track_caller]
fn is_isolated(host: &RecorderHost) -> bool {
    is_isolated_with(host, &[])
}

#[track_caller]
fn is_isolated_with(host: &RecorderHost, flags: &[&str]) -> bool {
    let before = host.read_config();
    let root = host.at("root");
    say(host.command(shim()).args(flags).args(["--root", &root, "create", "web"])).must();
    let changed = host.call().config() != before;
    assert_eq!(!host.state().is_empty(), changed);
    host.sh("rm -rf /run/oci-isolate").must();
    changed
}

#[test]
fn the_annotation_switches_on_when_it_is_true_or_empty_in_any_case() {
    let host = RecorderHost::new();
    for (value, wanted) in
        [("true", true), ("", true), ("TRUE", true), ("tRuE", true), ("false", false), ("False", false)]
    {
        host.config(&annotated(SWITCH, json!(value)));
        assert_eq!(is_isolated(&host), wanted, "{value:?}");
    }
    host.config(&plain());
    assert!(!is_isolated(&host));
}

#[test]
fn a_further_key_of_the_settings_switches_on() {
    let host = RecorderHost::new();
    let key = "com.amazonaws.sagemaker.enable-network-isolation";
    host.config(&annotated(key, json!("true")));
    assert!(!is_isolated(&host));
    host.settings(&format!("annotations = [\"{key}\"]"));
    assert!(is_isolated(&host));
    host.config(&annotated(key, json!("false")));
    assert!(!is_isolated(&host));
}

#[test]
fn mode_always_isolates_whatever_the_annotation_says() {
    let host = RecorderHost::new();
    host.settings("mode = \"always\"");
    for config in [plain(), annotated(SWITCH, json!("false"))] {
        host.config(&config);
        assert!(is_isolated(&host));
    }
}

#[test]
fn the_flag_isolates_whatever_the_settings_say() {
    let host = RecorderHost::new();
    host.settings("mode = \"annotation\"");
    for config in [plain(), annotated(SWITCH, json!("false"))] {
        host.config(&config);
        assert!(is_isolated_with(&host, &["--isolate=always"]));
        assert!(!is_isolated_with(&host, &[]));
    }
}

#[test]
fn the_settings_file_is_the_flags_before_the_variables_before_the_default() {
    let host = RecorderHost::new();
    host.config(&plain());
    let runtime = format!("runtime = [\"{}\"]\n", host.at("recorder"));
    let always = host.write("always.toml", format!("{runtime}mode = \"always\""));
    assert!(is_isolated_with(&host, &[&format!("--isolate-config={always}")]));
    let run = || {
        let root = host.at("root");
        say(host.command(shim()).env_remove("OCI_ISOLATE_CONFIG").args(["--root", &root, "create", "web"]))
            .must();
        let isolated = !host.state().is_empty();
        host.sh("rm -rf /run/oci-isolate").must();
        isolated
    };
    host.sh(&format!(
        "mount -t tmpfs tmpfs /etc; mkdir /etc/oci-isolate; cp {always} /etc/oci-isolate/config.toml"
    ))
    .must();
    assert!(run());
    host.config(&plain());
    host.sh(&format!("cp {} /etc/oci-isolate/config.toml", host.at("config.toml"))).must();
    assert!(!run());
}

#[test]
fn what_the_settings_require_is_isolated_and_no_annotation_takes_it_back() {
    let host = RecorderHost::new();
    host.settings("[[require]]\nannotation = \"image\"\nmatches = \"*/marketplace/*\"");
    for (image, switch, wanted) in
        [("r/marketplace/a", "", true), ("r/marketplace/a", "false", true), ("r/ours/a", "false", false)]
    {
        let mut config = annotated("image", json!(image));
        if !switch.is_empty() {
            config["annotations"][SWITCH] = json!(switch);
        }
        host.config(&config);
        assert_eq!(is_isolated(&host), wanted, "{image} {switch}");
    }
    assert!(host.calls().is_empty());
}

#[test]
fn what_the_settings_require_of_the_environment_is_isolated() {
    let host = RecorderHost::new();
    let mut config = annotated(SWITCH, json!("false"));
    config["process"]["env"] = json!(["PATH=/bin", "TRAINING_JOB_NAME=mnist-7"]);
    host.config(&config);
    assert!(!is_isolated(&host), "not open without the setting");
    host.settings("[[require]]\nenv = \"TRAINING_JOB_NAME\"\nmatches = \"*\"");
    assert!(is_isolated(&host));
    config["process"]["env"] = json!(["PATH=/bin"]);
    host.config(&config);
    assert!(!is_isolated(&host));
    assert!(host.calls().is_empty());
}

#[test]
fn what_the_settings_refuse_is_refused_with_their_reason() {
    let host = RecorderHost::new();
    host.settings(
        "[[refuse]]\nannotation = \"image\"\nmatches = \"*sagemaker-rl*\"\nreason = \"needs Amazon S3\"",
    );
    let mut config = annotated("image", json!("x/sagemaker-rl-ray"));
    host.config(&config);
    assert!(!is_isolated(&host));
    config["annotations"][SWITCH] = json!("true");
    host.config(&config);
    host.refuses(
        &["create", "web"],
        "container web not created: needs Amazon S3 (image matches \"*sagemaker-rl*\" in the settings)",
    );
}

#[test]
fn a_switch_that_is_neither_yes_nor_no_is_refused() {
    let host = RecorderHost::new();
    for (verb, done) in [("create", "created"), ("run", "run"), ("restore", "restored")] {
        for value in ["maybe", "1", "yes", " true", "true ", "\u{ff54}rue", "true\n"] {
            host.config(&annotated(SWITCH, json!(value)));
            let message = format!(
                "container web not {done}: annotation {SWITCH} is {value:?}; it takes \"true\", \"false\", \"observe\" or nothing"
            );
            host.refuses(&[verb, "web"], &message);
        }
        for value in [json!(1), json!(true), json!(null), json!(["true"]), json!({})] {
            host.config(&annotated(SWITCH, value));
            host.refuses(
                &[verb, "web"],
                &format!("container web not {done}: annotation {SWITCH} is not a string"),
            );
        }
    }
}

#[test]
fn an_annotation_given_twice_or_under_two_spellings_of_annotations_is_refused() {
    let host = RecorderHost::new();
    for text in [
        format!(r#"{{"annotations":{{"{SWITCH}":"false","{SWITCH}":"false"}}}}"#),
        format!(r#"{{"annotations":{{"{SWITCH}":"false"}},"Annotations":{{"{SWITCH}":"true"}}}}"#),
        format!(r#"{{"annotations":{{"{SWITCH}":"true"}},"annotations":{{"{SWITCH}":"false"}}}}"#),
    ] {
        host.write("bundle/config.json", text);
        host.refuses(
            &["create", "web"],
            &format!("container web not created: annotation {SWITCH} is given twice"),
        );
    }
}

#[test]
fn openings_that_cannot_be_meant_or_are_not_allowed_are_refused() {
    let host = RecorderHost::new();
    host.settings("[ingress]\nallowed = false");
    let many = vec!["10.0.0.1"; 100_000].join(",");
    for (name, value, why) in [
        ("ingress", json!("8080"), "the settings do not allow it (ingress.allowed = false)"),
        (
            "peers",
            json!("10.0.0.1, 8.8.8.8"),
            "\"8.8.8.8\" is not within what the settings allow (peers.within)",
        ),
        ("peers", json!("10.1.2.3/24"), "\"10.1.2.3/24\" has host bits set; write 10.1.2.0/24 or 10.1.2.3"),
        ("peers", json!(many), "it has 100000 items; at most 16384 are taken"),
        ("job", json!("a b"), "\"a b\" is not a valid name of a job: 1 to 128 letters, digits and . _ / : -"),
    ] {
        let mut config = isolated();
        let name = format!("io.oci-isolate.{name}");
        config["annotations"][&name] = value;
        host.config(&config);
        host.refuses(&["create", "web"], &format!("container web not created: annotation {name}: {why}"));
        config["annotations"][&name] = json!(8080);
        host.config(&config);
        host.refuses(
            &["create", "web"],
            &format!("container web not created: annotation {name} is not a string"),
        );
    }
}

#[test]
fn a_container_that_was_created_elsewhere_is_neither_started_nor_entered_when_all_are_isolated() {
    let host = RecorderHost::new();
    host.settings("mode = \"always\"");
    let why = "it was not created through oci-isolate, and mode = \"always\"; create it again";
    host.refuses(&["start", "web"], &format!("container web not started: {why}"));
    host.refuses(&["exec", "web", "sh"], &format!("nothing run in container web: {why}"));
    // What does not run anything is the runtime's.
    for verb in ["delete", "kill", "state"] {
        host.shim(&[verb, "web"]).must();
        host.call();
    }
}
