# A thousand requests, sixteen at a time.
import concurrent.futures, sys, boto3
from botocore.config import Config

client = boto3.client("sagemaker", endpoint_url=sys.argv[1], region_name="eu-west-1", aws_access_key_id="AKIATEST",
                      aws_secret_access_key="a secret of the tests", config=Config(retries={"max_attempts": 0}, max_pool_connections=16))


def one(index):
    name = f"m{index}"
    if index % 4 == 0:
        container = {"Image": "model:1"}
        client.create_model(ModelName=name, PrimaryContainer=container, EnableNetworkIsolation=True)
        assert client.describe_model(ModelName=name)["ModelName"] == name
        client.delete_model(ModelName=name)
        return 3
    return client.list_models()["ResponseMetadata"]["HTTPStatusCode"] == 200


with concurrent.futures.ThreadPoolExecutor(16) as pool:
    count = sum(pool.map(one, range(668)))
assert count == 167 * 3 + 501, count
assert client.list_models()["Models"] == []
print("done")
