"""Reads xml: the elements inside ``<uwsgi>`` are the keys. No document type, so no entities of one's own."""

from __future__ import annotations

from xml.parsers import expat

from emperor_trio.errors import UsageError
from emperor_trio.formats.items import Item


def read_xml(data: bytes, name: str, section: str | None = None, element: str = "uwsgi") -> list[Item] | None:
    """The elements inside the root ``<uwsgi>``, or inside the first one below another root.

    With ``section``, only where the attribute ``id`` is the same or absent. An empty element is true (``1``); blanks
    around a value are dropped, which uWSGI keeps.
    """
    reader = _Reader(name, section, element)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise UsageError(f"{name}:{error.lineno}: not xml: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:  # an encoding that is declared, but unknown
        raise UsageError(f"{name}: not xml: {error}") from None
    return reader.items if reader.found else None


class _Reader:
    """Follows the parser: ``depth`` counts open elements, ``inside`` is the depth of the section's element."""

    def __init__(self, name: str, section: str | None, element: str) -> None:
        self.name, self.section, self.element = name, section, element
        self.items: list[Item] = []
        self.found = False
        self.depth = 0
        self.inside = 0
        self.key: str | None = None
        self.text: list[str] = []
        self.place = name
        self.keep = True
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters
        self.parser.StartDoctypeDeclHandler = self.doctype

    def doctype(self, *_: object) -> None:
        raise UsageError(f"{self.here()}: a document type is not allowed; remove <!DOCTYPE …>")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.key is not None:
            raise UsageError(f"{self.here()}: <{tag}> inside <{self.key}>; an option holds a text only")
        if self.inside:
            self.start_option(tag, attributes)
        elif not self.found and tag == self.element and self.depth <= 2:
            self.found = self.depth == 1 or self.wanted(attributes)
            self.inside = self.depth if self.found else 0

    def start_option(self, tag: str, attributes: dict[str, str]) -> None:
        self.key, self.text, self.place = tag, [], self.here()
        self.keep = self.wanted(attributes)

    def wanted(self, attributes: dict[str, str]) -> bool:
        return self.section is None or attributes.get("id", self.section) == self.section

    def characters(self, text: str) -> None:
        if self.key is not None:
            self.text.append(text)
        elif self.inside and text.strip():
            raise UsageError(f"{self.here()}: a text outside of any option; write <OPTION>{text.strip()}</OPTION>")

    def end(self, _tag: str) -> None:
        if self.depth == self.inside:
            self.inside = 0
        elif self.key is not None:
            text = "".join(self.text)
            if self.keep:
                self.items.append(Item(self.key, text.strip() if text else "1", self.place))
            self.key = None
        self.depth -= 1

    def here(self) -> str:
        return f"{self.name}:{self.parser.CurrentLineNumber}"
