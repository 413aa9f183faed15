"""A log of bounded size."""

from pathlib import Path

import pytest

from opslab.store.logs import BoundedLog


@pytest.mark.parametrize("size", [0, 5, 10, 15, 20, 21, 5000])
def test_a_log_keeps_its_start_and_its_end(tmp_path: Path, size: int) -> None:
    data = bytes(ord("a") + n % 26 for n in range(size))
    log = BoundedLog(tmp_path / "log", kept_bytes=10)
    for start in range(0, size, 3):
        log.write(data[start : start + 3])
    log.close()
    kept = (tmp_path / "log").read_bytes()
    if size <= 20:
        assert kept == data
    else:
        assert kept == data[:10] + f"\n... {size - 20} bytes omitted ...\n".encode() + data[-10:]
