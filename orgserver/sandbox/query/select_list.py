"""What SELECT asks for of one record: fields, those of parents, its children, TYPEOF and FIELDS()."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from orgserver.salesforce.soql import tree
from orgserver.sandbox.query import rows as shapes
from orgserver.sandbox.query.field_paths import REFERENCE
from orgserver.sandbox.query.rows import Converted, Inner, Joined, Part, Row, Shape
from orgserver.sandbox.query.scan import Scan
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.records import Record
from orgserver.sandbox.state.schema import Field, SObject

_MAX_LEVELS = 5
_MAX_ALL_FIELDS = 200


class Selection:
    """The rows of one query that sums nothing up; Refusal when it is made says what is wrong with it."""

    def __init__(self, scan: Scan, level: int = 1) -> None:
        self.shape = Shape()
        self._scan = scan
        self._level = level
        for item in scan.query.selected:
            self._add(item)
        self.row: Row = shapes.row(scan.paths, self.shape)

    def _add(self, item: tree.Item) -> None:
        if isinstance(item, tree.Selected):
            self._add_field(item)
        elif isinstance(item, tree.Fields):
            self._add_fields(item)
        elif isinstance(item, tree.Children):
            name, inner = self._children(item)
            self._put(self.shape, name, inner, name, item.position)
        else:
            link = self._scan.paths.relationship(item.relationship, item.position)
            name = link.relationship or item.relationship
            self._put(self.shape, name, self._typeof(item, link), name, item.position)

    def _add_field(self, item: tree.Selected) -> None:
        scan, expression = self._scan, item.expression
        if isinstance(expression, tree.Path):
            if item.alias is not None:
                raise scan.context.refused("only aggregate expressions use field aliasing", expression.position)
            shape, field = self._place(expression)
            self._put(shape, field.name, field, expression.path, expression.position)
            return
        if expression.function in tree.DATE_FUNCTIONS:
            message = f"Field must be grouped or aggregated: {tree.label(expression)}"
            raise scan.context.refused(message, expression.position)
        if expression.function == "converttimezone":
            scan.expressions.compiled(expression)  # refused: no date function is around it
        inner = scan.expressions.argument(expression)
        if not isinstance(inner, tree.Path):
            raise scan.context.refused(f"unexpected token: '{tree.label(inner)}'", inner.position)
        shape, field = self._place(inner)
        convert, _ = scan.expressions.conversion(expression, field)
        self._put(shape, item.alias or field.name, Converted(field, convert), inner.path, expression.position)

    def _add_fields(self, item: tree.Fields) -> None:
        limit = self._scan.query.limit
        if item.group != "standard" and (limit is None or limit > _MAX_ALL_FIELDS):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {_MAX_ALL_FIELDS}"
            raise self._scan.context.refused(message, item.position)
        for field in self._scan.sobject.fields.values():
            if item.group == "all" or field.name.endswith("__c") is (item.group == "custom"):
                self._put(self.shape, field.name, field, field.name, item.position)

    def _place(self, path: tree.Path) -> tuple[Shape, Field]:
        """The shape that a path's last field belongs into."""
        links, field = self._scan.paths.resolve(path)
        here = self.shape
        for link in links:
            fresh = Joined(link, Shape(polymorphic=len(link.targets) > 1))
            part = here.parts.setdefault(link.relationship or "", fresh)
            if not isinstance(part, Joined):  # TYPEOF took it
                raise self._twice(path.path, path.position)
            here = part.shape
        return here, field

    def _put(self, shape: Shape, name: str, part: Part, path: str, position: int) -> None:
        if name in shape.parts:
            raise self._twice(path, position)
        shape.parts[name] = part

    def _twice(self, path: str, position: int) -> Exception:
        return self._scan.context.refused(f"duplicate field selected: {path}", position, "INVALID_FIELD")

    def _typeof(self, item: tree.TypeOf, link: Field) -> Inner:
        context = self._scan.context
        if len(link.targets) < 2:  # noqa: PLR2004  # a relationship to several objects
            message = f"TYPEOF needs a polymorphic relationship, which {item.relationship} is not"
            raise context.refused(message, item.position)
        rows: dict[str, Row] = {}
        columns = Shape()
        targets = {name.lower() for name in link.targets}
        for name, paths in item.cases:
            if name.lower() not in targets:
                raise context.refused(f"{item.relationship} is never of type {name}", item.position)
            targets.remove(name.lower())
            sobject = schema.find(name)
            if sobject is not None:  # the sandbox has not every object that Salesforce refers to
                shape, rows[sobject.name] = self._case(sobject, paths)
                columns.parts = shape.parts | columns.parts
        shape, otherwise = self._case(schema.NAME, item.otherwise)
        columns.parts = shape.parts | columns.parts
        linked = self._scan.paths.linked

        def cell(_sobject: SObject, record: Record, version: str) -> Record | None:
            here = linked(record.get(link.name))
            return None if here is None else rows.get(here[0].name, otherwise)(*here, version)

        return Inner(columns, cell, link)

    def _case(self, sobject: SObject, paths: tuple[tree.Path, ...]) -> tuple[Shape, Row]:
        """What TYPEOF shows of one object."""
        query = tree.Query(sobject.name, tuple(tree.Selected(path) for path in paths))
        selection = Selection(Scan(self._scan.context, query, sobject), self._level)
        return selection.shape, selection.row

    def _children(self, item: tree.Children) -> tuple[str, Inner]:
        scan, query = self._scan, item.query
        child, reference, name = self._related(query)
        if query.count or query.aggregated:
            raise scan.context.refused("only root queries support aggregate expressions", item.position)
        if query.offset and scan.query.limit != 1:
            message = "OFFSET is allowed in a subquery only where the query around it has LIMIT 1"
            raise scan.context.refused(message, item.position)
        if self._level == _MAX_LEVELS:
            message = f"SOQL relationship queries may go down {_MAX_LEVELS} levels"
            raise scan.context.refused(message, item.position)
        inner = Scan(scan.context, query, child)
        selection = Selection(inner, self._level + 1)
        return name, Inner(selection.shape, _Children(inner, selection, reference).cell)

    def _related(self, query: tree.Query) -> tuple[SObject, str, str]:
        """The object behind a child relationship, its reference to this one, and the relationship's name."""
        name = tree.own(self._scan.query, query.sobject)
        for each in self._scan.sobject.describe["childRelationships"]:
            if (each["relationshipName"] or "").lower() != name.lower():
                continue
            if (child := schema.find(each["childSObject"])) is not None:
                return child, each["field"], each["relationshipName"]
        message = f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a "
        message += "custom relationship, be sure to append the '__r' after the custom relationship name. "
        raise self._scan.context.refused(message + REFERENCE, query.position, "INVALID_TYPE")


class _Children:
    """The rows of a subquery, by the record that they refer to; found when the first is asked for."""

    def __init__(self, scan: Scan, selection: Selection, reference: str) -> None:
        self._scan = scan
        self._selection = selection
        self._reference = reference
        self._sort = scan.sorter()
        self._by_parent_id: dict[Any, list[Record]] | None = None

    def cell(self, _sobject: SObject, record: Record, version: str) -> Record | None:
        """The children of a record, as a page of a result; None where there are none."""
        if self._by_parent_id is None:
            self._by_parent_id = self._by_parent()
        children = self._scan.window(self._by_parent_id.get(record["Id"], []))
        if not children:
            return None
        rows = [self._selection.row(self._scan.sobject, child, version) for child in children]
        return self._scan.context.page(rows, version)

    def _by_parent(self) -> dict[Any, list[Record]]:
        rows = self._scan.matching()
        self._sort(rows)
        children: defaultdict[Any, list[Record]] = defaultdict(list)
        for row in rows:
            children[row[self._reference]].append(row)
        return children
