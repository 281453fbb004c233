#!/usr/bin/python3
"""The container of hack/demo jobs. `train` fits a line to the data of its channel, `serve` predicts with it, `probe` does neither.
All three look for a way out, and tell what they found as JSON, without a value."""

import http.server
import json
import os
import pathlib
import socket
import statistics
import sys

ML = pathlib.Path("/opt/ml")


def answers(address, path):
    """Whether a web server answers."""
    try:
        with socket.create_connection((address[0], address[1]), timeout=3) as stream:
            stream.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return b" 200 " in stream.recv(64)
    except OSError:
        return False


def resolves(name):
    try:
        return bool(socket.getaddrinfo(name, 80, socket.AF_INET))
    except OSError:
        return False


def is_up(link):
    # IFF_UP; tunnel modules leave devices in every namespace that are down.
    return int((link / "flags").read_text(), 16) & 1


def probe():
    return {
        "tcp": answers(("203.0.113.7", 80), "/"),
        "dns": resolves("demo.example"),
        "metadata": answers(("169.254.169.254", 80), "/latest/meta-data/iam/security-credentials/"),
        "s3": answers(("198.51.100.2", 5000), "/data?list-type=2"),
        "secret": b"AWS_SECRET_ACCESS_KEY=" in pathlib.Path("/proc/1/environ").read_bytes(),
        "links": " ".join(sorted(link.name for link in pathlib.Path("/sys/class/net").iterdir() if is_up(link))),
    }


def train():
    files = sorted((ML / "input/data/train").iterdir())
    rows = [tuple(map(float, line.split(","))) for file in files for line in file.read_text().split()]
    line = statistics.linear_regression(*zip(*rows))
    (ML / "model/line.json").write_text(json.dumps({"slope": line.slope, "intercept": line.intercept}))
    (ML / "output/data/rows.txt").write_text(f"{len(rows)}\n")
    print(json.dumps({"files": len(files), "bytes": sum(file.stat().st_size for file in files), "probe": probe()}))


class Endpoint(http.server.BaseHTTPRequestHandler):
    """GET /ping, and POST /invocations: a line of CSV for each number, or the word `probe`."""

    def do_GET(self):
        self.reply(200 if self.path == "/ping" else 404, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if body == "probe":
            return self.reply(200, json.dumps(probe()))
        line = json.loads((ML / "model/line.json").read_text())
        predicted = [line["slope"] * float(x) + line["intercept"] for x in body.split()]
        self.reply(200, "".join(f"{y:.2f}\n" for y in predicted))

    def reply(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def main():
    name = pathlib.Path(sys.argv[0]).name
    if name == "train":
        train()
    elif name == "serve":
        http.server.HTTPServer(("", 8080), Endpoint).serve_forever()
    else:
        print(json.dumps(probe()))


if __name__ == "__main__":
    main()
