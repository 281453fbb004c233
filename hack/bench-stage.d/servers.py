"""The servers of hack/bench-stage: nginx, which answers LIST with static documents, and s3s-fs, to which is written."""

import json, os, pathlib, random, socket, subprocess, sys, time

PAGE = 1000  # Keys in an answer to LIST.
MTIME = 1_700_000_000


def free():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def wait(port):
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    sys.exit("hack/bench-stage: a server does not start")


class Servers:
    def __init__(self, place, cache):
        self.place, self.data, self.loads = place, place / "data", {}
        self.http, self.https, self.writes = free(), free(), free()
        self.certificate()
        self.configure()
        self.settings("http", f"http://127.0.0.1:{self.http}")
        self.settings("https", f"https://localhost:{self.https}")
        self.settings("writes", f"http://127.0.0.1:{self.writes}")
        self.data.mkdir()
        self.fresh_bucket()
        nginx = [cache / "nginx/usr/sbin/nginx", "-e", place / "error.log", "-c", place / "nginx.conf"]
        s3s = [next(cache.glob("s3s-fs-*/bin/s3s-fs")), "--host", "127.0.0.1", "--port", str(self.writes), "--access-key", "key", "--secret-key", "secret"]
        self.running = [
            subprocess.Popen(nginx),
            subprocess.Popen([*s3s, place / "written"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        ]
        wait(self.http), wait(self.writes)

    def stop(self):
        for server in self.running:
            server.terminate()
            server.wait()

    def processor(self):
        """The processor seconds of the servers until now."""
        seconds = 0
        for server in self.running:
            children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            for process in [server.pid, *children]:
                fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return seconds

    def load(self, bucket, count, size):
        """A bucket of so many objects of this size."""
        (self.data / bucket / "t").mkdir(parents=True)
        self.loads[bucket] = (count, size)
        contents = []
        for number in range(count):
            file = self.data / bucket / "t" / f"{number:06}"
            # In pieces: the memory of this process would count as that of those that it starts.
            with open(file, "wb") as content:
                for begin in range(0, size, 1 << 16):
                    content.write(random.randbytes(min(1 << 16, size - begin)))
            os.utime(file, (MTIME, MTIME))
            # The ETag that nginx computes.
            contents.append(
                f"<Contents><Key>t/{number:06}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{MTIME:x}-{size:x}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
            if len(contents) == PAGE or number + 1 == count:
                self.page(bucket, number // PAGE, contents, is_last=number + 1 == count)
                contents = []
        for mode in ("File", "Pipe"):
            self.request(bucket, mode)

    def page(self, bucket, number, contents, is_last):
        more = "" if is_last else f"<NextContinuationToken>{number + 1}</NextContinuationToken>"
        (self.data / f"{bucket}-{number}.xml").write_text(
            f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><Prefix>t/</Prefix>'
            f"<KeyCount>{len(contents)}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{str(not is_last).lower()}</IsTruncated>{more}"
            + "".join(contents) + "</ListBucketResult>"
        )

    def request(self, bucket, mode):
        (self.place / f"{bucket}{mode}.json").write_text(json.dumps({
            "TrainingJobName": bucket,
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": mode},
            "RoleArn": "arn:aws:iam::111122223333:role/Bench",
            "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/t/"}}}],
            "OutputDataConfig": {"S3OutputPath": "s3://results/ours", "CompressionType": "NONE"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            "EnableNetworkIsolation": True,
        }))

    def fresh_bucket(self):
        """An empty bucket to which is written."""
        subprocess.run(["rm", "-rf", self.place / "written/results"], check=True)
        (self.place / "written/results").mkdir(parents=True)

    def settings(self, name, endpoint):
        text = f'[s3]\nendpoint = "{endpoint}"\nregion = "us-east-1"\naddressing = "path"\n[role]\nassume = false\n'
        if endpoint.startswith("https"):
            text = text.replace("[role]", f'ca-bundle = "{self.place}/ca.pem"\n[role]')
        (self.place / f"{name}.toml").write_text(text)

    def certificate(self):
        def openssl(*words):
            subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.place)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
        openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem")
        (self.place / "names").write_text("subjectAltName=DNS:localhost")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "certificate.pem")

    def configure(self):
        place = self.place
        (place / "nginx.conf").write_text(f"""
worker_processes 2; daemon off; pid {place}/pid; error_log {place}/error.log; user root;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
    client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
    map $args $page {{ "~continuation-token=(?<token>[0-9]+)" $token; default 0; }}
    server {{
        listen 127.0.0.1:{self.http}; listen 127.0.0.1:{self.https} ssl;
        ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem;
        root {self.data};
        location ~ ^/(?<bucket>[a-z0-9]+)/?$ {{ default_type application/xml; try_files /$bucket-$page.xml =404; }}
    }}
}}
""")
