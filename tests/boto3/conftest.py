import pytest

from double import Double


@pytest.fixture
def double(tmp_path):
    running = Double(tmp_path)
    yield running
    running.stop()
