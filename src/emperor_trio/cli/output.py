"""How answers reach stdout. Whatever goes wrong there is one clear line, or silence where the reader left."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from emperor_trio.errors import EmperorError


def print_text(text: str) -> None:
    """To stdout, with a question mark for each character that its encoding lacks.

    Raises BrokenPipeError where nobody reads it any more, :class:`~emperor_trio.errors.EmperorError` where it can't be
    written for another reason.
    """
    stream = stdout()
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except OSError as error:
        # What could not be written is still there, and Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise EmperorError(f"the answer can't be written to stdout: {error.strerror}") from error


def stdout() -> TextIO:
    """Raises :class:`~emperor_trio.errors.EmperorError` where it is closed."""
    if sys.stdout is None:
        raise EmperorError("the answer can't be written: stdout is closed")
    return sys.stdout
