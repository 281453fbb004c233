"""The rounds of hack/bench-stage."""

import argparse, functools, os, pathlib, random, shutil, signal, statistics, subprocess, sys, tempfile, time

from servers import Servers

arguments = argparse.ArgumentParser(prog="hack/bench-stage")
arguments.add_argument("--rounds", type=int)
arguments.add_argument("--directory", type=pathlib.Path, help="where files are written; a temporary directory if absent")
arguments.add_argument("--file-system", help="write to a new file system of this kind, in an image in that directory")
arguments.add_argument("--only", default="", help="cases with this in their names")
arguments.add_argument("--limits", action="store_true", help="also the least programs that do the same work in the kernel")
arguments.add_argument("--growth", action="store_true", help="instead isolate-job alone with many and with large objects")
arguments.add_argument("--against", type=pathlib.Path, action="append", default=[], metavar="PROGRAM", help="also another build of isolate-job")
arguments.add_argument("--keep", action="store_true", help="leave the servers and files, for a profiler")
arguments.add_argument("--cache", type=pathlib.Path, required=True)
arguments.add_argument("--program", type=pathlib.Path, required=True)
arguments = arguments.parse_args()
rounds = arguments.rounds or (3 if arguments.growth else 9)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
outer = pathlib.Path(tempfile.mkdtemp(dir=arguments.directory))
place = outer / "place"
cache = arguments.cache.resolve()
# The first is the one that others are compared with.
programs = {"isolate-job": arguments.program.resolve()} | {str(other): other.resolve() for other in arguments.against}
s5cmd = next(cache.glob("s5cmd-*/bin/s5cmd"))
here = pathlib.Path(__file__).parent
environment = {
    "PATH": os.environ["PATH"],
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "SSL_CERT_FILE": str(place / "ca.pem"),
}
PART = 16 << 20


def shell(*words, **more):
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, **more).stdout.strip()


def mount(kind):
    """A file system of its own. That of the machine may have no journal; ext4 then looks at every file that was deleted in the last
    minutes before it creates one."""
    image = outer / "image"
    # Written once: the machine's own file system does not allocate it while others measure.
    size = "8192" if arguments.growth else "4096"
    shell("dd", "if=/dev/zero", f"of={image}", "bs=1M", f"count={size}", "oflag=direct", "status=none")
    now = ["-E", "lazy_itable_init=0,lazy_journal_init=0"] if kind == "ext4" else []
    shell(f"mkfs.{kind}", "-q", *now, image)
    device = shell("losetup", "--find", "--show", "--direct-io=on", image)
    try:
        shell("mount", device, place)
    finally:
        # It is freed with the mount.
        shell("losetup", "--detach", device)


def run(words):
    """Seconds, processor seconds, those of the servers, and MB of a command."""
    output = open(outer / "output", "w+b")
    before, begin = servers.processor(), time.monotonic()
    child = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        output.seek(0)
        sys.exit(f"hack/bench-stage: {words}: {output.read().decode()[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, servers.processor() - before, usage.ru_maxrss / 1000


def fresh():
    """An empty directory, and nothing that others wrote and that is not on the disk."""
    root = place / "root"
    subprocess.run(["rm", "-rf", root], check=True)
    root.mkdir()
    shell("sync", "-f", place)
    return root


def complete(directory, bucket):
    count, size = servers.loads[bucket]
    found = [file.stat().st_size for file in directory.rglob("*") if file.is_file()]
    if found != [size] * count:
        sys.exit(f"hack/bench-stage: {directory} has {len(found)} files instead of {count}")


def synced(words):
    """The same, and its files on the disk, as isolate-job has them."""
    return ["sh", "-c", '"$@" && sync -f "$0"', place / "root", *words]


def s5(endpoint, *words):
    return [s5cmd, "--endpoint-url", endpoint, "--numworkers", "32", "--log", "error", "cp", *words]


def own(ours):
    return {name: functools.partial(ours, program) for name, program in programs.items()}


def limit(kind, port, connections, *words):
    return [outer / "limit", kind, "127.0.0.1", str(port), str(connections), *words]


def from_list(words, file):
    return ["sh", "-c", '"$@" <"$0"', file, *words]


def download(bucket, scheme):
    endpoint = f"http://127.0.0.1:{servers.http}" if scheme == "http" else f"https://localhost:{servers.https}"
    def ours(program):
        root = fresh()
        taken = run([program, "stage", "in", "--request", place / f"{bucket}File.json", "--config", place / f"{scheme}.toml", "--root", root])
        complete(root / "input/data/train", bucket)
        return taken
    def theirs(then=lambda words: words):
        root = fresh()
        taken = run(then(s5(endpoint, "--concurrency", "8", "--part-size", "16", f"s3://{bucket}/t/*", f"{root}/")))
        complete(root, bucket)
        return taken
    def copy(then=lambda words: words):
        root = fresh()
        return run(then(["cp", "-r", servers.data / bucket / "t", root]))
    def least(*sync):
        root = fresh()
        count, size = servers.loads[bucket]
        (outer / "list").write_text("".join(
            f"GET /{bucket}/t/{number:06} {root}/{number:06} {begin} {min(PART, size - begin)}\n"
            for number in range(count) for begin in range(0, size, PART)
        ))
        taken = run(from_list(limit("GET", servers.http, 8, *sync), outer / "list"))
        complete(root, bucket)
        return taken
    tools = own(ours) | {"s5cmd": theirs, "s5cmd, sync": lambda: theirs(synced)}
    if scheme == "http":
        tools |= {"cp -r": copy, "cp -r, sync": lambda: copy(synced)}
        if arguments.limits:
            tools |= {"limit": least, "limit, sync": lambda: least("sync", place / "root")}
    return tools


def stream(bucket):
    """All objects as one stream, from the start of the program to the end of what `cat` reads, which is not counted."""
    count, size = servers.loads[bucket]
    def taken(words, read, **more):
        before, begin = servers.processor(), time.monotonic()
        child = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, **more)
        found = int(read(child))
        seconds = time.monotonic() - begin
        if child.stdin:
            child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode or found != count * size:
            sys.exit(f"hack/bench-stage: {words}: {child.returncode}, {found} bytes")
        return seconds, usage.ru_utime + usage.ru_stime, servers.processor() - before, usage.ru_maxrss / 1000
    def wc(**more):
        return subprocess.run(["sh", "-c", "cat | wc -c"], check=True, stdout=subprocess.PIPE, **more).stdout
    def ours(program):
        root = fresh()
        fifo = root / "input/data/train_0"
        def read(_):
            while not fifo.exists():
                time.sleep(0.002)
            with open(fifo, "rb") as opened:
                return wc(stdin=opened)
        words = [program, "stage", "stream", "--request", place / f"{bucket}Pipe.json", "--config", place / "http.toml", "--root", root]
        return taken(words, read, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    def theirs():
        words = [s5cmd, "--endpoint-url", f"http://127.0.0.1:{servers.http}", "--log", "error", "cat", "--concurrency", "16", "--part-size", "5", f"s3://{bucket}/t/*"]
        return taken(words, lambda child: wc(stdin=child.stdout), stdout=subprocess.PIPE)
    return own(ours) | {"s5cmd cat": theirs}


def upload(bucket):
    source, written = servers.data / bucket / "t", place / "written/results"
    endpoint = f"http://127.0.0.1:{servers.writes}"
    def ours(program):
        root = fresh()
        shutil.copytree(source, root / "model")
        servers.fresh_bucket()
        shell("sync", "-f", place)
        taken = run([program, "stage", "out", "--step", "model", "--request", place / f"{bucket}File.json", "--config", place / "writes.toml", "--root", root])
        complete(written / "ours", bucket)
        return taken
    def theirs():
        fresh(), servers.fresh_bucket()
        taken = run(s5(endpoint, "--concurrency", "8", "--part-size", "16", f"{source}/", "s3://results/theirs/"))
        complete(written / "theirs", bucket)
        return taken
    def least():
        fresh(), servers.fresh_bucket()
        python = next(cache.glob("moto-*/bin/python"))
        shell(python, here / "sign.py", endpoint, str(PART), source, outer, env=environment)
        words = limit("SEND", servers.writes, 32)
        taken = run(["sh", "-c", '"$@" <"$0/sent" && "$@" <"$0/completed"', outer, *words])
        complete(written / "limit", bucket)
        return taken
    return own(ours) | {"s5cmd": theirs} | ({"limit": least} if arguments.limits else {})


def cases():
    if not arguments.growth:
        for bucket, count, size in [("small", 1000, 64 << 10), ("large", 4, 64 << 20)]:
            servers.load(bucket, count, size)
        return {
            "1000 x 64 KiB down": download("small", "http"),
            "4 x 64 MiB down": download("large", "http"),
            "1000 x 64 KiB down, TLS": download("small", "https"),
            "4 x 64 MiB down, TLS": download("large", "https"),
            "1000 x 64 KiB as a stream": stream("small"),
            "4 x 64 MiB as a stream": stream("large"),
            "1000 x 64 KiB up": upload("small"),
            "4 x 64 MiB up": upload("large"),
        }
    grown = {}
    for count, size, text in [(1000, 1 << 10, "1 KiB"), (10_000, 1 << 10, "1 KiB"), (100_000, 1 << 10, "1 KiB"), (1, 64 << 20, "64 MiB"), (1, 1 << 30, "1 GiB")]:
        bucket = f"b{count}x{size}"
        down, up = f"{count:,} x {text} down", f"{count:,} x {text} up"
        if arguments.only in down or arguments.only in up:
            servers.load(bucket, count, size)
            grown[down] = {"isolate-job": download(bucket, "http")["isolate-job"]}
            # s3s-fs takes minutes for more.
            if count <= 10_000:
                grown[up] = {"isolate-job": upload(bucket)["isolate-job"]}
    return grown


def table(tools_of, taken):
    print("| | program | seconds (least) | of isolate-job's | processor | server's | MB |\n|---|---|---|---|---|---|---|")
    for case, tools in tools_of.items():
        median = lambda tool, index: statistics.median(one[index] for one in taken[case, tool])
        for tool in tools:
            least = min(one[0] for one in taken[case, tool])
            ratio = median(tool, 0) / median("isolate-job", 0)
            print(f"| {case} | {tool} | {median(tool, 0):.2f} ({least:.2f}) | {ratio:.2f} | {median(tool, 1):.2f} | {median(tool, 2):.2f} | {median(tool, 3):.0f} |")


servers = None
try:
    place.mkdir()
    if arguments.file_system:
        mount(arguments.file_system)
    if arguments.limits:
        shell("gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", outer / "limit", here / "limit.c")
    servers = Servers(place, cache)
    tools_of = {case: tools for case, tools in cases().items() if arguments.only in case}
    if arguments.keep:
        print(place, flush=True)
        signal.pause()
    taken = {(case, tool): [] for case, tools in tools_of.items() for tool in tools}
    for _ in range(rounds):
        for case, tools in tools_of.items():
            for tool in random.sample(list(tools), len(tools)):
                taken[case, tool].append(tools[tool]())
    table(tools_of, taken)
finally:
    if servers:
        servers.stop()
    if os.path.ismount(place):
        shell("umount", place)
    shutil.rmtree(outer, ignore_errors=True)
