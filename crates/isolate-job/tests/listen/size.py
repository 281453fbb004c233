# Bodies that are too long: by their length, and chunk by chunk.
import sys, boto3, http.client, urllib.parse, socket
import botocore.auth, botocore.awsrequest, botocore.credentials

url = sys.argv[1]


def signed(path, body, target):
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if target:
        headers["X-Amz-Target"] = target
    request = botocore.awsrequest.AWSRequest("POST", url + path, data=body, headers=headers)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials("AKIATEST", "a secret of the tests"), "sagemaker", "eu-west-1").add_auth(request)
    return dict(request.headers)


def status(path, size, target=None, chunked=False):
    body = b" " * size
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
    given = iter([body[at:at + 65536] for at in range(0, size, 65536)]) if chunked else body
    try:
        connection.request("POST", path, given, signed(path, body, target), encode_chunked=chunked)
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        return connection.getresponse().status
    except (ConnectionResetError, http.client.BadStatusLine):
        return "cut off"


for chunked in (False, True):
    # White space is no document, but one that is received.
    assert status("/", 4 << 20, "SageMaker.ListModels", chunked) == 400
    assert status("/", (4 << 20) + 1, "SageMaker.ListModels", chunked) in (413, "cut off")
    assert status("/endpoints/none/invocations", 6 << 20, None, chunked) == 400
    assert status("/endpoints/none/invocations", (6 << 20) + 1, None, chunked) in (413, "cut off")
print("done")
