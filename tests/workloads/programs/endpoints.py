# What hands out credentials on a platform, all on this machine: the agent of ECS, instance metadata, and STS.
import http.server
import json
import threading

PLANTED = json.load(open("/planted/handed-out"))
STS = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class Endpoint(http.server.BaseHTTPRequestHandler):
    def answer(self, text, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        # The lifetime of a metadata token.
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        role = self.path.endswith("/security-credentials/")
        self.answer("role" if role else json.dumps(PLANTED))

    def do_PUT(self):
        self.answer("token", "text/plain")

    def do_POST(self):
        self.answer(STS.format(**PLANTED), "text/xml")

    def log_message(self, *_):
        pass


for port in [80, 8000]:
    server = http.server.ThreadingHTTPServer(("", port), Endpoint)
    threading.Thread(target=server.serve_forever).start()
open("/tmp/listening", "w").close()
