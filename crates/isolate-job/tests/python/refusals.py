# What the programs of boto3 in these tests share.
from botocore.exceptions import ClientError


def fails(kind, text, call, **arguments):
    """The call is refused with an error of this kind, whose message has this text."""
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]
        assert found["Code"] == kind and text in found["Message"], found
        return error.response
    raise AssertionError(f"{kind} was expected")
