"""Writes ``src/emperor_trio/cli/uwsgi.schema``: uWSGI's LDAP schema, which ``emperor-trio ldap-schema`` prints.

    python tools/ldap_schema.py [-]

With ``-`` it is printed instead. Options come from ``uwsgi_options.txt``. Names, syntaxes and the OIDs' arc are uWSGI's
own: option ``foo-bar`` is ``uWSGIfooBar``, TRUE or FALSE where it takes no argument, else a string of ASCII. uWSGI
numbers attributes in the order in which it was compiled; ours keep their numbers for ever: those of the file that is
there are kept, new ones follow.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CLI = Path(__file__).parents[1] / "src/emperor_trio/cli"
SOURCE, TARGET = CLI / "uwsgi_options.txt", CLI / "uwsgi.schema"

ARC = "1.3.6.1.4.1.35156.17"
NULL = 50000
BOOLEAN = ("booleanMatch", "1.3.6.1.4.1.1466.115.121.1.7")
STRING = ("caseExactIA5Match", "1.3.6.1.4.1.1466.115.121.1.26")

HEAD = """\
# uWSGI's options as LDAP attributes, for the object class uWSGIConfig. Made by tools/ldap_schema.py.
# Each attribute may have several values. Equality rules let single values be searched for and deleted.
"""


def attribute(option: str) -> str:
    """``uWSGIfooBar`` for ``foo-bar``."""
    return "uWSGI" + re.sub(r"-(.)", lambda found: found[1].upper(), option)


def attributes() -> dict[str, bool]:
    """Every attribute and whether its option takes no argument.

    LDAP knows no capitals: ``python-path`` and its alias ``pythonpath`` are one attribute, with the capitals of the
    former. It knows no underscores either, so the two options that have one are left out.
    """
    rows = [line.split() for line in SOURCE.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, tuple[str, bool]] = {}
    for option, arity, *_ in sorted(rows, key=lambda row: (-row[0].count("-"), row[0])):
        name = attribute(option)
        if "_" not in name:
            found.setdefault(name.lower(), (name, arity == "no"))
    return dict(sorted(found.values()))


def kept_numbers() -> dict[str, int]:
    if not TARGET.exists():
        return {}
    pattern = rf"{re.escape(ARC)}\.4\.(\d+) NAME '(\w+)'"
    return {name: int(number) for number, name in re.findall(pattern, TARGET.read_text()) if int(number) != NULL}


def schema() -> str:
    numbers = kept_numbers()
    following = max(numbers.values(), default=-1) + 1
    lines = [HEAD]
    known = attributes()
    for name, is_flag in known.items():
        if name not in numbers:
            numbers[name], following = following, following + 1
        rule, syntax = BOOLEAN if is_flag else STRING
        lines.append(f"attributetype ( {ARC}.4.{numbers[name]} NAME '{name}' EQUALITY {rule} SYNTAX {syntax} )")
    lines.append(f"attributetype ( {ARC}.4.{NULL} NAME 'uWSGInull' EQUALITY {BOOLEAN[0]} SYNTAX {BOOLEAN[1]} )")
    lines.append(f"objectclass ( {ARC}.3.1 NAME 'uWSGIConfig' DESC 'uWSGI configuration' SUP top AUXILIARY MAY (")
    lines += [f"    {name} $" for name in known]
    lines.append("    uWSGInull ) )")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        print(schema(), end="")
    else:
        TARGET.write_text(schema(), encoding="ascii")
