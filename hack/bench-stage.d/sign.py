"""sign.py ENDPOINT PART DIRECTORY LISTS: lists for `limit SEND`: what puts the files of a directory into the bucket `results`, in parts if they are
larger than one, and, in a second list, what completes these. Run by moto's Python, which has botocore."""

import hashlib, pathlib, sys

from botocore.config import Config
from botocore.session import Session

endpoint, part, directory = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
client = Session().create_client("s3", endpoint_url=endpoint, config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))


def line(method, operation, parameters, file, offset, length):
    url = client.generate_presigned_url(operation, Params={"Bucket": "results", **parameters}, HttpMethod=method)
    return f"{method} {url.removeprefix(endpoint)} {file} {offset} {length}\n"


sent, completed = [], []
for file in sorted(file for file in directory.iterdir() if file.is_file()):
    key, size = f"limit/{file.name}", file.stat().st_size
    if size <= part:
        sent.append(line("PUT", "put_object", {"Key": key}, file, 0, size))
        continue
    upload = client.create_multipart_upload(Bucket="results", Key=key)["UploadId"]
    text = ""
    with open(file, "rb") as content:
        for number, offset in enumerate(range(0, size, part), 1):
            of = {"Key": key, "UploadId": upload, "PartNumber": number}
            piece = content.read(part)
            sent.append(line("PUT", "upload_part", of, file, offset, len(piece)))
            text += f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{hashlib.md5(piece).hexdigest()}&quot;</ETag></Part>"
    document = pathlib.Path(sys.argv[4]) / f"{file.name}.xml"
    document.write_text(f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>")
    completed.append(line("POST", "complete_multipart_upload", {"Key": key, "UploadId": upload}, document, 0, document.stat().st_size))
(pathlib.Path(sys.argv[4]) / "sent").write_text("".join(sent))
(pathlib.Path(sys.argv[4]) / "completed").write_text("".join(completed))
