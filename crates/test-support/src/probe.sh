#!/bin/bash
# Tries everything a container could reach, and says for each attempt how it ended and how long it took:
#     attempt <name> <exit status> <milliseconds> <last words>
# The first argument makes the names it asks DNS for its own. It is bash for /dev/tcp and /dev/udp, which go
# through glibc's getaddrinfo as most programs do (Debian's static busybox crashes there).
tag=${1:-probe}

attempt() {
    local name=$1 from=${EPOCHREALTIME/./} said status
    shift
    said=$("$@" 2>&1 </dev/null)
    status=$?
    echo "attempt $name $status $(((${EPOCHREALTIME/./} - from) / 1000)) ${said##*$'\n'}"
}

# A time limit for what hangs; bash has none of its own for connect().
limited() { timeout 4 bash -c "$@"; }

# An answer that is empty is asked for again: pasta loses one now and then, when the server hangs up at once.
get() {
    local try said status
    for try in 1 2 3 4 5; do
        said=$(limited 'exec 3<>"/dev/tcp/$0/80" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && grep outside <&3' "$1" 2>&1)
        status=$?
        [ $status = 0 ] || [ -n "$said" ] || continue
        break
    done
    echo "$said"
    return $status
}

echo_by_udp() {
    limited 'exec 3<>/dev/udp/203.0.113.7/7 && echo knock >&3 && timeout 2 head -n 1 <&3'
}

talk_to() {
    local listener try
    nc -l -p 7777 >/tmp/heard &
    listener=$!
    for try in {1..100}; do
        limited 'exec 3<>"/dev/tcp/$0/7777" && echo hello >&3' "$1" && break
        usleep 10000
    done
    [ "$try" = 100 ] || wait $listener
    kill $listener 2>/dev/null
    grep hello /tmp/heard
}

ip -o link show up | while IFS=': @' read -r _ link _; do echo "link $link"; done
tr '\0' '\n' </proc/1/environ | sed 's/^/environ /'
env | sed 's/^/own-environ /'
grep '^nameserver' /etc/resolv.conf
grep -E '^Cap(Eff|Bnd)' /proc/self/status | sed 's/^/cap /'

attempt tcp get 203.0.113.7
attempt udp echo_by_udp
attempt icmp ping -c 1 -W 2 203.0.113.7
attempt tcp6 get 2001:db8:a::7
attempt metadata get 169.254.169.254
attempt metadata6 get fd00:ec2::254
attempt credentials get 169.254.170.2
attempt resolver nslookup "$tag-direct.outside.example" 203.0.113.53
attempt nslookup nslookup "$tag-nslookup.outside.example"
attempt getaddrinfo get "$tag-libc.outside.example"
attempt loopback talk_to 127.0.0.1
attempt hostname talk_to "$(hostname)"
echo "done"
