"""Prints where canaries are found: `process PLACE COMMAND-LINE` and `file PATH`, a line each.

search.py WORD,WORD... DIRECTORY...    each WORD is a canary, backwards: so that no command line of the search has one
"""

import os
import re
import stat
import sys

CANARIES = [word[::-1].encode() for word in sys.argv[1].split(",")]
CHUNK = 16 << 20
OVERLAP = max(map(len, CANARIES))


def has(content):
    return any(canary in content for canary in CANARIES)


def in_file(path):
    last = b""
    with open(path, "rb", 0) as file:
        while chunk := file.read(CHUNK):
            if has(last + chunk):
                return True
            last = chunk[-OVERLAP:]
    return False


def in_memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end, right, name = re.match(r"(\w+)-(\w+) (.)\S+ \S+ \S+ \S+ *(.*)", line).groups()
            if right != "r" or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            at, end, last = int(start, 16), int(end, 16), b""
            while at < end:
                try:
                    memory.seek(at)
                    chunk = memory.read(min(CHUNK, end - at))
                except OSError:
                    break
                if not chunk:
                    break
                if has(last + chunk):
                    return True
                last = chunk[-OVERLAP:]
                at += len(chunk)
    return False


def in_descriptors(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        try:
            # Not os.path.isfile: a descriptor may be of a file without a name.
            if stat.S_ISREG(os.stat(path).st_mode) and in_file(path):
                return True
        except OSError:
            continue
    return False


def processes():
    # The newest first: a transfer may end soon.
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int, reverse=True):
        if int(pid) == os.getpid():
            continue
        places = {
            "environ": lambda: in_file(f"/proc/{pid}/environ"),
            "cmdline": lambda: in_file(f"/proc/{pid}/cmdline"),
            "memory": lambda: in_memory(pid),
            "descriptors": lambda: in_descriptors(pid),
        }
        for place, search in places.items():
            try:
                if search():
                    line = open(f"/proc/{pid}/cmdline", "rb").read().replace(b"\0", b" ")
                    print("process", place, line.decode(errors="replace").strip())
            except OSError:
                # It has ended, or is the kernel's.
                continue


def files(directory):
    for above, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(above, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode) and in_file(path):
                    print("file", path)
            except OSError:
                continue


processes()
for directory in sys.argv[2:]:
    files(directory)
