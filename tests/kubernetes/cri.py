"""A CRI client: what kubelet would ask a runtime.

cri.py SOCKET                 calls, one in each line of stdin: [METHOD, REQUEST] (proto3's mapping to JSON); each is answered
                              by a line, [RESPONSE] or the text of an error
cri.py SOCKET exec            a streaming exec, as `kubectl exec -i`: reads {"exec": ExecRequest, "stdin": "..."}
cri.py SOCKET port-forward    as `kubectl port-forward`: reads {"forward": PortForwardRequest, "send": "..."}

An error of a stream is its text on stderr and status 1.
"""

import json
import sys

import grpc
import websocket
from google.protobuf import json_format

import api_pb2 as api
import api_pb2_grpc as services

# kubelet's own limit for most calls is two minutes.
DEADLINE = 60


def call(channel, method, request):
    """One call, of whichever of the two services has it."""
    for service in services.RuntimeServiceStub(channel), services.ImageServiceStub(channel):
        if hasattr(service, method):
            message = getattr(api, api.DESCRIPTOR.services_by_name[type(service).__name__.removesuffix("Stub")]
                              .methods_by_name[method].input_type.name)
            return getattr(service, method)(json_format.ParseDict(request, message()), timeout=DEADLINE)
    raise SystemExit(f"the API has no {method}")


def stream(url, protocol):
    """The runtime's streaming server, to which the API server would connect."""
    return websocket.create_connection(
        url.replace("http://", "ws://"), subprotocols=[protocol], timeout=DEADLINE, suppress_origin=True)


def frames(socket):
    """Channel and payload of each frame until the other side ends."""
    try:
        while frame := socket.recv():
            frame = frame if isinstance(frame, bytes) else frame.encode()
            yield frame[0], frame[1:]
    except websocket.WebSocketConnectionClosedException:
        return


def execute(channel, asked):
    """Channels 0 to 3 are stdin, stdout, stderr and the status (v4.channel.k8s.io)."""
    socket = stream(call(channel, "Exec", asked["exec"]).url, "v4.channel.k8s.io")
    if "stdin" in asked:
        socket.send_binary(b"\0" + asked["stdin"].encode())
    status = {}
    for number, payload in frames(socket):
        if number == 3:
            status = json.loads(payload)
            break
        (sys.stdout if number == 1 else sys.stderr).write(payload.decode())
    if status.get("status") != "Success":
        causes = status.get("details", {}).get("causes", [])
        sys.exit(int(causes[0]["message"]) if causes else status.get("message", "the stream ended without a status"))


def forward(channel, asked):
    """Each port has a channel for data and one for errors; either begins with the port's number."""
    ports = "&".join(f"port={port}" for port in asked["forward"]["port"])
    url = call(channel, "PortForward", asked["forward"]).url
    socket = stream(f"{url}?{ports}", "v4.channel.k8s.io")
    socket.send_binary(b"\0" + asked["send"].encode())
    begun = set()
    for number, payload in frames(socket):
        if number not in begun:
            begun.add(number)
            payload = payload[2:]
        if number == 1 and payload:
            sys.exit(payload.decode())
        sys.stdout.write(payload.decode())


def calls(socket):
    """A channel for each, since a runtime that was restarted would be waited for on an old one."""
    for line in sys.stdin:
        method, request = json.loads(line)
        with grpc.insecure_channel(f"unix://{socket}") as channel:
            try:
                answer = [json_format.MessageToDict(call(channel, method, request))]
            except grpc.RpcError as error:
                answer = f"{error.code().name}: {error.details()}"
        print(json.dumps(answer), flush=True)


def main():
    if len(sys.argv) == 2:
        return calls(sys.argv[1])
    socket, method = sys.argv[1:]
    asked = json.load(sys.stdin)
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        try:
            {"exec": execute, "port-forward": forward}[method](channel, asked)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
