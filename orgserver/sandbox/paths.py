"""What the field paths of a query reach: a record's own fields, and those of the records it refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from orgserver.sandbox import schema
from orgserver.sandbox.errors import framed
from orgserver.sandbox.records import Record
from orgserver.sandbox.schema import Field, SObject

Getter = Callable[[Record], Any]
Tables = Mapping[str, Mapping[str, Record]]
_LEVELS = 5


@dataclass(slots=True)
class Shape:
    """What a row of the answer looks like: fields, and shapes behind relationships, in the order asked for."""

    parts: dict[str, Field | tuple[Field, Shape]] = field(default_factory=dict)
    polymorphic: bool = False


class Paths:
    """Understands the paths of one query, and says what is wrong with them as Salesforce does."""

    def __init__(self, tables: Tables, text: str, sobject: SObject) -> None:
        self._tables = tables
        self._text = text
        self._sobject = sobject

    def getter(self, path: str, position: int) -> tuple[Getter, Field]:
        """A function from a record to the value at a path, and the field that it is the value of."""
        links, found = self._resolve(path, position)
        if not links:
            return itemgetter(found.name), found

        def get(record: Record) -> Any:
            here: tuple[SObject, Record] | None = None
            for link in links:
                here = self._linked((here[1] if here else record).get(link.name))
                if here is None:
                    return None
            return here and _value(here, found)

        return get, found

    def shape(self, paths: tuple[tuple[str, int], ...]) -> Shape:
        """The shape of a row that shows these paths."""
        top = Shape()
        for path, position in paths:
            links, found = self._resolve(path, position)
            here = top
            for link in links:
                part = here.parts.setdefault(link.relationship or "", (link, Shape(polymorphic=len(link.targets) > 1)))
                here = part[1] if isinstance(part, tuple) else here
            if found.name in here.parts:
                raise framed("INVALID_FIELD", f"duplicate field selected: {path}", self._text, position)
            here.parts[found.name] = found
        return top

    def row(self, shape: Shape, record: Record, version: str) -> Record:
        """A record of the queried object as a row of the answer."""
        return self._row(shape, (self._sobject, record), version)

    def _row(self, shape: Shape, here: tuple[SObject, Record], version: str) -> Record:
        sobject, record = here
        row: Record = {"attributes": attributes(sobject.name, record["Id"], version)}
        if shape.polymorphic:
            row["attributes"]["type"] = "Name"
        for name, part in shape.parts.items():
            if isinstance(part, tuple):
                linked = self._linked(record.get(part[0].name))
                row[name] = None if linked is None else self._row(part[1], linked, version)
            else:
                row[name] = _value(here, part)
        return row

    def _resolve(self, path: str, position: int) -> tuple[list[Field], Field]:
        *steps, last = path.split(".")
        if (
            steps
            and steps[0].lower() == self._sobject.name.lower()
            and steps[0].lower() not in (self._sobject.relationships)
        ):
            steps = steps[1:]
        sobject = self._sobject
        links: list[Field] = []
        for step in steps:
            link = sobject.relationships.get(step.lower())
            target = self._target(link) if link is not None else None
            if link is None or target is None or len(links) == _LEVELS:
                message = f"Didn't understand relationship '{step}' in field path. If you are attempting to use a "
                message += "custom relationship, be sure to append the '__r' after the custom relationship name. "
                raise framed("INVALID_FIELD", message + _REFERENCE, self._text, position)
            links.append(link)
            sobject = target
        found = sobject.fields.get(last.lower())
        if found is None:
            message = f"No such column '{last}' on entity '{sobject.name}'. If you are attempting to use a custom "
            message += "field, be sure to append the '__c' after the custom field name. "
            raise framed("INVALID_FIELD", message + _REFERENCE, self._text, position)
        return links, found

    @staticmethod
    def _target(link: Field) -> SObject | None:
        if len(link.targets) > 1:
            return schema.NAME
        return schema.find(link.targets[0]) if link.targets else None

    def _linked(self, identifier: str | None) -> tuple[SObject, Record] | None:
        if identifier is None:
            return None
        sobject = schema.by_prefix(identifier)
        record = self._tables[sobject.name].get(identifier) if sobject else None
        return (sobject, record) if sobject is not None and record is not None else None


_REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."


def attributes(sobject: str, identifier: str, version: str) -> Record:
    """What Salesforce puts into every record."""
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{identifier}"}


def _value(here: tuple[SObject, Record], wanted: Field) -> Any:
    sobject, record = here
    if wanted is _TYPE:
        return sobject.name
    return record.get(wanted.name)


_TYPE = schema.NAME.fields["type"]
