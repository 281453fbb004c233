# Waits for moto, and creates the bucket of the tests.
import boto3, time
from botocore.exceptions import EndpointConnectionError

s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:5000")
for attempt in range(300):
    try:
        s3.create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        break
    except EndpointConnectionError:
        time.sleep(0.1)
print("done")
