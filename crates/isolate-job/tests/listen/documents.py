# Models, endpoint configurations and tags by boto3: every operation, pages, errors by their types.
import json, sys, boto3
from botocore.config import Config
from refusals import fails

url = sys.argv[1]
session = boto3.Session(aws_access_key_id="AKIATEST", aws_secret_access_key="a secret of the tests", region_name="eu-west-1")
sm = session.client("sagemaker", endpoint_url=url, config=Config(retries={"max_attempts": 0}))
runtime = session.client("sagemaker-runtime", endpoint_url=url, config=Config(retries={"max_attempts": 0}))
logs = session.client("logs", endpoint_url=url, config=Config(retries={"max_attempts": 0}))


def arrives(given, parsed):
    if isinstance(given, dict):
        assert set(given) == set(parsed) - {"ResponseMetadata"}, (given, parsed)
        for key in given:
            arrives(given[key], parsed[key])
    elif isinstance(given, list):
        assert len(given) == len(parsed), (given, parsed)
        for one, other in zip(given, parsed):
            arrives(one, other)


def whole(http_response, parsed, **_):
    """No member of an answer is unknown to botocore's model, or of another type."""
    if http_response.status_code == 200:
        arrives(json.loads(http_response.content or b"{}"), parsed)


for client, service in ((sm, "sagemaker"), (logs, "logs")):
    client.meta.events.register(f"after-call.{service}", whole)

ROLE = "arn:aws:iam::111122223333:role/execution"


def model(name, **more):
    container = {"Image": "model:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    return {"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE, "EnableNetworkIsolation": True, **more}


arn = sm.create_model(**model("Boston", Tags=[{"Key": "team", "Value": "blue"}]))["ModelArn"]
assert arn == "arn:aws:sagemaker:eu-west-1:111122223333:model/boston", arn
described = sm.describe_model(ModelName="Boston")
assert described["ModelArn"] == arn and described["EnableNetworkIsolation"] is True, described
assert described["PrimaryContainer"]["ModelDataUrl"] == "s3://bucket/model.tar.gz", described
fails("ResourceInUse", "Boston exists", sm.create_model, **model("Boston"))
fails("ValidationException", "Could not find model", sm.describe_model, ModelName="none")
for isolation in ({"EnableNetworkIsolation": False}, {}):
    request = model("open")
    del request["EnableNetworkIsolation"]
    fails("AccessDeniedException", "EnableNetworkIsolation is not true", sm.create_model, **request, **isolation)
fails("ValidationException", "InferenceExecutionConfig", sm.create_model, **model("x", InferenceExecutionConfig={"Mode": "Direct"}))

for index in range(25):
    sm.create_model(**model(f"m{index:02}"))
pages = sm.get_paginator("list_models").paginate(NameContains="m", SortBy="Name", SortOrder="Ascending")
names = [found["ModelName"] for page in pages for found in page["Models"]]
assert names == [f"m{index:02}" for index in range(25)], names

assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
assert len(sm.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}, {"Key": "team", "Value": "red"}])["Tags"]) == 2
sm.delete_tags(ResourceArn=arn, TagKeys=["stage"])
assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "red"}]
fails("ResourceNotFound", "is not on this host", sm.list_tags, ResourceArn=arn + "x")

variant = {"VariantName": "AllTraffic", "ModelName": "Boston", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0}
config = sm.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant], Tags=[{"Key": "a", "Value": "b"}])
assert config["EndpointConfigArn"] == "arn:aws:sagemaker:eu-west-1:111122223333:endpoint-config/c", config
described = sm.describe_endpoint_config(EndpointConfigName="c")
assert described["ProductionVariants"] == [variant] and described["CreationTime"], described
assert [one["EndpointConfigName"] for one in sm.list_endpoint_configs()["EndpointConfigs"]] == ["c"]
assert sm.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"] == [{"Key": "a", "Value": "b"}]
create = sm.create_endpoint_config
fails("ValidationException", "Could not find model", create, EndpointConfigName="d", ProductionVariants=[{**variant, "ModelName": "none"}])
fails("ValidationException", "one variant", create, EndpointConfigName="d", ProductionVariants=[variant, {**variant, "VariantName": "b"}])
fails("ValidationException", "InitialInstanceCount", create, EndpointConfigName="d", ProductionVariants=[{**variant, "InitialInstanceCount": 2}])
fails("ValidationException", "DataCaptureConfig: is not supported", create, EndpointConfigName="d", ProductionVariants=[variant], DataCaptureConfig={
    "InitialSamplingPercentage": 1, "DestinationS3Uri": "s3://bucket/x", "CaptureOptions": [{"CaptureMode": "Input"}]})
fails("ValidationException", "Could not find endpoint configuration", sm.create_endpoint, EndpointName="e", EndpointConfigName="none")
fails("ValidationException", "Could not find endpoint", sm.describe_endpoint, EndpointName="e")
fails("ValidationException", "Could not find endpoint", sm.delete_endpoint, EndpointName="e")
assert sm.list_endpoints()["Endpoints"] == []
fails("ValidationError", "not found", runtime.invoke_endpoint, EndpointName="e", Body=b"x")

fails("ValidationException", "Requested resource not found", sm.describe_training_job, TrainingJobName="none")
fails("ValidationException", "Requested resource not found", sm.stop_training_job, TrainingJobName="none")
assert sm.list_training_jobs(StatusEquals="Completed")["TrainingJobSummaries"] == []
fails("ValidationException", "ListProcessingJobs is not supported", sm.list_processing_jobs)
fails("ValidationException", "PutLogEvents is not supported", logs.put_log_events, logGroupName="g", logStreamName="s", logEvents=[{"timestamp": 1, "message": "m"}])
assert logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"] == []
fails("InvalidParameterException", "nextToken", logs.describe_log_streams, logGroupName="/aws/sagemaker/TrainingJobs", nextToken="gone")
fails("ResourceNotFoundException", "log group", logs.describe_log_streams, logGroupName="/other")
fails("ResourceNotFoundException", "log group", logs.describe_log_streams, logGroupName="/aws/sagemaker/Endpoints/e")
fails("ResourceNotFoundException", "log stream", logs.get_log_events, logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="x/algo-1-1")

sm.delete_endpoint_config(EndpointConfigName="c")
sm.delete_model(ModelName="Boston")
fails("ValidationException", "Could not find model", sm.delete_model, ModelName="Boston")
fails("ValidationException", "Could not find endpoint configuration", sm.describe_endpoint_config, EndpointConfigName="c")
print("done")
