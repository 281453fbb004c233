"""Unmodified SageMaker SDK 3 in local mode: v3.py COUNT; the last line is JSON.

It asks for network isolation, and cannot name a runtime."""

import json
import os
import sys
import tarfile

from sagemaker.core.training.configs import Compute, Networking, SourceCode
from sagemaker.train.model_trainer import Mode, ModelTrainer

root = os.path.join(os.environ["JOBS"], f"v3-{os.getpid()}")
os.mkdir(root)
environment = {name: os.environ[name] for name in ("NEIGHBOUR",) if name in os.environ}
trainer = ModelTrainer(
    training_image=os.environ["IMAGE"],
    training_mode=Mode.LOCAL_CONTAINER,
    source_code=SourceCode(command="train"),
    compute=Compute(instance_type="local_cpu", instance_count=int(sys.argv[1])),
    networking=Networking(enable_network_isolation=True),
    role="arn:aws:iam::123456789012:role/train",
    environment=environment,
    local_container_root=root,
)
trainer.train(wait=True)
with tarfile.open(f"{root}/compressed_artifacts/model.tar.gz") as archive:
    files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
    print("\n" + json.dumps({os.path.normpath(name): file.read().decode() for name, file in files.items()}))
