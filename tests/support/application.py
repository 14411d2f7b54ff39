"""A real web application under a real uWSGI, whose answer its config says: what a source's whole-daemon test serves."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from tests.system.empire import EmperorUnderTest, free_port, wait_until

SOURCE = """\
import uwsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [uwsgi.opt["answer"]]
"""


class Application:
    """One application of an emperor's, on a free port."""

    def __init__(self, emperor: EmperorUnderTest) -> None:
        self.port = free_port()
        self._emperor = emperor
        self.path: Path = emperor.folder / "application.py"
        self.path.write_text(SOURCE)

    def config(self, answer: str) -> str:
        """The ini config of a vassal that answers so."""
        return (
            f"[uwsgi]\nmaster = true\nhttp-socket = 127.0.0.1:{self.port}\n"
            f"wsgi-file = {self.path}\nanswer = {answer}\nneed-app = true\n"
        )

    def get(self) -> str:
        """What it answers now; "" where nobody does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def wait_for(self, answer: str) -> None:
        """Wait until it answers so."""
        wait_until(lambda: self.get() == answer, lambda: f"{self.get()!r}, not {answer}: {self._emperor.describe()}")
