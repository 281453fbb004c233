"""Judges events, one JSON document a line on stdin, by the schemas of OCSF: ocsf.py VERSION... prints what is wrong, line by
line, and the number of events that every version accepts."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

PROFILES = ["host", "security_control"]

validators = {}
for version in sys.argv[1:]:
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    schema = schemas.get_class_schema(class_name=schemas.lookup_class_name_from_uid(6003), profiles=PROFILES)
    validators[version] = Draft202012Validator(schema)

valid = 0
for number, line in enumerate(sys.stdin, 1):
    event = json.loads(line)
    wrong = [
        f"line {number}, OCSF {version}: {error.json_path}: {error.message}"
        for version, validator in validators.items()
        for error in validator.iter_errors(event)
    ]
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        wrong.append(f"line {number}: type_uid is {event['type_uid']}")
    if event["metadata"]["profiles"] != PROFILES:
        wrong.append(f"line {number}: profiles are {event['metadata']['profiles']}")
    for text in wrong:
        print(text)
    valid += not wrong
print(valid)
