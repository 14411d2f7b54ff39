"""``make run``: starts the emperor on ``examples/vassals``, waits until all four applications answer, says what to try.

The emperor gets a process group of its own and the terminal, so that Ctrl-C reaches it alone and this program leaves
with its exit code. Everything else, from spawning to reloading, is the emperor's own doing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
STATISTICS = "127.0.0.1:3030"
APPLICATIONS = {
    "werkzeug.xml": "http://127.0.0.1:3031/",
    "django.ini": "http://127.0.0.1:3032/",
    "hello.yml": "http://127.0.0.1:3033/",
    "time.json": "http://127.0.0.1:3034/",
}
PATIENCE = 30.0
"""Seconds until the applications are no longer waited for."""


def command() -> list[str]:
    """The emperor's command line. ``--binary-path``, because a ``uwsgi`` in PATH may have no Python in it."""
    vassals = os.path.relpath(EXAMPLES / "vassals")
    uwsgi = str(BIN / "uwsgi")
    emperor = str(BIN / "emperor-trio")
    return [emperor, "--emperor", vassals, "--binary-path", uwsgi, "--emperor-stats", STATISTICS, "--stats-http"]


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def ask(url: str) -> str | None:
    """The answer's body, or ``None`` while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - only the addresses above
            body: bytes = answer.read()
            return body.decode()
    except (OSError, urllib.error.URLError):
        return None


def wait_for_answers(emperor: subprocess.Popen[bytes]) -> dict[str, str]:
    """What each application answered; those that did not answer in time are missing."""
    answers: dict[str, str] = {}
    deadline = time.monotonic() + PATIENCE
    while len(answers) < len(APPLICATIONS) and emperor.poll() is None and time.monotonic() < deadline:
        for name, url in APPLICATIONS.items():
            if name not in answers and (answer := ask(url)) is not None:
                answers[name] = answer
        time.sleep(0.1)
    return answers


def explain(answers: dict[str, str]) -> None:
    vassals = os.path.relpath(EXAMPLES / "vassals")
    if missing := [name for name in APPLICATIONS if name not in answers]:
        say(
            "",
            f"No answer yet from {', '.join(missing)}: their own words are in {os.path.relpath(EXAMPLES / 'log')}/.",
            "",
        )
        return
    worker, master = [word for word in answers["hello.yml"].split() if word.isdigit()]
    hello = f"{vassals}/hello.yml"
    say(
        "",
        "All four answer:",
        *_columns({f"curl {url}": f"{vassals}/{name}" for name, url in APPLICATIONS.items()}),
        "Try, in another terminal, and watch this one:",
        *_columns(
            {
                f"touch {hello}": "reloaded in place, no request lost",
                f"kill -9 {worker}": "a worker of hello.yml: its master starts another",
                f"kill -9 {master}": "that master: the emperor starts another",
                f"mv {hello} /tmp/": "stopped; move it back and it is started",
                f"curl http://{STATISTICS}/": "the emperor's statistics",
            }
        ),
        "Ctrl-C stops everything.",
        "",
    )


def _columns(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows))
    return [f"  {typed:<{width}}   {meaning}" for typed, meaning in rows.items()]


def give_terminal(group: int) -> None:
    """Make a process group the terminal's foreground one. SIGTTOU is ignored: we may be in the background by then."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, group)


def attend(emperor: subprocess.Popen[bytes], foreground: bool) -> int:
    """Wait for the end; where Ctrl-Z stops the emperor, stop along with it, and go on along with it."""
    while emperor.returncode is None:
        _, status = os.waitpid(emperor.pid, os.WUNTRACED if foreground else 0)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        give_terminal(os.getpgrp())
        os.killpg(os.getpgrp(), signal.SIGSTOP)
        give_terminal(emperor.pid)
        emperor.send_signal(signal.SIGCONT)
    return emperor.returncode


def reign() -> int:
    foreground = os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    emperor = subprocess.Popen(command(), process_group=0)
    if foreground:
        give_terminal(emperor.pid)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: emperor.send_signal(received))
    signal.signal(signal.SIGHUP, lambda *_: emperor.terminate())  # the terminal is gone
    answers = wait_for_answers(emperor)
    if emperor.returncode is None:
        explain(answers)
    code = attend(emperor, foreground)
    if foreground:
        give_terminal(os.getpgrp())
    return code


def main() -> int:
    if taken := [url for url in (*APPLICATIONS.values(), f"http://{STATISTICS}/") if ask(url) is not None]:
        say(f"Something answers on {', '.join(taken)} already: is another `make run` still running?")
        return 1
    say(f"$ {' '.join(os.path.relpath(word) if word.startswith('/') else word for word in command())}")
    return reign()


if __name__ == "__main__":
    sys.exit(main())
