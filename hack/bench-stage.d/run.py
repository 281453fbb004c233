"""The rounds of hack/bench-stage."""

import argparse, json, os, pathlib, random, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

arguments = argparse.ArgumentParser(prog="hack/bench-stage")
arguments.add_argument("--rounds", type=int, default=9)
arguments.add_argument("--directory", type=pathlib.Path)
arguments.add_argument("--only", default="", help="cases with this in their names")
arguments.add_argument("--keep", action="store_true", help="leave the servers and files, for a profiler")
arguments.add_argument("--cache", type=pathlib.Path, required=True)
arguments.add_argument("--program", type=pathlib.Path, required=True)
arguments = arguments.parse_args()

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
place = pathlib.Path(tempfile.mkdtemp(dir=arguments.directory))
cache, program = arguments.cache.resolve(), arguments.program.resolve()
s5cmd = next(cache.glob("s5cmd-*/bin/s5cmd"))
s3s = next(cache.glob("s3s-fs-*/bin/s3s-fs"))
loads = {"small": (1000, 64 << 10), "large": (4, 64 << 20)}
environment = {
    "PATH": os.environ["PATH"],
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "SSL_CERT_FILE": str(place / "ca.pem"),
}


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


# What is read: files, and for each bucket the answer to its LIST, with the ETags that nginx computes.
data = place / "data"
for bucket, (count, size) in loads.items():
    (data / bucket / "t").mkdir(parents=True)
    contents = []
    for number in range(count):
        file = data / bucket / "t" / f"{number:04}"
        # In pieces: the memory of this process would count as that of those that it starts.
        with open(file, "wb") as content:
            for _ in range(size >> 16):
                content.write(random.randbytes(1 << 16))
        os.utime(file, (1_700_000_000, 1_700_000_000))
        etag = f"&quot;{1_700_000_000:x}-{size:x}&quot;"
        contents.append(
            f"<Contents><Key>t/{number:04}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{etag}</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
    (data / f"{bucket}.xml").write_text(
        f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
        f"<Prefix>t/</Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
        + "".join(contents)
        + "</ListBucketResult>"
    )
def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=place)


key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem")
(place / "names").write_text("subjectAltName=DNS:localhost")
openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names", "-out", "certificate.pem")
http, https, writes = free(), free(), free()
(place / "nginx.conf").write_text(f"""
worker_processes 2; daemon off; pid {place}/pid; error_log {place}/error.log; user root;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; default_type application/octet-stream;
    client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
    server {{
        listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;
        ssl_certificate {place}/certificate.pem; ssl_certificate_key {place}/key.pem;
        root {data};
        location ~ ^/(small|large)/?$ {{ default_type application/xml; try_files /$1.xml =404; }}
    }}
}}
""")
(place / "written" / "results").mkdir(parents=True)
servers = [
    subprocess.Popen([cache / "nginx/usr/sbin/nginx", "-e", place / "error.log", "-c", place / "nginx.conf"]),
    subprocess.Popen(
        [s3s, "--host", "127.0.0.1", "--port", str(writes), "--access-key", "key", "--secret-key", "secret", place / "written"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ),
]


def settings(name, endpoint):
    text = f'[s3]\nendpoint = "{endpoint}"\nregion = "us-east-1"\naddressing = "path"\n[role]\nassume = false\n'
    if endpoint.startswith("https"):
        text = text.replace("[role]", f'ca-bundle = "{place}/ca.pem"\n[role]')
    (place / f"{name}.toml").write_text(text)


settings("http", f"http://127.0.0.1:{http}")
settings("https", f"https://localhost:{https}")
settings("writes", f"http://127.0.0.1:{writes}")
for bucket, mode in [(bucket, mode) for bucket in loads for mode in ("File", "Pipe")]:
    (place / f"{bucket}{mode.removeprefix('File')}.json").write_text(json.dumps({
        "TrainingJobName": bucket,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": mode},
        "RoleArn": "arn:aws:iam::111122223333:role/Bench",
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/t/"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://results/ours", "CompressionType": "NONE"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "EnableNetworkIsolation": True,
    }))


def run(words):
    """Seconds, processor seconds and MB of a command."""
    output = open(place / "output", "w+b")
    begin = time.monotonic()
    child = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        output.seek(0)
        sys.exit(f"hack/bench-stage: {words}: {output.read().decode()[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def fresh(name):
    shutil.rmtree(place / name, ignore_errors=True)
    (place / name).mkdir()
    return place / name


def complete(directory, bucket):
    count, size = loads[bucket]
    found = [file.stat().st_size for file in directory.rglob("*") if file.is_file()]
    if found != [size] * count:
        sys.exit(f"hack/bench-stage: {directory} has {len(found)} files instead of {count}")


def synced(words):
    """The same, and its files on the disk, as isolate-job has them."""
    return ["sh", "-c", '"$@" && sync -f "$0"', place / "root", *words]


def s5(endpoint, *words):
    return [s5cmd, "--endpoint-url", endpoint, "--numworkers", "32", "--log", "error", "cp", *words]


def download(bucket, scheme):
    endpoint = f"http://127.0.0.1:{http}" if scheme == "http" else f"https://localhost:{https}"
    def ours():
        root = fresh("root")
        taken = run([program, "stage", "in", "--request", place / f"{bucket}.json", "--config", place / f"{scheme}.toml", "--root", root])
        complete(root / "input/data/train", bucket)
        return taken
    def theirs(then=lambda words: words):
        root = fresh("root")
        taken = run(then(s5(endpoint, "--concurrency", "8", "--part-size", "16", f"s3://{bucket}/t/*", f"{root}/")))
        complete(root, bucket)
        return taken
    def copy(then=lambda words: words):
        root = fresh("root")
        return run(then(["cp", "-r", data / bucket / "t", root]))
    tools = {"isolate-job": ours, "s5cmd": theirs, "s5cmd, sync": lambda: theirs(synced)}
    if scheme == "http":
        tools |= {"cp -r": copy, "cp -r, sync": lambda: copy(synced)}
    return tools


def stream(bucket):
    """All objects as one stream, from the start of the program to the end of what `cat` reads, which is not counted."""
    count, size = loads[bucket]
    def taken(words, read, **more):
        begin = time.monotonic()
        child = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, **more)
        found = int(read(child))
        seconds = time.monotonic() - begin
        if child.stdin:
            child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode or found != count * size:
            sys.exit(f"hack/bench-stage: {words}: {child.returncode}, {found} bytes")
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000
    def wc(**more):
        return subprocess.run(["sh", "-c", "cat | wc -c"], check=True, stdout=subprocess.PIPE, **more).stdout
    def ours():
        root = fresh("root")
        fifo = root / "input/data/train_0"
        def read(_):
            while not fifo.exists():
                time.sleep(0.002)
            with open(fifo, "rb") as opened:
                return wc(stdin=opened)
        words = [program, "stage", "stream", "--request", place / f"{bucket}Pipe.json", "--config", place / "http.toml", "--root", root]
        return taken(words, read, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    def theirs():
        words = [s5cmd, "--endpoint-url", f"http://127.0.0.1:{http}", "--log", "error", "cat", "--concurrency", "16", "--part-size", "5", f"s3://{bucket}/t/*"]
        return taken(words, lambda child: wc(stdin=child.stdout), stdout=subprocess.PIPE)
    return {"isolate-job": ours, "s5cmd cat": theirs}


def upload(bucket):
    def ours():
        root = fresh("root")
        shutil.copytree(data / bucket / "t", root / "model")
        shutil.rmtree(place / "written/results", ignore_errors=True)
        (place / "written/results").mkdir()
        taken = run([program, "stage", "out", "--step", "model", "--request", place / f"{bucket}.json", "--config", place / "writes.toml", "--root", root])
        complete(place / "written/results/ours", bucket)
        return taken
    def theirs():
        shutil.rmtree(place / "written/results", ignore_errors=True)
        (place / "written/results").mkdir()
        taken = run(s5(f"http://127.0.0.1:{writes}", "--concurrency", "8", "--part-size", "16", f"{data / bucket / 't'}/", "s3://results/theirs/"))
        complete(place / "written/results/theirs", bucket)
        return taken
    return {"isolate-job": ours, "s5cmd": theirs}


try:
    wait(http), wait(writes)
    if arguments.keep:
        print(place)
        signal.pause()
    cases = {
        "1000 x 64 KiB down": download("small", "http"),
        "4 x 64 MiB down": download("large", "http"),
        "1000 x 64 KiB down, TLS": download("small", "https"),
        "4 x 64 MiB down, TLS": download("large", "https"),
        "1000 x 64 KiB as a stream": stream("small"),
        "4 x 64 MiB as a stream": stream("large"),
        "1000 x 64 KiB up": upload("small"),
        "4 x 64 MiB up": upload("large"),
    }
    cases = {case: tools for case, tools in cases.items() if arguments.only in case}
    taken = {(case, tool): [] for case, tools in cases.items() for tool in tools}
    for _ in range(arguments.rounds):
        for case, tools in cases.items():
            for tool in random.sample(list(tools), len(tools)):
                taken[case, tool].append(tools[tool]())
    print("| | program | seconds (least) | of isolate-job's | processor | MB |\n|---|---|---|---|---|---|")
    for case, tools in cases.items():
        median = lambda tool, index: statistics.median(one[index] for one in taken[case, tool])
        for tool in tools:
            least = min(one[0] for one in taken[case, tool])
            ratio = median(tool, 0) / median("isolate-job", 0)
            print(f"| {case} | {tool} | {median(tool, 0):.2f} ({least:.2f}) | {ratio:.2f} | {median(tool, 1):.2f} | {median(tool, 2):.0f} |")
finally:
    for server in servers:
        server.terminate()
        server.wait()
    shutil.rmtree(place, ignore_errors=True)
