//! The module accepts what serde_json accepts, and sees the same values.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::super::json::ParsedJson;

fn is_read(text: &str) -> bool {
    let read = ParsedJson::parse(text, 10).is_ok();
    assert_eq!(ParsedJson::parse(text, 1).is_ok(), read, "{text}");
    read
}

/// JSON, or nearly.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ \n\t\r]{0,2}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?",
        "\"([a-z\u{e9}\u{1f}]|\\\\[\"\\\\/bfnrtx]|\\\\u[0-9a-fA-Fg]{3,4}){0,3}\"?",
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        Just("nul".to_owned()),
        Just("{\"a\":1}".to_owned()),
        Just("[]".to_owned()),
        "[\\[\\]{},:]",
        "\\PC",
    ];
    let value = word.prop_recursive(4, 32, 4, |below| {
        let spaced = ("[ \n]{0,1}", below, "[ \t]{0,1}").prop_map(|(a, b, c)| format!("{a}{b}{c}"));
        let member = ("\"[a-c]\"|a|", spaced.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    });
    prop_oneof![4 => value.clone(), 1 => (value, "[,\\]}x ]").prop_map(|(a, b)| a + &b)]
}

/// All values of a text in their order, as both see them.
fn values(value: super::super::json::JsonValue, all: &mut Vec<String>) {
    all.push(value.raw().to_owned());
    match value.first() {
        b'[' => value.children().for_each(|item| values(item, all)),
        b'{' => value.members().for_each(|(name, value)| {
            all.push(name.raw().to_owned());
            values(value, all);
        }),
        _ => {}
    }
}

fn values_by_serde(text: &str, all: &mut Vec<String>) {
    use serde_json::value::RawValue;
    all.push(text.to_owned());
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        items.iter().for_each(|item| values_by_serde(item.get(), all));
    } else if text.starts_with('{') {
        // A list of pairs, since a map would lose repeated names.
        struct Members<'a>(Vec<(String, &'a RawValue)>);
        impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct All;
                impl<'de> serde::de::Visitor<'de> for All {
                    type Value = Vec<(String, &'de RawValue)>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut all = Vec::new();
                        while let Some(pair) = map.next_entry()? {
                            all.push(pair);
                        }
                        Ok(all)
                    }
                }
                deserializer.deserialize_map(All).map(Members)
            }
        }
        for (name, value) in serde_json::from_str::<Members>(text).unwrap().0 {
            all.push(format!("{name:?}"));
            values_by_serde(value.get(), all);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_serde_json_takes_is_taken_and_nothing_else(text in text()) {
        prop_assert_eq!(is_read(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn values_are_where_serde_json_sees_them(text in text()) {
        if let Ok(json) = ParsedJson::parse(&text, 10) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            values(json.root(), &mut ours);
            values_by_serde(text.trim(), &mut theirs);
            prop_assert_eq!(ours, theirs);
        }
    }
}
