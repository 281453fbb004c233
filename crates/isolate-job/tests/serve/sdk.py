# SageMaker's Python SDK, unmodified: an Estimator is fitted, tuned, deployed and asked. It finds the services by variables.
import boto3, os, sagemaker
from sagemaker.deserializers import StringDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import CSVSerializer
from sagemaker.tuner import HyperparameterTuner, IntegerParameter

s3 = boto3.client("s3")
s3.create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="data", Key="train/x.csv", Body=b"1,2,3\n")
estimator = Estimator(
    image_uri="model",
    role="arn:aws:iam::111122223333:role/Train",
    instance_count=1,
    instance_type="ml.m5.large",
    volume_size=1,
    output_path="s3://results/out",
    enable_network_isolation=True,
    hyperparameters={"epochs": 3},
    sagemaker_session=sagemaker.Session(default_bucket="results"),
)
estimator.fit({"train": "s3://data/train/"})
assert estimator.model_data.endswith("/output/model.tar.gz"), estimator.model_data
ranges = {"x": IntegerParameter(10, 99)}
metrics = [{"Name": "score", "Regex": "score=([0-9]+)"}]
tuner = HyperparameterTuner(estimator, "score", ranges, metrics, strategy="Random", max_jobs=3, max_parallel_jobs=2)
tuner.fit({"train": "s3://data/train/"})
best = boto3.client("sagemaker").describe_training_job(TrainingJobName=tuner.best_training_job())
assert best["HyperParameters"]["epochs"] == "3" and best["FinalMetricDataList"][0]["Value"] == float(best["HyperParameters"]["x"]), best
predictor = estimator.deploy(1, "ml.m5.large", serializer=CSVSerializer(), deserializer=StringDeserializer())
answer = predictor.predict([4, 5, 6]).splitlines()
assert answer[:2] == ["weights 1,2,3", "body 4,5,6"] and answer[3:] == ["secrets 0"], answer
predictor.delete_model()
predictor.delete_endpoint()
print("done")
