"""What all tests share: the compiled test vassal, and the rule that nothing is skipped in CI."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.vassal import Report, build_vassal

# A shell that runs the tests in the background has Ctrl-C ignored, in all that they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(scope="session")
def vassal_binary() -> Iterator[Path]:
    """The test vassal, where every user can execute it: pytest's own folders are closed to others at each start."""
    with tempfile.TemporaryDirectory(prefix="vassal-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield build_vassal(folder)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """An empty report that test vassals are to write into (``report = report.path``)."""
    return Report(tmp_path / "report.jsonl")


@pytest.fixture
def lingering() -> Iterator[socket.socket]:
    """A connection whose other end reads nothing: it takes 20 seconds to close the last descriptor of it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours = stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 20))
        yield ours


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: what it needs is to be installed there."""
    report = yield
    if not hasattr(report, "wasxfail"):
        fail_skipped_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for whole modules."""
    report = yield
    fail_skipped_in_ci(report)
    return report


def fail_skipped_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") == "true" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
