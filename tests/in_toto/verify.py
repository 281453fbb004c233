"""Verifies a file of statements by the libraries of in-toto: FILE KEY. Prints each statement's type, predicate and subjects."""

import json
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse
from in_toto.models.metadata import Envelope as InTotoEnvelope
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

file, key = sys.argv[1:]
with open(key, "rb") as pem:
    public = load_pem_public_key(pem.read())

for line in open(file):
    parsed = json.loads(line)
    keyid = parsed["signatures"][0]["keyid"]
    key = SSlibKey.from_crypto(public, keyid=keyid)
    envelope = Envelope.from_dict(parsed)
    assert list(envelope.verify([key], 1)) == [keyid]
    InTotoEnvelope.from_dict(json.loads(line)).verify_signature({"keyid": keyid, **key.to_dict()})
    statement = Statement.copy_from_pb(Parse(envelope.payload, Message()))
    statement.validate()
    message = statement.pb
    subjects = [" ".join([subject.name, *subject.digest.values()]) for subject in message.subject]
    print(message.type, message.predicate_type, int(message.predicate["sequence"]), *subjects)
