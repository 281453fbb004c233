"""Judges a file of Falco rules on lines of the audit log: falco.py RULES DECISION... prints, for each decision, the priority of the
one rule that fires. The members of a rule are those of Falco's schema (`userspace/engine/rule_json_schema.h`) that are used here."""

import re
import sys

import yaml
from jsonschema import validate

TEXT = {"type": "string", "minLength": 1}
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rule", "desc", "source", "condition", "output", "priority"],
    "properties": {
        **dict.fromkeys(["rule", "desc", "source", "condition", "output"], TEXT),
        "priority": {"enum": ["WARNING", "NOTICE", "INFORMATIONAL"]},
        "tags": {"type": "array", "items": TEXT},
    },
}
VERSIONS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["required_plugin_versions"],
    "properties": {
        "required_plugin_versions": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "version"],
                "properties": {"name": TEXT, "version": TEXT},
            },
        }
    },
}
CONDITION = re.compile(r"json\.value\[/decision\] in \(([a-z-]+(?:, [a-z-]+)*)\)")
MEMBERS = "id verb why namespace pod container uid decision".split()

versions, *rules = yaml.safe_load(open(sys.argv[1]))
validate(versions, VERSIONS)
fires = {}
for rule in rules:
    validate(rule, RULE)
    for word in CONDITION.fullmatch(rule["condition"]).group(1).split(", "):
        fires.setdefault(word, []).append(rule["priority"])
    members = re.findall(r"%json\.value\[/([a-z]+)\]", rule["output"])
    assert members and set(members) <= set(MEMBERS), members
for decision in sys.argv[2:]:
    (priority,) = fires.pop(decision)
    print(decision, priority)
assert not fires, fires
