"""The limit of descriptors, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from emperor_trio.processes import raise_descriptor_limit
before = resource.getrlimit(resource.RLIMIT_NOFILE)
print(before, raise_descriptor_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    command = ["prlimit", "--nofile=300:400", sys.executable, "-c", SCRIPT]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown == "(300, 400) 300 (400, 400)\n"
