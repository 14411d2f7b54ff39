"""Config files in ini, xml, yaml, json and toml, read into one shape: an ordered list of :class:`Item`.

A reader turns bytes into items and knows nothing else; :class:`Magic` and :class:`Expander` replace ``%n``, ``$(ENV)``,
``%(key)`` and the like in their values; :class:`Configuration` does all of it for the emperor's own config. What the
keys mean is not known here.
"""

from emperor_trio.formats.expand import Entry, Expander, references
from emperor_trio.formats.ini import read_ini
from emperor_trio.formats.items import Item, Reader
from emperor_trio.formats.json import read_json
from emperor_trio.formats.load import READERS, Configuration, is_config, is_logic
from emperor_trio.formats.magic import Magic
from emperor_trio.formats.toml import read_toml
from emperor_trio.formats.xml import read_xml
from emperor_trio.formats.yaml import read_yaml

__all__ = [
    "READERS",
    "Configuration",
    "Entry",
    "Expander",
    "Item",
    "Magic",
    "Reader",
    "is_config",
    "is_logic",
    "read_ini",
    "read_json",
    "read_toml",
    "read_xml",
    "read_yaml",
    "references",
]
