import contextlib

import pytest
from botocore.exceptions import ClientError


@contextlib.contextmanager
def refused(code, status=None, says=None):
    """The call inside must be refused with this error code."""
    with pytest.raises(ClientError) as caught:
        yield
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer["Error"]
    if status is not None:
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    if says is not None:
        assert says in answer["Error"]["Message"], answer["Error"]
