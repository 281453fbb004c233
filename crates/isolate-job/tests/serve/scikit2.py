# SageMaker's Python SDK 2, unmodified, with a container of one's own.
import boto3, sagemaker
from sagemaker.deserializers import StringDeserializer
from sagemaker.estimator import Estimator
from sagemaker.serializers import CSVSerializer

estimator = Estimator(
    image_uri="scikit",
    role="arn:aws:iam::111122223333:role/Train",
    instance_count=1,
    instance_type="ml.m5.large",
    volume_size=1,
    output_path="s3://results",
    enable_network_isolation=True,
    hyperparameters={"max_leaf_nodes": 5},
    sagemaker_session=sagemaker.Session(default_bucket="results"),
)
estimator.fit({"training": "s3://data/iris/"})
predictor = estimator.deploy(1, "ml.m5.large", serializer=CSVSerializer(), deserializer=StringDeserializer())
assert predictor.predict([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]).split() == ["setosa", "virginica"]
# What the SDK sends is an ordinary request.
answer = boto3.client("sagemaker-runtime").invoke_endpoint(EndpointName=predictor.endpoint_name, ContentType="text/csv", Body=b"5.1,3.5,1.4,0.2")
assert answer["Body"].read() == b"setosa\n"

s3 = boto3.client("s3")
s3.put_object(Bucket="data", Key="batch/rows.csv", Body=b"5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n")
transformer = estimator.transformer(1, "ml.m5.large", output_path="s3://results/batch")
# With the log of the transform job, until its end.
transformer.transform("s3://data/batch/", content_type="text/csv", split_type="Line", wait=True, logs=True)
assert s3.get_object(Bucket="results", Key="batch/rows.csv.out")["Body"].read() == b"setosa\nvirginica\n"
predictor.delete_model()
predictor.delete_endpoint()
print("done")
