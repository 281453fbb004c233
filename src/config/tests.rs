//! The promise of the whole module: it loses nothing, and accepts nothing on which decoders could differ.

use serde_json::json;

use super::*;

mod reading;

fn edit(at: Pointer, op: EditOp) -> Edit {
    Edit { at, op, description: String::new() }
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    String::from_utf8(document.with(edits).unwrap()).unwrap()
}

fn refusal(text: &str) -> String {
    Document::parse(Kind::Config, text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_namespace_by_path_is_seen_that_some_decoder_takes_for_one() {
    let found = |text: &str| {
        joined(text.as_bytes())
            .iter()
            .map(|(kind, path)| format!("{kind} {path}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let list = |entries: &str| {
        format!("{{\"a\": [{{\"linux\": 1}}], \"linux\": {{\"x\": {{}}, \"namespaces\": [{entries}]}}}}")
    };
    assert_eq!(found(&list(r#"{"type": "pid"}, {"type": "network", "path": "/a"}, 7, []"#)), "network /a");
    assert_eq!(found(&list(r#"{"Path": "/a\u0000b", "TYPE": "pid", "type": "ip\u0063"}"#)), "pid /a, ipc /a");
    assert_eq!(found(&list(r#"{"path": "/a", "path": "/b", "type": "pid"}"#)), "pid /a, pid /b");
    let twice =
        r#"{"Linux": {"Namespace\u017f": [{"type": "pid", "path": "/a"}]}, "linux": {"namespaces": null}}"#;
    assert_eq!(found(twice), "pid /a");
    for nothing in [
        "",
        "{",
        "[]",
        "7",
        "{\"linux\": []}",
        "{\"linux\": {\"namespaces\": {}}}",
        &list(r#"{"type": 1, "path": "/a"}"#),
    ] {
        assert_eq!(found(nothing), "", "{nothing}");
    }
}

const ENV: [&str; 2] = ["process", "env"];

#[test]
fn what_no_edit_names_survives_byte_for_byte() {
    let text = r#"{"z": 1, "process": {"x-big": 123456789012345678901234567890,  "env": ["A=1", "B=\u00e9\/", "C=3"],
        "f": 1.50e+3}, "a" : {"unknown": [ 1,2 ]}}"#;
    let document = Document::parse(Kind::Config, text.as_bytes()).unwrap();
    assert_eq!(document.with(&[]).unwrap(), text.as_bytes());
    assert_eq!(
        edited(text, &[edit(Pointer::to(&ENV).item(0), EditOp::Remove)]),
        r#"{"z":1,"process":{"x-big":123456789012345678901234567890,"env":["B=\u00e9\/","C=3"],"f":1.50e+3},"a":{"unknown": [ 1,2 ]}}"#
    );
}

#[test]
fn items_and_members_go_and_items_come_at_the_end() {
    let text = r#"{"process":{"env":["A=1","B=2"]}}"#;
    let gone = |i| edit(Pointer::to(&ENV).item(i), EditOp::Remove);
    let come = || edit(Pointer::to(&ENV), EditOp::Append(json!("C=3")));
    assert_eq!(edited(text, &[gone(0), come(), gone(1)]), r#"{"process":{"env":["C=3"]}}"#);
    assert_eq!(edited(text, &[gone(0), gone(1)]), r#"{"process":{"env":[]}}"#);
    assert_eq!(edited(text, &[edit(Pointer::to(&ENV), EditOp::Remove)]), r#"{"process":{}}"#);
}

#[test]
fn a_list_that_is_missing_or_null_is_made() {
    let come = [edit(Pointer::to(&["hooks", "createRuntime"]), EditOp::Append(json!({"path": "/x"})))];
    for text in [r#"{}"#, r#"{"hooks":null}"#, r#"{"hooks":{}}"#, r#"{"hooks":{"createRuntime":null}}"#] {
        assert_eq!(edited(text, &come), r#"{"hooks":{"createRuntime":[{"path":"/x"}]}}"#, "{text}");
    }
}

#[test]
fn an_edit_that_goes_nowhere_is_an_error() {
    let document = Document::parse(Kind::Config, br#"{"process":{},"hostname":"A=1","mounts":[]}"#).unwrap();
    for at in
        [Pointer::to(&["hostname"]).item(0), Pointer::to(&["mounts"]).item(0), Pointer::to(&["mounts", "x"])]
    {
        assert!(document.with(&[edit(at.clone(), EditOp::Remove)]).is_err(), "{at}");
    }
    assert!(document.with(&[edit(Pointer::to(&["process"]), EditOp::Append(json!(1)))]).is_err());
}

#[test]
fn a_process_file_is_edited_below_process() {
    let document = Document::parse(Kind::Process, br#"{"env":["A=1","B=2"],"cwd":"/"}"#).unwrap();
    let out = document.with(&[edit(Pointer::to(&ENV).item(1), EditOp::Remove)]).unwrap();
    assert_eq!(out, br#"{"env":["A=1"],"cwd":"/"}"#);
    assert_eq!(document.view().unwrap().process.unwrap().env.iter().nth(1), Some("B=2"));
}

#[test]
fn variables_are_as_in_the_text_with_escapes_and_without() {
    let of = |kind, text: &str| -> Vec<String> {
        let document = Document::parse(kind, text.as_bytes()).unwrap();
        let view = document.view().unwrap();
        let env = &view.process.as_ref().unwrap().env;
        assert!(env.iter().rev().eq(env.iter().collect::<Vec<_>>().into_iter().rev()));
        env.iter().map(str::to_owned).collect()
    };
    let list = r#"["A=1", "B=\"\u00e9", "", "C=\\", "D=é"]"#;
    let expected = ["A=1", "B=\"é", "", "C=\\", "D=é"];
    assert_eq!(of(Kind::Process, &format!(r#"{{"cwd":"/","env":{list}}}"#)), expected);
    assert_eq!(of(Kind::Config, &format!(r#"{{"env":["X=1"],"process":{{"\u0065nv":{list}}}}}"#)), expected);
    for none in [r#"{"process":{"env":null}}"#, r#"{"process":{}}"#, r#"{"process":{"env":[]}}"#] {
        assert!(of(Kind::Config, none).is_empty(), "{none}");
    }
}

#[test]
fn members_that_decoders_read_differently_are_refused() {
    assert!(refusal(r#"{"Process":{}}"#).starts_with("member \"Process\" is \"process\" to some decoders"));
    assert!(refusal(r#"{"process":{},"process":{}}"#).starts_with("member \"process\" is given twice"));
    assert!(refusal("{\"proce\u{17f}s\":{}}").contains("is \"process\" to some"));
    assert!(refusal(r#"{"linux":{"namespaces":[{"type":"pid","TYPE":"network"}]}}"#).contains("\"TYPE\""));
    assert!(refusal(r#"{"pro\u0063ess":{},"process":{}}"#).contains("given twice"));
    assert!(refusal(r#"{"annotations":{"a":"1","a":"2"}}"#).starts_with("key \"a\" is given twice"));
    assert!(refusal(r#"{"linux":{"sysctl":{"net.x":"1","net.x":"2"}}}"#).contains("net.x"));
    assert!(refusal(r#"{"linux":{"netDevices":{"a":{},"a":{}}}}"#).contains("key \"a\" is given twice"));
    assert!(refusal(r#"{"linux":{"netDevices":{"a":{"Name":"b"}}}}"#).contains("\"name\" to some"));
}

fn unknown(kind: Kind, text: &str) -> Vec<String> {
    Document::parse(kind, text.as_bytes()).unwrap().view().unwrap().unknown
}

#[test]
fn members_that_are_in_no_table_are_found_by_their_path() {
    let text = r#"{"x":1,"X":{"Process":1,"Process":2},"x":3,"process":{"path":"/"},"hooks":{"prestart":[
        {"path":"/a"},{"path":"/b","n\n":0}]},"linux":{"resources":{"devices":[{"allow":false,"a b":1}]},
        "netDevices":{"eth0":{"name":"x","mtu":1}}}}"#;
    assert_eq!(
        unknown(Kind::Config, text),
        [
            "x",
            "X",
            "x",
            "process.path",
            "hooks.prestart[1].\"n\\n\"",
            "linux.resources.devices[0].\"a b\"",
            "linux.netDevices[\"eth0\"].mtu",
        ]
    );
    assert_eq!(unknown(Kind::Process, r#"{"cwd":"/","process":{}}"#), ["process.process"]);
    let many = (0..100).map(|n| format!("\"x{n}\":0")).collect::<Vec<_>>().join(",");
    assert_eq!(unknown(Kind::Config, &format!("{{{many}}}")).len(), 8);
    let deep = format!("{}1{}", r#"{"x":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(unknown(Kind::Config, &deep), ["x"]);
    assert!(unknown(Kind::Config, r#"{"windows":{"x":[{}]},"annotations":{"a":"1","A":"2"}}"#).is_empty());
}

#[test]
fn a_nul_is_refused_wherever_it_is() {
    for text in [
        r#"{"process":{"capabilities":{"bounding":["CAP_KILL\u0000x"]}}}"#,
        r#"{"annotations":{"run.oci.seccomp_bpf_data\u0000x":""}}"#,
        r#"{"annotations":{"a":"x\u0000"}}"#,
        r#"{"annotations\u0000x":{}}"#,
        r#"{"x":[[[[[[[[[[[[[[[[[[[["\u0000"]]]]]]]]]]]]]]]]]]]]}"#,
        r#"{"windows":{"x":{"\u0000":1}}}"#,
    ] {
        let why = refusal(text);
        assert!(
            why.starts_with("a string holds a NUL (\\u0000), at which it ends for some decoders at line 1 "),
            "{why}"
        );
    }
    assert!(Document::parse(Kind::Config, br#"{"hostname":"\\u0000 \u0001 u0000"}"#).is_ok());
    assert!(Document::parse(Kind::Process, br#"{"args":["a\u0000b"]}"#).is_err());
}

#[test]
fn a_list_an_object_or_neither_where_it_does_not_belong_is_refused() {
    for (text, why) in [
        (r#"{"process":[]}"#, "a list is not allowed here"),
        (r#"{"hostname":["a"]}"#, "a list is not allowed here"),
        (r#"{"hooks":{"prestart":[[]]}}"#, "a list is not allowed here"),
        (r#"{"hostname":{"a":1}}"#, "an object is not allowed here"),
        (r#"{"process":{"env":[{}]}}"#, "an object is not allowed here"),
        (r#"{"annotations":{"a":{}}}"#, "an object is not allowed here"),
        (r#"{"mounts":{}}"#, "an object is not allowed here"),
        (r#"{"mounts":"/"}"#, "wrong type, expected a list"),
        (r#"{"linux":{"resources":1}}"#, "wrong type, expected an object"),
    ] {
        assert!(refusal(text).starts_with(why), "{text}: {}", refusal(text));
    }
    assert!(Document::parse(Kind::Config, br#"{"process":null,"mounts":null,"hostname":null}"#).is_ok());
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    for text in [
        "",
        " \n",
        "nonsense",
        "{",
        r#"{"a":1"#,
        "[]",
        "null",
        "{} {}",
        "{}x",
        "\u{feff}{}",
        r#"{"hostname":"\ud800"}"#,
    ] {
        assert!(Document::parse(Kind::Config, text.as_bytes()).is_err(), "{text:?}");
    }
    assert_eq!(
        Document::parse(Kind::Config, b"{\"a\":\"\xff\"}").unwrap_err().to_string(),
        "not UTF-8 at byte 6"
    );
    assert_eq!(refusal(""), "the file is empty");
}

#[test]
fn a_wrong_type_where_a_rule_looks_is_refused() {
    for text in [
        r#"{"process":[]}"#,
        r#"{"process":{"env":"A=1"}}"#,
        r#"{"process":{"env":[1]}}"#,
        r#"{"process":{"env":[null]}}"#,
        r#"{"process":{"capabilities":["CAP_NET_RAW"]}}"#,
        r#"{"linux":1}"#,
        r#"{"linux":{"namespaces":{}}}"#,
        r#"{"linux":{"namespaces":[{"type":"net"}]}}"#,
        r#"{"linux":{"namespaces":[{"path":"/x"}]}}"#,
        r#"{"hooks":{"createRuntime":[{"args":[]}]}}"#,
        r#"{"root":{}}"#,
    ] {
        let viewed = Document::parse(Kind::Config, text.as_bytes()).and_then(|document| document.view());
        assert!(viewed.is_err(), "{text}");
    }
}

#[test]
fn annotations_are_found_without_reading_the_rest() {
    let text =
        r#"{"process":{"env":[1]},"annotations":{"a":"1","b":2,"a":"3","n":null},"Annotations":{"c":"4"}}"#;
    let found = annotations(text.as_bytes()).unwrap();
    let pairs: Vec<_> = found.iter().map(|a| (&*a.name, a.value.as_deref())).collect();
    assert_eq!(pairs, [("a", Some("1")), ("b", None), ("a", Some("3")), ("n", None), ("c", Some("4"))]);
    let cut = br#"{"annotations\u0000x":{"a\u0000b":"1"}}"#;
    assert_eq!(annotations(cut).unwrap()[0].name, "a\0b");
    assert!(annotations(br#"{"annotations":null}"#).unwrap().is_empty());
    assert!(annotations(br#"{"annotations":[]}"#).is_err());
    assert!(annotations(br#"{"annotations":{}"#).is_err());
}

#[test]
fn the_environment_is_what_any_decoder_takes_for_it() {
    let of = |text: &str| environment(text.as_bytes()).map_err(|why| why.to_string());
    assert_eq!(of(r#"{"process":{"env":["A=1","B"],"args":["C=2"]},"env":["D=3"]}"#).unwrap(), ["A=1", "B"]);
    assert_eq!(of(r#"{"proce\u017fs":{"ENV":["A=1"]},"process":{"env":["A=2"]}}"#).unwrap(), ["A=1", "A=2"]);
    assert_eq!(of(r#"{"process":{"env":["A=1\u0000x"]}}"#).unwrap(), ["A=1", "A=1\0x"]);
    for none in ["{}", r#"{"process":null}"#, r#"{"process":{"env":null}}"#, r#"{"process":{}}"#] {
        assert_eq!(of(none).unwrap(), [""; 0], "{none}");
    }
    for text in
        ["", "{", r#"{"process":{"env":{}}}"#, r#"{"process":{"env":[1]}}"#, r#"{"process":{"env":"A=1"}}"#]
    {
        assert!(of(text).is_err(), "{text}");
    }
}
