"""Which monitor a ``--emperor X`` means. Monitors come by entry points, the built-in ones too, loaded when first named.

It knows no monitor by itself: a scheme is the name of an entry point in the group :data:`GROUP`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from emperor_trio.errors import DriverMissing, UsageError
from emperor_trio.masking import masked
from emperor_trio.model import config_option
from emperor_trio.monitors._patterns import has_wildcards
from emperor_trio.ports import MonitorFactory

GROUP = "emperor_trio.monitors"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HALF_A_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/?(.*)", re.DOTALL)

_FOREIGN = {
    "postgres": "pg", "postgresql": "pg", "psql": "pg", "mongo": "mongodb", "mongodb+srv": "mongodb",
    "rabbit": "amqp", "rabbitmq": "amqp", "zeromq": "zmq", "zk": "zoo", "zookeeper": "zoo", "file": "dir",
    "http": "", "https": "", "redis": "", "etcd": "", "consul": "", "mysql": "",
}  # fmt: skip
"""What others call it; "" is what there is no monitor for."""


@dataclass(frozen=True, slots=True)
class FoundMonitor:
    """``factory`` makes the monitor of a scheme; ``argument`` is what stands behind ``scheme://``."""

    scheme: str
    argument: str
    factory: MonitorFactory


def find_monitor(text: str, extra_extensions: frozenset[str] = frozenset()) -> FoundMonitor:
    """The monitor that the value of an ``--emperor`` means, its driver loaded.

    Raises :class:`~emperor_trio.errors.UsageError` for an unknown scheme, and
    :class:`~emperor_trio.errors.DriverMissing`, which says what to install.
    """
    scheme, argument = split_monitor(text, extra_extensions)
    return FoundMonitor(scheme, argument, _load(scheme, text))


def list_schemes() -> list[str]:
    """Every scheme there is, sorted; none is loaded."""
    return sorted(set(entry_points(group=GROUP).names))


def split_monitor(text: str, extra_extensions: frozenset[str] = frozenset()) -> tuple[str, str]:
    """Scheme and argument. Without a scheme, a pattern or a file is ``glob``, and a folder ``dir``.

    So is a path at which there is nothing, unless it ends like a config: a folder that is yet to come is waited for.
    """
    if not text:
        raise UsageError("--emperor '': names nothing to watch")
    if explicit := _SCHEME.fullmatch(text):
        return explicit[1].lower(), explicit[2]
    if os.path.isdir(text):
        return "dir", text
    if not os.path.lexists(text):
        _refuse_half_a_scheme(text)
    if has_wildcards(text) or os.path.lexists(text) or config_option(text, extra_extensions) is not None:
        return "glob", text
    return "dir", text


def _refuse_half_a_scheme(text: str) -> None:
    """``pg:/x`` would be a folder that is waited for for ever, in silence."""
    half = _HALF_A_SCHEME.fullmatch(text)
    if half is None:
        return
    scheme, known = half[1].lower(), list_schemes()
    if scheme in known or scheme in _FOREIGN or difflib.get_close_matches(scheme, known, 1, 0.75):
        told = _explain_unknown(scheme, half[2], text[len(scheme) : half.start(2)], known)
        raise UsageError(f"{told}; for a path write ./{scheme}:…")


def _explain_unknown(scheme: str, argument: str, between: str, known: Iterable[str]) -> str:
    """What to say where a scheme is none, or has no ``://``; passwords are hidden as in what it was meant to be."""
    meant = _FOREIGN.get(scheme) or next(iter(difflib.get_close_matches(scheme, known, 1)), "")
    like = "pg://postgresql://" if scheme.startswith("postgres") and between == "://" else f"{meant or scheme}://"
    shown = masked(like + argument).removeprefix(like)
    if between != "://" and scheme in known:
        return f"--emperor {scheme}{between}{shown}: {scheme} is followed by ://; did you mean {scheme}://…?"
    hint = f" (did you mean {meant}://?)" if meant else ""
    every = ", ".join(f"{name}://" for name in sorted(known))
    return f"--emperor {scheme}{between}{shown}: there is no monitor {scheme}://{hint}; known are {every}"


def _load(scheme: str, text: str) -> MonitorFactory:
    known = {point.name: point for point in entry_points(group=GROUP)}
    point = known.get(scheme)
    if point is None:
        raise UsageError(_explain_unknown(scheme, text.partition("://")[2], "://", known))
    try:
        factory: MonitorFactory = point.load()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module == point.module.partition(".")[0]:
            raise _explain_broken(text, point, error) from error
        raise DriverMissing(
            f"--emperor {masked(text)}: {scheme}:// needs the Python module {error.name!r}, which is not installed: "
            f"pip install '{_name_extra(point) or module}'"
        ) from error
    except (ImportError, AttributeError) as error:
        raise _explain_broken(text, point, error) from error
    return factory


def _explain_broken(text: str, point: EntryPoint, error: Exception) -> UsageError:
    owner = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return UsageError(f"--emperor {masked(text)}: the monitor {point.value}{owner} can't be loaded: {error}")


def _name_extra(point: EntryPoint) -> str | None:
    """What brings a monitor's driver: the extra of its distribution that is named like the monitor's module."""
    if point.dist is None:
        return None
    extra = point.module.rpartition(".")[2]
    extras = point.dist.metadata.get_all("Provides-Extra") or []
    return f"{point.dist.name}[{extra}]" if extra in extras else None
