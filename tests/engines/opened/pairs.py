# Talks over TCP and UDP to each host that is named, 4000 bytes by a datagram: more than fits into one packet. One line
# for each pair that talks.
import http.client, socket, sys

for host in sys.argv[1:]:
    try:
        tcp = http.client.HTTPConnection(host, 8080, timeout=5)
        tcp.request("POST", "/invocations", b"x" * 100_000)
        assert tcp.getresponse().read() == b"X" * 100_000
        print("tcp", host)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.settimeout(5)
        udp.sendto(b"x" * 4000, (host, 9000))
        assert udp.recv(5000) == b"x" * 4000
        print("udp", host)
    except OSError as error:
        print("error", host, error)
