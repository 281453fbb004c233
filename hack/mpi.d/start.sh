#!/bin/bash
# Open MPI as SageMaker's training toolkit runs it: an ssh server on each host, mpirun on the first. The others wait for its end.
set -euo pipefail
mapfile -t hosts < <(python3 -c 'import json; print(*json.load(open("/opt/ml/input/config/resourceconfig.json"))["hosts"], sep="\n")')
interface=$(python3 -c 'import json; print(json.load(open("/opt/ml/input/config/resourceconfig.json"))["network_interface_name"])')
mkdir -p /run/sshd
/usr/sbin/sshd
if [ "$(hostname)" != "${hosts[0]}" ]; then
    until [ -e /tmp/ended ]; do sleep 0.1; done
    # A container that ends before the first host has closed its ssh connection would fail the ssh there.
    while grep -q ':0016 [0-9A-F]*:[0-9A-F]* 01 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done
    exit
fi
for host in "${hosts[@]}"; do
    until ssh "$host" true 2>/dev/null; do sleep 0.1; done
done
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpirun --host "$(IFS=,; echo "${hosts[*]}")" --mca btl_tcp_if_include "$interface" --mca oob_tcp_if_include "$interface" \
    python3 /opt/ml/input/data/code/reduce.py
for host in "${hosts[@]:1}"; do ssh "$host" touch /tmp/ended; done
