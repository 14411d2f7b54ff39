"""Every option of the emperor, declared once; see :mod:`emperor_trio.settings.options`.

The command line, the keys of config files, ``--help`` and ``docs/options.md`` all come out of that declaration. Reading
files and the command line is the work of ``formats`` and ``cli``; carrying an option out is the work of whoever reads
the attribute of :class:`Settings`.
"""

from emperor_trio.settings.options import DIRECTIVES, NAMES, OPTIONS, Group, Option, Settings
from emperor_trio.settings.structure import COMMAND_LINE, Given, Origins, settle
from emperor_trio.settings.values import Kind, Priority

__all__ = [
    "COMMAND_LINE",
    "DIRECTIVES",
    "NAMES",
    "OPTIONS",
    "Given",
    "Group",
    "Kind",
    "Option",
    "Origins",
    "Priority",
    "Settings",
    "settle",
]
