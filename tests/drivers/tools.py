"""Programs of the system that tests use. Without one a test is skipped, or fails where all must be there, as on CI."""

import os
import shutil

import pytest

PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "mount": "mount",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "umount": "mount",
    "unshare": "util-linux",
}
"""Program to Debian package; `.ci/run` installs them."""
REQUIRED = "CHECK_REQUIRES_TOOLS"


def need_tools(*programs: str) -> None:
    """Skip the test that asks, with the reason, unless they are there; fail it where nothing may be missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        text = ", ".join(f"{program} is missing (Debian package {PACKAGES[program]})" for program in missing)
        if os.environ.get(REQUIRED):
            pytest.fail(text)
        pytest.skip(text)
