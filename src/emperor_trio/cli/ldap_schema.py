"""uWSGI's LDAP schema as text to import: for a slapd.conf, and as LDIF for a slapd that is configured in cn=config.

It is in ``uwsgi.schema``, which ``tools/ldap_schema.py`` makes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_WIDTH = 76
_KINDS = {"attributetype": "olcAttributeTypes", "objectclass": "olcObjectClasses"}


def schema() -> str:
    """The schema as slapd.conf includes it."""
    path = os.path.join(os.path.dirname(__file__), "uwsgi.schema")
    with open(path, encoding="ascii") as file:
        return file.read()


def schema_ldif() -> str:
    """The schema as one entry, for ``ldapadd -Y EXTERNAL -H ldapi:///``."""
    lines = ["dn: cn=uwsgi,cn=schema,cn=config", "objectClass: olcSchemaConfig", "cn: uwsgi"]
    for kind, definition in re.findall(r"(?m)^(attributetype|objectclass) ((?:.*\n)(?:[ \t].*\n)*)", schema()):
        lines += _fold(f"{_KINDS[kind]}: {' '.join(definition.split())}")
    return "\n".join(lines) + "\n"


def _fold(line: str) -> Iterator[str]:
    """A long line in pieces, as LDIF wants them: all but the first behind a space."""
    yield line[:_WIDTH]
    for start in range(_WIDTH, len(line), _WIDTH - 1):
        yield f" {line[start : start + _WIDTH - 1]}"
