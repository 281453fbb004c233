"""The client of hack/demo jobs: boto3 as it is. Trains, deploys, predicts, and prints what moved and what was refused.

    client.py LOG HOST...

LOG has the requests that S3 got, HOST is the command that runs another one on the host of the containers. Exit status: 0 if all is as
promised, 3 if not."""

import json
import pathlib
import random
import re
import subprocess
import sys
import time

import boto3
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::111122223333:role/Demo"
QUICK = {"Delay": 1, "MaxAttempts": 100}
colour = sys.stdout.isatty()
broken = 0


def paint(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def cell(words, kept, code, width):
    global broken
    if kept:
        return paint(code, f"{words:<{width}}")
    broken += 1
    return paint("1;31", f"{words + ' !':<{width}}")


def heading(*words):
    print(paint(1, "".join(f"{word:<{width}}" for word, width in zip(words, (45, 16, 16, 0)))))


def row(title, found, wanted, words=("unreachable", "answered")):
    """One probe in three containers."""
    cells = ""
    for value, promise, code in zip(found, wanted, (33, 32, 32)):
        text = words[value] if isinstance(value, bool) else str(value)
        cells += cell(text, value == promise, code, 16)
    print(f"  {title:<43}{cells}".rstrip())


def moved(title, objects, size, kept):
    print(f"  {title:<59}{cell(objects, kept, 32, 10)}{size:>8}")


def from_containers(log):
    """Requests that S3 got from elsewhere than the host itself."""
    callers = re.findall(r"^(\S+) - - \[", log.read_text(errors="replace"), re.MULTILINE)
    return sum(caller != "127.0.0.1" for caller in callers)


def main():
    log, on_host = pathlib.Path(sys.argv[1]), sys.argv[2:]
    s3, sm = boto3.client("s3"), boto3.client("sagemaker")
    runtime, logs = boto3.client("sagemaker-runtime"), boto3.client("logs")

    # The data: y = 3 x + 7 and some noise.
    for bucket in ("data", "results"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    noise, sent = random.Random(7), 0
    for part in range(20):
        points = [(x, 3 * x + 7 + noise.gauss(0, 0.1)) for x in range(part * 100, part * 100 + 100)]
        body = "".join(f"{x},{y:.3f}\n" for x, y in points).encode()
        s3.put_object(Bucket="data", Key=f"train/part-{part:02}.csv", Body=body)
        sent += len(body)

    # Without isolation, then isolated.
    open_run = [*on_host, "docker", "run", "--rm", "-e", "AWS_SECRET_ACCESS_KEY", "demo", "probe"]
    opened = json.loads(subprocess.run(open_run, check=True, stdout=subprocess.PIPE).stdout)
    asked_open = from_containers(log)

    request = {
        "TrainingJobName": "line",
        "AlgorithmSpecification": {"TrainingImage": "demo", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": "s3://data/train/"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://results"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 100},
        "Environment": {"AWS_SECRET_ACCESS_KEY": "made-up"},
    }
    try:
        sm.create_training_job(**request)
        without = "accepted"
    except ClientError as error:
        without = error.response["Error"]["Code"]
    sm.create_training_job(**request, EnableNetworkIsolation=True)
    sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="line", WaiterConfig=QUICK)
    job = sm.describe_training_job(TrainingJobName="line")
    if job["TrainingJobStatus"] != "Completed":
        sys.exit(f"the job is {job['TrainingJobStatus']}: {job.get('FailureReason')}")
    group = "/aws/sagemaker/TrainingJobs"
    stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="line/")["logStreams"][0]["logStreamName"]
    trained = json.loads(logs.get_log_events(logGroupName=group, logStreamName=stream)["events"][-1]["message"])
    asked_training = from_containers(log)

    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    image = {"Image": "demo", "ModelDataUrl": model, "Environment": {"AWS_SECRET_ACCESS_KEY": "made-up"}}
    sm.create_model(ModelName="line", PrimaryContainer=image, ExecutionRoleArn=ROLE, EnableNetworkIsolation=True)
    variant = {"VariantName": "all", "ModelName": "line", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    sm.create_endpoint_config(EndpointConfigName="line", ProductionVariants=[variant])
    sm.create_endpoint(EndpointName="predict", EndpointConfigName="line")
    while sm.describe_endpoint(EndpointName="predict")["EndpointStatus"] == "Creating":
        time.sleep(0.2)
    endpoint = sm.describe_endpoint(EndpointName="predict")
    if endpoint["EndpointStatus"] != "InService":
        sys.exit(f"the endpoint is {endpoint['EndpointStatus']}: {endpoint.get('FailureReason')}")
    invoke = lambda body: runtime.invoke_endpoint(EndpointName="predict", Body=body)["Body"].read().decode()
    predicted, serving = float(invoke("1000")), json.loads(invoke("probe"))
    verified = subprocess.run([*on_host, "isolatectl", "verify", "--all"], capture_output=True, text=True)
    asked_serving = from_containers(log)
    sm.delete_endpoint(EndpointName="predict")
    sm.get_waiter("endpoint_deleted").wait(EndpointName="predict", WaiterConfig=QUICK)

    print()
    found = [opened, trained["probe"], serving]
    heading("  one image, three times", "docker run", "training job", "endpoint")
    print("  " + "-" * 84)
    probes = lambda name: [one[name] for one in found]
    shut = (True, False, False)
    row("TCP to the internet", probes("tcp"), shut)
    row("DNS", probes("dns"), shut)
    row("instance metadata, 169.254.169.254", probes("metadata"), shut, ("unreachable", "names a role"))
    row("Amazon S3, the bucket of the data", probes("s3"), shut, ("unreachable", "lists it"))
    row("AWS_SECRET_ACCESS_KEY in /proc/1/environ", probes("secret"), shut, ("gone", "there"))
    row("interfaces", probes("links"), ("eth0 lo", "lo", "eth0 lo"))
    row("requests that S3 got from it", (asked_open, asked_training - asked_open, asked_serving - asked_training), (1, 0, 0))

    size = lambda key: s3.head_object(Bucket="results", Key=key)["ContentLength"]
    print()
    print(paint(1, f"  {'moved by isolate-job stage':<59}{'objects':<10}{'bytes':>8}"))
    print("  " + "-" * 84)
    moved("s3://data/train/ to /opt/ml/input/data/train", trained["files"], trained["bytes"], (trained["files"], trained["bytes"]) == (20, sent))
    moved("/opt/ml/model to s3://results/line/output/model.tar.gz", 1, size("line/output/model.tar.gz"), model == "s3://results/line/output/model.tar.gz")
    moved("/opt/ml/output/data to s3://results/.../output.tar.gz", 1, size("line/output/output.tar.gz"), True)

    print()
    row("prediction for x = 1000 (3 x + 7)", (f"{predicted:.1f}",), (f"{predicted:.1f}" if abs(predicted - 3007) < 1 else "",))
    row("a request without EnableNetworkIsolation", (without,), ("AccessDeniedException",))
    row("isolatectl verify, of the endpoint", ("holds" if verified.returncode == 0 else "does not hold",), ("holds",))
    if verified.returncode != 0:
        print(verified.stdout + verified.stderr)
    return 3 if broken else 0


sys.exit(main())
