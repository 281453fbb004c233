"""What jobs over several nodes cost, on a cluster that is up and has the DaemonSets (docs/kubernetes.md, "Jobs over several nodes").

It runs in the network of the fabric, where the API server is. All times are of one machine's monotonic clock.
"""

import argparse
import http.client
import json
import os
import queue
import re
import ssl
import statistics
import subprocess
import sys
import threading
import time

ALL = ["event", "come", "leave", "rest"]
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("state", help="the cluster's directory")
parser.add_argument("cluster", help="its script")
parser.add_argument("--members", type=int, default=100, help="of rest, on each node")
parser.add_argument("--seconds", type=int, default=60, help="of rest")
parser.add_argument("--way", action="append", help="of leave; all of them by default")
parser.add_argument("part", nargs="*", help=", ".join(ALL))
# Options may come between them.
arguments = parser.parse_intermixed_args()
STATE, CLUSTER, MEMBERS, REST = arguments.state, arguments.cluster, arguments.members, arguments.seconds
PARTS = arguments.part or ALL
NAMESPACE, JOB, IMAGE = "figures", "io.oci-isolate.job", "docker.io/library/busybox:stable"
EVENTS, COMERS, ROUNDS, EACH = 200, 10, 2, 10


class Api:
    """The API server, over one connection."""

    def __init__(self):
        self.token = next(line.split(",")[0] for line in open(f"{STATE}/pki/tokens.csv") if ",admin," in line)
        context = ssl.create_default_context(cafile=f"{STATE}/pki/ca.crt")
        self.connection = http.client.HTTPSConnection("127.0.0.1", 6443, context=context, timeout=60)

    def __call__(self, method, path, body=None, kind="application/json", fine=()):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        self.connection.request(method, path, body and json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300 and answer.status not in fine:
            sys.exit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


api = Api()
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def on(machine, *command):
    return subprocess.run([CLUSTER, "on", machine, *command], check=True, capture_output=True, text=True).stdout


def until(what, holds, patience=300):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if result := holds():
            return result
        time.sleep(0.05)
    sys.exit(f"{what} after {patience} s")


def member(name, job, node, script="while :; do sleep 1000 & wait $!; done", **spec):
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]} | spec.pop("container", {})
    spec = {"runtimeClassName": "oci-isolate", "nodeName": node, "restartPolicy": "Never", "containers": [container],
            "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}]} | spec
    annotations = {"io.oci-isolate.network-isolation": "true", JOB: job}
    metadata = {"name": name, "labels": {JOB: job}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def running(name):
    """The pod, once its container runs."""
    def look():
        pod = api("GET", f"{PODS}/{name}")
        states = pod["status"].get("containerStatuses", [])
        return pod if states and "running" in states[0]["state"] else None
    return until(f"{name} does not run", look)


def process(node, pod):
    """Of its container, as its node numbers it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    tasks = on(node, "ctr", "--namespace", "k8s.io", "tasks", "ls")
    return next(line.split()[1] for line in tasks.splitlines() if line.startswith(container))


class Monitor:
    """What comes into the peers of a pod, and what leaves them."""

    def __init__(self, node, pid):
        command = [CLUSTER, "on", node, "nsenter", "--net", "--target", pid, "nft", "monitor"]
        self.nft = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        time.sleep(1)

    def read(self):
        for line in self.nft.stdout:
            now = time.monotonic()
            if " element " in line:
                for address in re.findall(r"[0-9]+(?:\.[0-9]+){3}", line):
                    self.events.put((line.split()[0], address, now))

    def wait(self, kind, address):
        while True:
            seen, of, at = self.events.get(timeout=120)
            if (seen, of) == (kind, address):
                return at

    def end(self):
        self.nft.kill()


def looker(job, node):
    api("POST", PODS, member(f"{job}-looks", job, node))
    pod = running(f"{job}-looks")
    return pod, Monitor(node, process(node, pod))


def show(what, times):
    ordered = sorted(1000 * one for one in times)
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    print(f"{what}: p50 {p50:.0f} ms, p99 {p99:.0f} ms, {len(ordered)} times", flush=True)


def event():
    """From before a pod's address is written to the API server to the kernel of another node. The pods are none of a kubelet's."""
    elsewhere = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "elsewhere"}}
    api("POST", "/api/v1/nodes", elsewhere, fine=(409,))
    _, monitor = looker("event", "node1")
    times = []
    for number in range(EVENTS):
        address = f"10.89.{number // 250}.{number % 250 + 1}"
        pod = api("POST", PODS, member(f"event-{number}", "event", "elsewhere"))["metadata"]["name"]
        status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
        began = time.monotonic()
        api("PATCH", f"{PODS}/{pod}/status", status, "application/strategic-merge-patch+json")
        times.append(monitor.wait("add", address) - began)
    show("event to kernel, a member that comes", times)
    times = []
    for number in range(EVENTS):
        address = f"10.89.{number // 250}.{number % 250 + 1}"
        began = time.monotonic()
        api("DELETE", f"{PODS}/event-{number}", {"gracePeriodSeconds": 0})
        times.append(monitor.wait("delete", address) - began)
    show("event to kernel, a member that leaves", times)
    monitor.end()


def taken(address):
    return f"/proc/{open(f'{STATE}/node1.pid').read().strip()}/root/run/cni/pods/{address}"


def come():
    """From CNI ADD on one node to the kernel of the other, and to the first connection."""
    stays, monitor = looker("come", "node2")
    target = stays["status"]["podIP"]
    serve = [CLUSTER, "on", "node2", "nsenter", "--net", "--target", process("node2", stays),
             "busybox", "nc", "-ll", "-p", "7000", "-e", "true"]
    server = subprocess.Popen(serve)
    # /proc/uptime counts as the monotonic clock does, in hundredths.
    reach = f"until nc -w 1 {target} 7000 </dev/null 2>/dev/null; do sleep 0.02; done; cut -d' ' -f1 /proc/uptime; exec sleep 1000"
    known, connected = [], []
    skew = time.time() - time.monotonic()
    for number in range(COMERS):
        before = set(os.listdir(taken("")))
        api("POST", PODS, member(f"come-{number}", "come", "node1", reach))

        def added():
            new = [name for name in set(os.listdir(taken(""))) - before if name[0].isdigit()]
            return new and new[0]

        address = until("no address", added)
        began = os.stat(taken(address)).st_mtime - skew
        known.append(monitor.wait("add", address) - began)

        def log():
            pod = api("GET", f"{PODS}/come-{number}")
            state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
            if "running" not in state:
                return None
            said = subprocess.run([CLUSTER, "kubectl", "-n", NAMESPACE, "logs", f"come-{number}"], capture_output=True, text=True)
            return said.stdout.strip()

        connected.append(float(until("no connection", log)) - began)
        api("DELETE", f"{PODS}/come-{number}")
    show("CNI ADD to the kernel of the other node", known)
    show("CNI ADD to connected, with the start of the container", connected)
    server.kill()
    monitor.end()


def told(end, **spec):
    return dict(script=f"trap '{end}' USR1; while :; do sleep 1000 & wait $!; done", **spec)


def signal(pods):
    on("node1", "kill", "-USR1", *[process("node1", pod) for pod in pods])


def delete(pods):
    for pod in pods:
        api("DELETE", f"{PODS}/{pod['metadata']['name']}")


def evict(pods):
    for pod in pods:
        metadata = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
        api("POST", f"{PODS}/{metadata['name']}/eviction", {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": metadata})


def kill_sandboxes(pods):
    for pod in pods:
        labels = {"io.kubernetes.pod.name": pod["metadata"]["name"], "io.cri-containerd.kind": "sandbox"}
        of = ",".join(f'labels."{key}"=={value}' for key, value in labels.items())
        sandbox = on("node1", "ctr", "--namespace", "k8s.io", "containers", "ls", "--quiet", of).strip()
        on("node1", "ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "KILL", sandbox)


FULL = dict(volumes=[{"name": "full", "emptyDir": {"sizeLimit": "1Mi"}}],
            container={"volumeMounts": [{"name": "full", "mountPath": "/full"}]})
WAYS = {
    "deleted": (dict(), delete),
    "completed": (told("exit 0"), signal),
    "crashed": (told("exit 3"), signal),
    "out of memory": (told("exec tail /dev/zero", container={"resources": {"limits": {"memory": "64Mi"}}}), signal),
    "evicted by the API": (dict(), evict),
    "evicted by the node": (told("head -c 20000000 /dev/zero >/full/file", **FULL), signal),
    "sandbox killed": (dict(restartPolicy="Always"), kill_sandboxes),
}


def leave():
    """When a member is out of the other node's kernel, and when CNI has freed its address."""
    _, monitor = looker("leave", "node2")
    for way, (spec, act) in WAYS.items():
        if arguments.way and way not in arguments.way:
            continue
        margins, early = [], 0
        for turn in range(ROUNDS):
            names = [f"{way.replace(' ', '-').lower()}-{turn}-{number}" for number in range(EACH)]
            for name in names:
                api("POST", PODS, member(name, "leave", "node1", **spec))
            pods = [running(name) for name in names]
            addresses = [pod["status"]["podIP"] for pod in pods]
            for address in addresses:
                until("no address", lambda: os.path.exists(taken(address)))
            time.sleep(1)
            while not monitor.events.empty():
                monitor.events.get()
            act(pods)
            out, free, was_taken = {}, {}, set()
            end = time.monotonic() + 180
            while time.monotonic() < end and not (len(out) == len(free) == EACH):
                try:
                    kind, address, at = monitor.events.get(timeout=0.002)
                    if kind == "delete" and address in addresses:
                        out.setdefault(address, at)
                        if os.path.exists(taken(address)):
                            was_taken.add(address)
                except queue.Empty:
                    pass
                for address in addresses:
                    if address not in free and not os.path.exists(taken(address)):
                        free[address] = time.monotonic()
            early += len(was_taken)
            margins += [free[one] - out[one] for one in addresses if one in out and one in free]
            for name in names:
                api("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0}, fine=(404,))
        margin = f"from {1000 * min(margins):.0f} to {1000 * max(margins):.0f} ms before" if margins else "no margin"
        print(f"out before its address is free, {way}: {early} of {ROUNDS * EACH}, {margin}", flush=True)
    monitor.end()


def agents():
    """The processes of the agent on node1, by their command lines."""
    found = {}
    for pid in on("node1", "sh", "-c", "cd /proc; echo [0-9]*").split():
        try:
            line = on("node1", "cat", f"/proc/{pid}/cmdline").split("\0")
        except subprocess.CalledProcessError:
            continue
        if line[0].endswith("isolate-node"):
            found["watch"] = pid
        elif line[0].endswith("isolatectl") and "follow" in line:
            found["put"] = pid
    return found


def rest():
    """What the agent costs on a node with many members, and how long putting all of them takes."""
    for node in ("node1", "node2"):
        for number in range(MEMBERS):
            api("POST", PODS, member(f"rest-{node}-{number}", f"rest-{number % 10}", node))

    def count():
        pods = [one for one in api("GET", PODS)["items"] if one["metadata"]["name"].startswith("rest-")]
        return sum(one["status"].get("phase") == "Running" for one in pods)
    until("not all members run", lambda: count() == 2 * MEMBERS, 1800)
    time.sleep(10)
    records = len(on("node1", "isolatectl", "list").splitlines()) - 1
    put = "s=$(date +%s%N); isolatectl jobs put /run/oci-isolate-jobs/shared/jobs.json; echo $((($(date +%s%N) - s) / 1000000));"
    times = [int(one) for one in on("node1", "sh", "-c", 10 * put).split()]
    print(f"isolatectl jobs put, {records} records, nothing to change: median {statistics.median(times):.0f} ms of {len(times)}, "
          f"from {min(times)} to {max(times)} ms", flush=True)

    def ticks(pid):
        fields = on("node1", "cat", f"/proc/{pid}/stat").rsplit(")", 1)[1].split()
        return sum(int(one) for one in fields[11:15])
    found = agents()
    before = {name: ticks(pid) for name, pid in found.items()}
    time.sleep(REST)
    for name, pid in found.items():
        share = 100 * (ticks(pid) - before[name]) / os.sysconf("SC_CLK_TCK") / REST
        rss = re.search(r"VmRSS:\s+([0-9]+)", on("node1", "cat", f"/proc/{pid}/status")).group(1)
        print(f"{name} at rest, {MEMBERS} members here and {MEMBERS} elsewhere, {REST} s: {share:.2f} % of a core, {int(rss) / 1024:.1f} MiB", flush=True)


api("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, fine=(409,))
until("no service account", lambda: "secrets" in api("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default", fine=(404,)))
for part in PARTS:
    {"event": event, "come": come, "leave": leave, "rest": rest}[part]()
