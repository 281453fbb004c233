# A model's whole life by boto3: trained, served, invoked, deleted.
import boto3, io, tarfile, time
from botocore.config import Config
from refusals import fails

once = Config(retries={"max_attempts": 0})
API = "http://127.0.0.1:5100"
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
sm = boto3.client("sagemaker", endpoint_url=API, config=once)
runtime = boto3.client("sagemaker-runtime", endpoint_url=API, config=once)
logs = boto3.client("logs", endpoint_url=API, config=once)
quick = {"Delay": 1, "MaxAttempts": 60}

s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="data", Key="train/x.csv", Body=b"1,2,3\n")
s3.put_object(Bucket="data", Key="endless/x.csv", Body=b"1,2,3\n")
s3.put_object(Bucket="data", Key="endless/wait", Body=b"1")


def training(name, prefix="train", **more):
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::111122223333:role/Train",
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://data/{prefix}/"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://results/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 100},
        "EnableNetworkIsolation": True,
        **more,
    }


# Training.
arn = sm.create_training_job(**training("boston", Tags=[{"Key": "team", "Value": "blue"}]))["TrainingJobArn"]
assert arn == "arn:aws:sagemaker:eu-west-1:111122223333:training-job/boston", arn
fails("ResourceInUse", "boston exists", sm.create_training_job, **training("boston"))
fails("AccessDeniedException", "EnableNetworkIsolation", sm.create_training_job, **{**training("open"), "EnableNetworkIsolation": False})
augmented = training("augmented")
augmented["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] = "AugmentedManifestFile"
fails("ValidationException", "Pipe mode", sm.create_training_job, **augmented)
piped = {
    "TrainingImage": "model", "TrainingInputMode": "Pipe", "ContainerEntrypoint": ["bash", "-c"],
    "ContainerArguments": ["cat /opt/ml/input/data/train_0 /opt/ml/input/data/train_1 >/opt/ml/model/weights"],
}
sm.create_training_job(**training("piped", AlgorithmSpecification=piped))
network = {"Subnets": ["subnet-0a"], "SecurityGroupIds": ["sg-0a"]}
fails("ValidationException", "VpcConfig.Subnets[0]: subnet-0a is not in the settings", sm.create_training_job, **training("vpc", VpcConfig=network))
sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="boston", WaiterConfig=quick)
job = sm.describe_training_job(TrainingJobName="boston")
assert job["TrainingJobStatus"] == "Completed" and job["SecondaryStatus"] == "Completed", job
assert job["TrainingJobArn"] == arn and job["BillableTimeInSeconds"] >= 1, job
assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
summaries = sm.list_training_jobs(StatusEquals="Completed", NameContains="bos")["TrainingJobSummaries"]
assert [one["TrainingJobName"] for one in summaries] == ["boston"], summaries
artifacts = job["ModelArtifacts"]["S3ModelArtifacts"]
assert artifacts == "s3://results/out/boston/output/model.tar.gz", artifacts
archive = s3.get_object(Bucket="results", Key="out/boston/output/model.tar.gz")["Body"].read()
assert tarfile.open(fileobj=io.BytesIO(archive)).extractfile("weights").read() == b"1,2,3\n"
sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="piped", WaiterConfig=quick)
archive = s3.get_object(Bucket="results", Key="out/piped/output/model.tar.gz")["Body"].read()
assert tarfile.open(fileobj=io.BytesIO(archive)).extractfile("weights").read() == b"1,2,3\n" * 2

# Its log, in pages, forwards and backwards.
group = "/aws/sagemaker/TrainingJobs"
streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="boston/", orderBy="LogStreamName", limit=1)["logStreams"]
assert len(streams) == 1 and streams[0]["logStreamName"].startswith("boston/algo-1-"), streams
# One for each container, and none of the supervisor.
assert len(logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="boston/")["logStreams"]) == 1
stream, lines, token = streams[0]["logStreamName"], [], None
for _ in range(100):
    page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, limit=300, **({"nextToken": token} if token else {}))
    lines += [event["message"] for event in page["events"]]
    if page["nextForwardToken"] == token:
        break
    token = page["nextForwardToken"]
assert lines == ["lo"] + [f"line {number}" for number in range(1, 2001)], lines[:3]
last = logs.get_log_events(logGroupName=group, logStreamName=stream, limit=3)
assert [event["message"] for event in last["events"]] == ["line 1998", "line 1999", "line 2000"], last
found = [event for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNamePrefix="boston/") for event in page["events"]]
assert [event["message"] for event in found] == lines and {event["logStreamName"] for event in found} == {stream}
assert len({event["eventId"] for event in found}) == len(found)
first = logs.filter_log_events(logGroupName=group, logStreamNames=[stream], limit=2)
assert [event["message"] for event in first["events"]] == lines[:2] and first["nextToken"], first
fails("InvalidParameterException", "filterPattern", logs.filter_log_events, logGroupName=group, filterPattern="line")
fails("InvalidParameterException", "nextToken", logs.filter_log_events, logGroupName=group, nextToken="0/other")
before = logs.get_log_events(logGroupName=group, logStreamName=stream, limit=2, nextToken=last["nextBackwardToken"])
assert [event["message"] for event in before["events"]] == ["line 1996", "line 1997"], before

# A job that is stopped.
sm.create_training_job(**training("endless", prefix="endless"))
while sm.describe_training_job(TrainingJobName="endless")["SecondaryStatus"] != "Training":
    time.sleep(0.2)
fails("ResourceInUse", "endless", sm.create_training_job, **training("endless"))
sm.stop_training_job(TrainingJobName="endless")

# Serving.
image = {"Image": "model", "ModelDataUrl": artifacts, "Environment": {"AWS_SECRET_ACCESS_KEY": "given"}}
role = "arn:aws:iam::111122223333:role/Serve"
sm.create_model(ModelName="boston", PrimaryContainer=image, ExecutionRoleArn=role, EnableNetworkIsolation=True)
variant = {"VariantName": "AllTraffic", "ModelName": "boston", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
sm.create_endpoint_config(EndpointConfigName="boston", ProductionVariants=[variant])
endpoint = sm.create_endpoint(EndpointName="predict", EndpointConfigName="boston")["EndpointArn"]
assert endpoint == "arn:aws:sagemaker:eu-west-1:111122223333:endpoint/predict", endpoint
fails("ResourceInUse", "predict", sm.create_endpoint, EndpointName="predict", EndpointConfigName="boston")
fails("ResourceInUse", "boston", sm.create_endpoint, EndpointName="boston", EndpointConfigName="boston")
sm.get_waiter("endpoint_in_service").wait(EndpointName="predict", WaiterConfig=quick)
described = sm.describe_endpoint(EndpointName="predict")
assert described["ProductionVariants"][0]["CurrentInstanceCount"] == 1, described
assert [one["EndpointName"] for one in sm.list_endpoints(StatusEquals="InService")["Endpoints"]] == ["predict"]

answer = runtime.invoke_endpoint(EndpointName="predict", Body=b"4,5,6", ContentType="text/csv", Accept="text/plain")
assert answer["ContentType"] == "text/plain" and answer["InvokedProductionVariant"] == "AllTraffic", answer
text = answer["Body"].read().decode().splitlines()
assert text[:2] == ["weights 1,2,3", "body 4,5,6"] and text[3:] == ["secrets 0"], text
assert text[2] in ("links eth0 lo", "links lo eth0"), text
error = fails("ModelError", "no such column", runtime.invoke_endpoint, EndpointName="predict", Body=b"fail")
assert error["OriginalStatusCode"] == 500 and error["OriginalMessage"] == "no such column\n", error
assert len(runtime.invoke_endpoint(EndpointName="predict", Body=b"large")["Body"].read()) == 5000000
assert runtime.invoke_endpoint(EndpointName="predict", Body=b"x" * (6 << 20))["ResponseMetadata"]["HTTPStatusCode"] == 200
fails("ValidationError", "target-model", runtime.invoke_endpoint, EndpointName="predict", Body=b"", TargetModel="other")
fails("ValidationError", "TargetVariant", runtime.invoke_endpoint, EndpointName="predict", Body=b"", TargetVariant="other")
group = "/aws/sagemaker/Endpoints/predict"
stream = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["logStreamName"]
assert stream.startswith("AllTraffic/model-"), stream
events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
assert events[0]["message"] == "listening", events

# An endpoint whose data is not there.
sm.create_model(ModelName="missing", PrimaryContainer={**image, "ModelDataUrl": "s3://results/none.tar.gz"}, ExecutionRoleArn=role, EnableNetworkIsolation=True)
sm.create_endpoint_config(EndpointConfigName="missing", ProductionVariants=[{**variant, "ModelName": "missing"}])
sm.create_endpoint(EndpointName="missing", EndpointConfigName="missing")
while sm.describe_endpoint(EndpointName="missing")["EndpointStatus"] == "Creating":
    time.sleep(0.2)
described = sm.describe_endpoint(EndpointName="missing")
assert described["EndpointStatus"] == "Failed" and "none.tar.gz" in described["FailureReason"], described
fails("ValidationError", "is Failed", runtime.invoke_endpoint, EndpointName="missing", Body=b"")

for name in ("predict", "missing"):
    sm.delete_endpoint(EndpointName=name)
    sm.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=quick)
fails("ValidationError", "not found", runtime.invoke_endpoint, EndpointName="predict", Body=b"")
sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="endless", WaiterConfig=quick)
assert sm.describe_training_job(TrainingJobName="endless")["TrainingJobStatus"] == "Stopped"
fails("ValidationException", "cannot be stopped", sm.stop_training_job, TrainingJobName="endless")
print("done")
