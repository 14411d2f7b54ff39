"""What went wrong, in words for people: the system's own, without numbers and what else is for programs. Pure."""

from __future__ import annotations

import os
import re
import socket
import ssl

_NUMBER = re.compile(r"\[Errno -?\d+\] ?")


def explain(error: BaseException) -> str:
    """The words for the reason of a failed or broken connection, from below what is wrapped around it."""
    match error:
        case BaseExceptionGroup():
            return "; ".join(dict.fromkeys(explain(inner) for inner in error.exceptions))
        case _ if error.__cause__ is not None:
            return explain(error.__cause__)
        case socket.gaierror():
            return f"its name can't be resolved: {error.strerror}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted: {error.verify_message}"
        case OSError() if not isinstance(error, ssl.SSLError) and (error.errno or 0) > 0:
            return os.strerror(error.errno or 0)  # what Trio makes of it names addresses as Python has them
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return without_numbers(str(error)) or type(error).__name__


def without_numbers(text: str) -> str:
    """A text without each ``[Errno N]``."""
    return _NUMBER.sub("", text)
