"""From the words behind a command to its exit code. Trio and the client are loaded only once the words are right."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

from emperor_trio.cli.exits import EXIT_INTERRUPTED, EXIT_OK
from emperor_trio.cli.help import width_and_colour
from emperor_trio.cli.output import print_text, stdout
from emperor_trio.cli.remote.flags import page_text, read_words
from emperor_trio.cli.remote.orders import ORDERS
from emperor_trio.cli.remote.pages import PAGES

COMMANDS = PAGES | {page.name: page for page in ORDERS}
"""Every command that talks to a running emperor: those that look, and those that order."""


def start(name: str, words: Sequence[str]) -> int:
    """Run one of :data:`COMMANDS`. Raises errors as ``cli.main`` expects them."""
    page = COMMANDS[name]
    given = read_words(page, words)
    if given is None:
        print_text(page_text(page, *width_and_colour(stdout(), os.environ)))
        return EXIT_OK
    try:
        code: int = import_module(f"emperor_trio.cli.remote.{page.module}").run(given)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code
