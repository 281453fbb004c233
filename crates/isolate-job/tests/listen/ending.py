# SIGTERM while a request is under way: it is answered, and nothing else is.
import os, signal, socket, sys, time, urllib.parse
import botocore.auth, botocore.awsrequest, botocore.credentials

url, pid = sys.argv[1], int(sys.argv[2])
where = urllib.parse.urlsplit(url)
body = b'{"MaxResults": 1}'
request = botocore.awsrequest.AWSRequest("POST", url + "/", data=body, headers={
    "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListModels", "Host": where.netloc})
botocore.auth.SigV4Auth(botocore.credentials.Credentials("AKIATEST", "a secret of the tests"), "sagemaker", "eu-west-1").add_auth(request)
head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())


def connect():
    return socket.create_connection((where.hostname, where.port), 60)


def ask(connection):
    """An answer, and nothing if the connection has ended."""
    try:
        connection.sendall(f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while b'{"Models":[]}' not in answer:
            part = connection.recv(4096)
            if not part:
                break
            answer += part
        return answer
    except ConnectionError:
        return b""


new, used, busy = connect(), connect(), connect()
assert ask(used).startswith(b"HTTP/1.1 200 ")
busy.sendall(f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
# It has the head, and waits for the body.
assert busy.recv(100).startswith(b"HTTP/1.1 100 "), "no 100"
os.kill(pid, signal.SIGTERM)
# A connection that is idle between two requests ends. If it did not, it would not end by its time limit, which begins anew with each of them,
# but with the process, and the request that is under way with it.
while ask(used):
    time.sleep(0.05)
assert new.recv(1) == b""
try:
    while connect().recv(1) == b"":
        time.sleep(0.05)
except ConnectionError:
    pass
busy.sendall(body)
answer = b""
while part := busy.recv(4096):
    answer += part
assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer and b'{"Models":[]}' in answer, answer
print("done")
