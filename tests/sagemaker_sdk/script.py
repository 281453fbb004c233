"""A training script for SageMaker's training toolkit, which waits for the names of all hosts before it starts this."""

import json
import os
import socket

own = os.environ["SM_CURRENT_HOST"]
names = {host: socket.gethostbyname(host) for host in json.loads(os.environ["SM_HOSTS"])}
with open(f"{os.environ['SM_MODEL_DIR']}/{own}.json", "w") as file:
    json.dump({"host": own, "names": names, "channels": json.loads(os.environ["SM_CHANNELS"])}, file)
if own != json.loads(os.environ["SM_HOSTS"])[0]:
    import time

    time.sleep(600)
