# A training job that outlives the listener, and an endpoint, by boto3.
import subprocess, time
import boto3
from botocore.config import Config

session = boto3.Session(aws_access_key_id="AKIATEST", aws_secret_access_key="a secret of the tests", region_name="eu-west-1")
# Neither the unit nor moto says when it listens.
patient = Config(retries={"max_attempts": 10, "mode": "standard"})
s3 = session.client("s3", endpoint_url="http://127.0.0.1:5000", config=patient)
sm = session.client("sagemaker", endpoint_url="http://127.0.0.1:5100", config=patient)
quick = {"Delay": 1, "MaxAttempts": 60}
role = "arn:aws:iam::111122223333:role/Train"
for bucket in ("data", "results"):
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="data", Key="train/x", Body=b"x\n")
sm.create_training_job(
    TrainingJobName="job",
    AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
    RoleArn=role,
    InputDataConfig=[{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train/"}}}],
    OutputDataConfig={"S3OutputPath": "s3://results"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 100},
    EnableNetworkIsolation=True,
)


def job():
    return sm.describe_training_job(TrainingJobName="job")


while job()["SecondaryStatus"] not in ("Training", "Failed"):
    time.sleep(0.2)
subprocess.run(["systemctl", "restart", "isolate-job"], check=True)
sm.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="job", WaiterConfig=quick)
assert job()["TrainingJobStatus"] == "Completed", job()
assert s3.head_object(Bucket="results", Key="job/output/model.tar.gz")["ContentLength"] > 0

model = {"Image": "image", "ModelDataUrl": "s3://results/job/output/model.tar.gz"}
sm.create_model(ModelName="model", PrimaryContainer=model, ExecutionRoleArn=role, EnableNetworkIsolation=True)
variant = {"VariantName": "one", "ModelName": "model", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
sm.create_endpoint_config(EndpointConfigName="config", ProductionVariants=[variant])
sm.create_endpoint(EndpointName="endpoint", EndpointConfigName="config")
sm.get_waiter("endpoint_in_service").wait(EndpointName="endpoint", WaiterConfig=quick)
subprocess.run(["isolatectl", "verify", "--all"], check=True)
sm.delete_endpoint(EndpointName="endpoint")
sm.get_waiter("endpoint_deleted").wait(EndpointName="endpoint", WaiterConfig=quick)
