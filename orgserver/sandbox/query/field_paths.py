"""What the field paths of a query reach: a record's own fields, and those of the records it refers to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from orgserver.salesforce.soql import tree
from orgserver.sandbox.errors import framed
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field, SObject

Getter = Callable[[Record], Any]
Tables = Mapping[str, Mapping[str, Record]]
TYPE = schema.NAME.fields["type"]
"""``Who.Type``: no field of a record, but what the record is."""
REFERENCE = "Please reference your WSDL or the describe call for the appropriate names."
_LEVELS = 5


class Paths:
    """Understands the paths of one query, and says what is wrong with them as Salesforce does."""

    def __init__(self, tables: Tables, text: str, sobject: SObject, alias: str | None = None) -> None:
        self.sobject = sobject
        self._tables = tables
        self._text = text
        self._prefixes = {sobject.name.lower()} - set(sobject.relationships) | ({alias.lower()} if alias else set())

    def getter(self, path: tree.Path) -> tuple[Getter, Field]:
        """A function from a record to the value at a path, and the field that it is the value of."""
        links, field = self.resolve(path)
        if not links:
            return itemgetter(field.name), field

        def get(record: Record) -> Any:
            here: tuple[SObject, Record] | None = None
            for link in links:
                here = self.linked((here[1] if here else record).get(link.name))
                if here is None:
                    return None
            return here and value(here[0], here[1], field)

        return get, field

    def resolve(self, path: tree.Path) -> tuple[list[Field], Field]:
        """The references that a path follows, and the field at its end."""
        *steps, last = self._steps(path.path)
        sobject, links = self.sobject, list[Field]()
        for step in steps:
            link = sobject.relationships.get(step.lower())
            target = _target(link) if link is not None else None
            if link is None or target is None or len(links) == _LEVELS:
                raise self._no_relationship(step, path.position)
            links.append(link)
            sobject = target
        field = sobject.fields.get(last.lower())
        if field is None:
            message = f"No such column '{last}' on entity '{sobject.name}'. If you are attempting to use a custom "
            message += f"field, be sure to append the '__c' after the custom field name. {REFERENCE}"
            raise framed("INVALID_FIELD", message, self._text, path.position)
        return links, field

    def relationship(self, name: str, position: int) -> Field:
        """The reference behind the name of a relationship of the record's own."""
        link = self.sobject.relationships.get(".".join(self._steps(name)).lower())
        if link is None:
            raise self._no_relationship(name, position)
        return link

    def linked(self, identifier: str | None) -> tuple[SObject, Record] | None:
        """The record that a reference leads to, with its object."""
        if identifier is None:
            return None
        sobject = schema.by_prefix(identifier)
        record = self._tables[sobject.name].get(identifier) if sobject else None
        return (sobject, record) if sobject is not None and record is not None else None

    def canonical(self, expression: tree.Expression) -> str:
        """One text for all ways to write an expression."""
        if isinstance(expression, tree.Path):
            return ".".join(self._steps(expression.path)).lower()
        inner = (self.canonical(each) for each in expression.arguments if not isinstance(each, tree.Value))
        return f"{expression.function}({','.join(inner)})"

    def _steps(self, path: str) -> list[str]:
        steps = path.split(".")
        return steps[1:] if len(steps) > 1 and steps[0].lower() in self._prefixes else steps

    def _no_relationship(self, name: str, position: int) -> Exception:
        message = f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
        message += "relationship, be sure to append the '__r' after the custom relationship name. "
        return framed("INVALID_FIELD", message + REFERENCE, self._text, position)


def value(sobject: SObject, record: Record, field: Field) -> Any:
    """A record's value of a field; for ``Type`` behind a relationship to several objects, what the record is."""
    return sobject.name if field is TYPE else record.get(field.name)


def attributes(sobject: str, identifier: str, version: str) -> Record:
    """What Salesforce puts into every record."""
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{identifier}"}


def _target(link: Field) -> SObject | None:
    if len(link.targets) > 1:
        return schema.NAME
    return schema.find(link.targets[0]) if link.targets else None
