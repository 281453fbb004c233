#!/bin/sh
# Starts containers one after the other; into each a veth is plumbed between create and start, as Docker 28
# does it. Says how many started.
#
# loop.sh RUNTIME BUNDLE WORKER COUNT
#   WORKER  a number from 1 to 99, for names and addresses
set -eu
runtime=$1 bundle=$2 worker=$3 count=$4
link=loop$worker
net=10.9.$worker
mac=02:00:00:00:00:$(printf %02d "$worker")
cp "$bundle/config.json" "$bundle/config.orig"

# The gateway's hardware address is known: otherwise the first packet would wait for ARP, which does not count.
cat >"$bundle/inside" <<END
addr add $net.2/24 dev eth0
link set eth0 up
neigh add $net.1 lladdr $mac dev eth0
route add default via $net.1
END

started=0
while [ $started -lt "$count" ]; do
    id=$link-$started
    cp "$bundle/config.orig" "$bundle/config.json"
    "$runtime" --root /run/loop create --bundle "$bundle" --pid-file "$bundle/pid" "$id" >>"$bundle/out" 2>&1
    read -r pid <"$bundle/pid" || [ -n "$pid" ]
    ip -batch - <<END
link add $link address $mac type veth peer name eth0 netns $pid
addr add $net.1/24 dev $link nodad
link set $link up
END
    nsenter --target "$pid" --net ip -batch "$bundle/inside"
    # Until the kernel has noticed the carrier it drops what is sent, which would pass for isolation.
    until read -r state <"/sys/class/net/$link/operstate" && [ "$state" = up ]; do :; done
    "$runtime" --root /run/loop start "$id" >>"$bundle/out" 2>&1
    while kill -0 "$pid" 2>/dev/null; do sleep 0.005; done
    "$runtime" --root /run/loop delete "$id" >>"$bundle/out" 2>&1
    # Gone with its other end, but for that the kernel takes its time.
    ip link del "$link" 2>/dev/null || true
    started=$((started + 1))
done
echo $started
