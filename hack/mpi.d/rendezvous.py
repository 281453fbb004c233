# A rendezvous as that of torchrun: every host connects by name to a port of the first one, which tells all of them who is there.
import json, socket, time

config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
hosts, own = config["hosts"], config["current_host"]
master = (hosts[0], 29500)


def join():
    """A connection to the first host, as soon as it listens."""
    while True:
        try:
            return socket.create_connection(master, 5)
        except ConnectionRefusedError:
            time.sleep(0.05)


listener = socket.create_server(master) if own == hosts[0] else None
store = join()
store.sendall(f"{own}\n".encode())
if listener:
    members = {}
    while len(members) < len(hosts):
        connection, _ = listener.accept()
        members[connection.makefile().readline().strip()] = connection
    for connection in members.values():
        connection.sendall(f"{' '.join(sorted(members))}\n".encode())
print("rank", hosts.index(own), "of", len(hosts), "met", store.makefile().readline().strip())
