import pytest

from stand import Stand


@pytest.fixture
def stand(tmp_path):
    running = Stand(tmp_path)
    yield running
    running.stop()
