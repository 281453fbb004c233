"""Unmodified SageMaker SDK 2 in local mode: v2.py fit COUNT | deploy | toolkit DIRECTORY; the last line is JSON.

Every job and model asks for network isolation, as far as the SDK passes that on."""

import io
import json
import os
import sys
import tarfile

import boto3
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession

ROLE = "arn:aws:iam::123456789012:role/train"
s3 = boto3.client("s3")


def bucket(name):
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


def estimator(count=1, **more):
    environment = {name: os.environ[name] for name in ("NEIGHBOUR", "LEAK") if name in os.environ}
    return Estimator(
        image_uri=os.environ["IMAGE"],
        role=ROLE,
        instance_count=count,
        instance_type="local",
        sagemaker_session=LocalSession(),
        output_path="s3://data-out/jobs",
        enable_network_isolation=True,
        environment=environment,
        **more,
    )


def files(location):
    """The contents of model.tar.gz as S3 has it."""
    place = location.removeprefix("s3://data-out/")
    body = s3.get_object(Bucket="data-out", Key=place)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {os.path.normpath(name): file.read().decode() for name, file in found.items()}


def main():
    for name in ("data-in", "data-out"):
        try:
            bucket(name)
        except s3.exceptions.BucketAlreadyOwnedByYou:
            pass
    s3.put_object(Bucket="data-in", Key="train/data.csv", Body=b"1,2\n")
    verb, *rest = sys.argv[1:]
    if verb == "fit":
        job = estimator(int(rest[0]))
        job.fit({"training": "s3://data-in/train"}, logs=False)
        answer = files(job.model_data)
    elif verb == "toolkit":
        job = estimator(2, entry_point="script.py", source_dir=rest[0])
        job.fit({"training": "s3://data-in/train"}, logs=False)
        answer = files(job.model_data)
    else:
        job = estimator()
        job.fit({"training": "s3://data-in/train"}, logs=False)
        predictor = job.deploy(initial_instance_count=1, instance_type="local")
        answer = json.loads(predictor.predict(b"one, two"))
        predictor.delete_endpoint()
    print("\n" + json.dumps(answer))


main()
