"""Which monitor a ``--emperor X`` means. Monitors come by entry points, the built-in ones too, loaded when first named.

It knows no monitor by itself: a scheme is the name of an entry point in the group :data:`GROUP`.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from emperor_trio.errors import DriverMissing, UsageError
from emperor_trio.masking import masked
from emperor_trio.model import config_option
from emperor_trio.monitors._patterns import has_wildcards
from emperor_trio.ports import MonitorFactory

GROUP = "emperor_trio.monitors"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


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
    if has_wildcards(text) or os.path.lexists(text) or config_option(text, extra_extensions) is not None:
        return "glob", text
    return "dir", text


def _load(scheme: str, text: str) -> MonitorFactory:
    known = {point.name: point for point in entry_points(group=GROUP)}
    point = known.get(scheme)
    if point is None:
        near = difflib.get_close_matches(scheme, known, 1)
        meant = f" (did you mean {near[0]}://?)" if near else ""
        every = ", ".join(f"{name}://" for name in sorted(known))
        raise UsageError(f"--emperor {masked(text)}: there is no monitor {scheme}://{meant}; known are {every}")
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
