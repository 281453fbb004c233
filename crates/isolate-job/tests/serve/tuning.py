# Tuning jobs by boto3: six training jobs, two at a time, and one that is stopped.
import boto3, io, tarfile, time
from botocore.config import Config
from refusals import fails

once = Config(retries={"max_attempts": 0})
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
sm = boto3.client("sagemaker", endpoint_url="http://127.0.0.1:5100", config=once)

s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="data", Key="train/x.csv", Body=b"1,2,3\n")
s3.put_object(Bucket="data", Key="endless/x.csv", Body=b"1,2,3\n")
s3.put_object(Bucket="data", Key="endless/wait", Body=b"1")


def tuning(name, prefix="train", strategy="Random", isolated=True):
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 6, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "10", "MaxValue": "99"}]},
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File",
                                       "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9]+)"}]},
            "RoleArn": "arn:aws:iam::111122223333:role/Train",
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": f"s3://data/{prefix}/"}}}],
            "OutputDataConfig": {"S3OutputPath": "s3://results/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 100},
            "EnableNetworkIsolation": isolated,
        },
        "Tags": [{"Key": "team", "Value": "blue"}],
    }


def ended(name):
    for _ in range(300):
        job = sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        if job["HyperParameterTuningJobStatus"] not in ("InProgress", "Stopping"):
            return job
        time.sleep(0.2)
    raise AssertionError(job)


arn = sm.create_hyper_parameter_tuning_job(**tuning("tune"))["HyperParameterTuningJobArn"]
assert arn == "arn:aws:sagemaker:eu-west-1:111122223333:hyper-parameter-tuning-job/tune", arn
fails("ResourceInUse", "tune exists", sm.create_hyper_parameter_tuning_job, **tuning("tune"))
fails("AccessDeniedException", "EnableNetworkIsolation", sm.create_hyper_parameter_tuning_job, **tuning("open", isolated=False))
fails("ValidationException", "Bayesian is not supported", sm.create_hyper_parameter_tuning_job, **tuning("bayes", strategy="Bayesian"))
fails("ResourceNotFound", "there is no tuning job", sm.describe_hyper_parameter_tuning_job, HyperParameterTuningJobName="other")
job = ended("tune")
assert job["HyperParameterTuningJobStatus"] == "Completed", job
assert job["TrainingJobStatusCounters"]["Completed"] == 6 and job["ObjectiveStatusCounters"]["Succeeded"] == 6, job
of = lambda **more: sm.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune", **more)
values = lambda jobs: [int(one["TunedHyperParameters"]["x"]) for one in jobs["TrainingJobSummaries"]]
tried = values(of())
best = job["BestTrainingJob"]
assert len(tried) == 6 and values(of(SortBy="FinalObjectiveMetricValue", SortOrder="Descending")) == sorted(tried, reverse=True), tried
assert best["FinalHyperParameterTuningJobObjectiveMetric"] == {"Type": "Maximize", "MetricName": "score", "Value": float(max(tried))}, best
assert best["TunedHyperParameters"] == {"x": str(max(tried))}, best
pages = of(MaxResults=4)
assert values(pages) + values(of(MaxResults=4, NextToken=pages["NextToken"])) == tried
listed = sm.list_hyper_parameter_tuning_jobs(StatusEquals="Completed")["HyperParameterTuningJobSummaries"]
assert [(one["HyperParameterTuningJobName"], one["Strategy"]) for one in listed] == [("tune", "Random")], listed
assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "blue"}]
described = sm.describe_training_job(TrainingJobName=best["TrainingJobName"])
assert described["TuningJobArn"] == arn and described["HyperParameters"]["x"] == str(max(tried)), described
key = f"out/{best['TrainingJobName']}/output/model.tar.gz"
archive = s3.get_object(Bucket="results", Key=key)["Body"].read()
assert tarfile.open(fileobj=io.BytesIO(archive)).extractfile("weights").read() == b"1,2,3\n"

sm.create_hyper_parameter_tuning_job(**tuning("endless", prefix="endless"))
while not sm.list_training_jobs(NameContains="endless-", StatusEquals="InProgress")["TrainingJobSummaries"]:
    time.sleep(0.2)
sm.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="endless")
job = ended("endless")
assert job["HyperParameterTuningJobStatus"] == "Stopped" and job["TrainingJobStatusCounters"]["Stopped"] >= 1, job
fails("ValidationException", "cannot be stopped", sm.stop_hyper_parameter_tuning_job, HyperParameterTuningJobName="endless")
print("done")
