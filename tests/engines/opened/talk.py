# Keeps one connection to a host, and says in a file how often it was answered there, or how it broke.
import http.client, sys, time

peer = http.client.HTTPConnection(sys.argv[1], 8080, timeout=5)
answers = 0
while True:
    try:
        peer.request("GET", "/ping")
        peer.getresponse().read()
        answers += 1
        said = f"{answers}\n"
    except Exception as error:
        said = f"broken after {answers}: {error}\n"
    with open(sys.argv[2], "w") as file:
        file.write(said)
    if said.startswith("broken"):
        break
    # A connection that was closed would silently be made again.
    peer.auto_open = 0
    time.sleep(0.02)
