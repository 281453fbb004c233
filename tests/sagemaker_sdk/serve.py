#!/usr/bin/python3
"""An inference program by SageMaker's contract, which answers with what it has and reaches."""

import http.server
import json
import os
import socket

SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def attempt(address, port):
    try:
        socket.create_connection((address, port), 3).close()
        return "reached"
    except OSError as error:
        return type(error).__name__


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        report = {
            "asked": asked.decode(),
            "model": sorted(os.listdir("/opt/ml/model")),
            "links": sorted(os.listdir("/sys/class/net")),
            "secrets": [name for name in SECRETS if name in os.environ],
            "reached": {
                "internet": attempt("203.0.113.7", 80),
                "metadata": attempt("169.254.169.254", 80),
                "s3": attempt("198.51.100.2", 5000),
                "name": attempt("example.com", 80),
            },
        }
        self.answer(json.dumps(report).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
