#!/usr/bin/python3
"""A training program: what it has and what it reaches, as a file in the model.

The hosts of a job serve a page to each other, and none ends before all have reached all."""

import json
import os
import socket
import sys
import threading
import time

STARTED = time.monotonic()
PORT = 7777
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def elapsed(act, deadline):
    """How long it takes from the start of the program until this works, in seconds; none if it never does."""
    while time.monotonic() - STARTED < deadline:
        try:
            act()
            return round(time.monotonic() - STARTED, 3)
        except OSError:
            time.sleep(0.02)


def attempt(address, port):
    """What comes of a connection."""
    try:
        socket.create_connection((address, port), 3).close()
        return "reached"
    except OSError as error:
        return type(error).__name__


def serve(visitors):
    listener = socket.create_server(("", PORT))
    while True:
        connection, _ = listener.accept()
        visitors.add(connection.recv(64).decode())
        connection.sendall(b"inside")
        connection.close()


def fetch(host, own):
    with socket.create_connection((host, PORT), 3) as connection:
        connection.sendall(own.encode())
        if connection.recv(64) != b"inside":
            raise OSError("another page")


def gateway():
    with open("/proc/net/route") as routes:
        for line in routes:
            fields = line.split()
            if fields[1] == "00000000":
                return socket.inet_ntoa(bytes.fromhex(fields[2])[::-1])


def main():
    with open("/opt/ml/input/config/resourceconfig.json") as file:
        config = json.load(file)
    own, hosts = config["current_host"], config["hosts"]
    # The very first act of a distributed program.
    names = {host: elapsed(lambda: socket.gethostbyname(host), 10) for host in hosts}
    visitors = set()
    threading.Thread(target=serve, args=(visitors,), daemon=True).start()
    # That every host has come and been met.
    met = {host: elapsed(lambda: fetch(host, own), 20) is not None for host in hosts}
    outside = {
        "internet": ("203.0.113.7", 80),
        "metadata": ("169.254.169.254", 80),
        "s3": ("198.51.100.2", 5000),
        "gateway": (gateway() or "172.18.0.1", 5000),
        "name": ("example.com", 80),
    }
    if "NEIGHBOUR" in os.environ:
        outside["neighbour"] = (os.environ["NEIGHBOUR"], 80)
    report = {
        "host": own,
        "links": sorted(os.listdir("/sys/class/net")),
        "secrets": [name for name in SECRETS if name in os.environ],
        "names": names,
        "met": met,
        "reached": {what: attempt(*where) for what, where in outside.items()},
    }
    with open(f"/opt/ml/model/{own}.json", "w") as file:
        json.dump(report, file)
    if "LEAK" in os.environ:
        os.symlink(os.environ["LEAK"], "/opt/ml/model/leak")
    deadline = time.monotonic() + 20
    while visitors != set(hosts) and time.monotonic() < deadline and all(met.values()):
        time.sleep(0.05)
    # Compose stops the others when the first one ends.
    if own != hosts[0]:
        time.sleep(600)
    time.sleep(1)


if __name__ == "__main__":
    main()
    sys.exit(0)
