# Transform jobs by boto3.
import boto3
from botocore.config import Config
from refusals import fails

s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
sm = boto3.client("sagemaker", endpoint_url="http://127.0.0.1:5100", config=Config(retries={"max_attempts": 0}))

s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="data", Key="batch/x.csv", Body=b"1,2\n3,4\n")
role = "arn:aws:iam::111122223333:role/Serve"
sm.create_model(ModelName="m", PrimaryContainer={"Image": "model"}, ExecutionRoleArn=role, EnableNetworkIsolation=True)
job = {
    "TransformJobName": "batch",
    "ModelName": "m",
    "MaxConcurrentTransforms": 2,
    "BatchStrategy": "SingleRecord",
    "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/batch/"}}, "SplitType": "Line"},
    "TransformOutput": {"S3OutputPath": "s3://results/batch/", "AssembleWith": "None"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "Tags": [{"Key": "team", "Value": "blue"}],
}
fails("ValidationException", "Could not find model", sm.create_transform_job, **{**job, "ModelName": "none"})
fails("ResourceNotFound", "there is no transform job", sm.describe_transform_job, TransformJobName="batch")
arn = sm.create_transform_job(**job)["TransformJobArn"]
assert arn == "arn:aws:sagemaker:eu-west-1:111122223333:transform-job/batch", arn
fails("ResourceInUse", "batch exists", sm.create_transform_job, **job)
sm.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="batch", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
described = sm.describe_transform_job(TransformJobName="batch")
assert described["TransformJobStatus"] == "Completed" and described["ModelName"] == "m", described
assert [one["TransformJobName"] for one in sm.list_transform_jobs(StatusEquals="Completed")["TransformJobSummaries"]] == ["batch"]
assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
text = s3.get_object(Bucket="results", Key="batch/x.csv.out")["Body"].read().decode().splitlines()
assert [line for line in text if line.startswith("body")] == ["body 1,2", "body 3,4"], text
assert "batch SINGLE_RECORD" in text and not [line for line in text if line.startswith("reached")], text
logs, group = boto3.client("logs", endpoint_url="http://127.0.0.1:5100"), "/aws/sagemaker/TransformJobs"
streams = [one["logStreamName"] for one in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="batch/")["logStreams"]]
assert len(streams) == 1 and streams[0].startswith("batch/model-"), streams
assert logs.get_log_events(logGroupName=group, logStreamName=streams[0])["events"][0]["message"] == "listening"
fails("ResourceNotFoundException", "log group", logs.describe_log_streams, logGroupName="/aws/sagemaker/Endpoints/batch")
fails("ValidationException", "cannot be stopped", sm.stop_transform_job, TransformJobName="batch")
print("done")
