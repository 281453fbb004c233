# Who may call: a wrong key, a wrong secret, another time, a changed body, another service, a session token; and boto3 as it is.
import datetime, sys, boto3, botocore.auth, botocore.awsrequest, botocore.credentials, http.client, urllib.parse
from botocore.config import Config
from botocore.exceptions import ClientError

url = sys.argv[1]
KEY, SECRET = "AKIATEST", "a secret of the tests"


def models(key=KEY, secret=SECRET, **more):
    client = boto3.client("sagemaker", endpoint_url=url, region_name="eu-west-1", aws_access_key_id=key, aws_secret_access_key=secret,
                          config=Config(retries={"max_attempts": 0}), **more)
    return client.list_models()


def denied(kind, **arguments):
    try:
        models(**arguments)
    except ClientError as error:
        found = error.response["Error"]
        assert found["Code"] == kind and SECRET not in found["Message"], found
        return
    raise AssertionError(f"{kind} was expected")


assert models()["Models"] == []
denied("UnrecognizedClientException", key="AKIAOTHER")
denied("InvalidSignatureException", secret="another secret of the tests")
denied("UnrecognizedClientException", aws_session_token="token")


def signed(body=b"{}", minutes=0, service="sagemaker", target="SageMaker.ListModels"):
    request = botocore.awsrequest.AWSRequest("POST", url + "/", data=body, headers={
        "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target})
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    botocore.auth.get_current_datetime = lambda *_, **__: now.replace(tzinfo=None)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(KEY, SECRET), service, "eu-west-1").add_auth(request)
    return dict(request.headers)


def send(headers, body=b"{}", path="/"):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def refused(text, headers, **arguments):
    status, body = send(headers, **arguments)
    assert status >= 400 and text in body, (status, body)


assert send(signed())[0] == 200
assert send(signed(minutes=14))[0] == 200
assert send(signed(minutes=-14))[0] == 200
refused("15 minutes", signed(minutes=16))
refused("15 minutes", signed(minutes=-16))
refused("does not match", signed(), body=b'{"MaxResults": 1}')
refused("does not match", {**signed(), "X-Amz-Target": "SageMaker.ListEndpoints"})
refused("does not match", {**signed(), "Content-Type": "text/plain"})
refused("is not signed", {**signed(), "X-Amz-More": "1"})
refused("is signed for logs", signed(service="logs"))
refused("is signed for sagemaker", signed(target="Logs_20140328.DescribeLogStreams"))
refused("the request is not signed", {"X-Amz-Target": "SageMaker.ListModels"})
refused("query strings", signed(), path="/?X-Amz-Signature=1")
refused("there is no such operation", signed(), path="/other")
print("done")
