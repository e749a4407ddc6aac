"""What a call touches of each object: relationships followed, and every field with those of which it tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orgserver.model.access.acts import UNKNOWN, ObjectUse, PathUse
from orgserver.model.access.policies import ObjectAction
from orgserver.model.schema import FieldInfo, Schema, SchemaLookup
from orgserver.services.policies import derived_fields, shadow_objects

Mode = Literal["shown", "compared", "written"]
_MODES: tuple[Mode, ...] = ("shown", "compared", "written")
_MOST_PARENTS = 8
"""Objects that a parent may be of, where a path goes on behind it: so many describes are worth fetching."""
_CUSTOM = "__c"
_GLOBAL_OBJECTS = frozenset({"user", "userrole", "profile", "organization"})


class MissingSchemas(Exception):
    """What a call touches cannot be told without the describes of these objects."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(", ".join(self.names))


def resolve(uses: Sequence[PathUse], lookup: SchemaLookup) -> tuple[ObjectUse, ...]:
    """Every object that a call touches, with the names of its own fields; MissingSchemas where describes lack."""
    resolver = _Resolver(lookup)
    for use in uses:
        if not use.optional:
            resolver.add(use)
    if resolver.missing:
        raise MissingSchemas(resolver.missing)
    return resolver.object_uses()


def behind_formulas(schema: Schema, lookup: SchemaLookup) -> frozenset[str]:
    """Objects whose describes lack for telling what the formulas of an object are made from."""
    resolver = _Resolver(lookup)
    for info in schema.fields:
        if info.calculated:
            for _ in resolver.sources(schema, info.name):
                pass
    return frozenset(resolver.missing)


@dataclass(frozen=True, slots=True)
class _Target:
    """One field at the end of a path."""

    object: str
    name: str
    is_certain: bool = True
    via: str | None = None
    is_hop: bool = False
    """A reference that the path went through: by it the record behind was chosen."""
    is_copy: bool = False


@dataclass(slots=True)
class _Touched:
    fields: dict[Mode, set[str]] = field(default_factory=lambda: defaultdict(set))
    grouped: set[str] = field(default_factory=set)
    undescribed: set[str] = field(default_factory=set)
    every_field: bool = False
    searched: bool = False


_Key = tuple[str, ObjectAction, bool, str | None, bool]


class _Resolver:
    """Gathers what is touched, and the names of objects whose describes lack."""

    def __init__(self, lookup: SchemaLookup) -> None:
        self._lookup = lookup
        self._touched: dict[_Key, _Touched] = {}
        self._own = ""
        """The object that the use at hand is about; any other is only read."""
        self.missing: set[str] = set()

    def object_uses(self) -> tuple[ObjectUse, ...]:
        return tuple(
            ObjectUse(
                sobject,
                action,
                frozenset(touched.fields["shown"]),
                frozenset(touched.fields["compared"]),
                frozenset(touched.fields["written"]),
                every_field=touched.every_field,
                searched=touched.searched,
                is_certain=is_certain,
                via=via,
                is_copy=is_copy,
                grouped=frozenset(touched.grouped),
                undescribed=frozenset(touched.undescribed),
            )
            for (sobject, action, is_certain, via, is_copy), touched in self._touched.items()
        )

    def add(self, use: PathUse) -> None:
        """Add what one object is touched for."""
        sobject, self._own = use.object, ""
        for step in use.children:
            schema = self._schema(sobject)
            if schema is None:
                return
            child = schema.child(step)
            if child is None:
                self._touch(use, _Target(UNKNOWN, step), "shown")
                return
            sobject = child.sobject
            self._touch(use, _Target(sobject, child.field), "compared")
        needs_schema = (
            use.groups or use.searched or use.every_field or any(path.lower() != "id" for path in _paths(use))
        )
        schema = self._schema(sobject) if needs_schema else self._lookup(sobject)
        if needs_schema and schema is None:
            return
        self._own = schema.name if schema is not None else sobject
        touched = self._at(use, _Target(self._own, ""))
        origin = shadow_objects.origin(self._own)
        if origin is not None:
            self._touch(use, _Target(origin, "Id", via=self._own), "shown")
        touched.every_field |= use.every_field
        touched.searched |= use.searched
        if schema is None:
            for mode in _MODES:
                touched.fields[mode] |= getattr(use, mode)
        else:
            self._add_fields(use, schema, touched)

    def _add_fields(self, use: PathUse, schema: Schema, touched: _Touched) -> None:
        for group in use.groups:
            names = {each.name for each in schema.fields if group == "all" or _is_custom(each) is (group == "custom")}
            touched.grouped |= names
            for name in names:
                self._add_target(use, _Target(schema.name, name), "shown")
        if use.searched:
            for name in _name_fields(schema):
                self._add_target(use, _Target(schema.name, name), "compared")
        prefixes = {use.object.lower(), schema.name.lower(), (use.alias or use.object).lower()}
        prefixes |= {use.children[-1].lower()} if use.children else set()
        for mode in _MODES:
            for path in getattr(use, mode):
                for target in self._targets(schema, path, prefixes):
                    self._add_target(use, target, mode)

    def _targets(self, schema: Schema, path: str, prefixes: set[str]) -> Iterator[_Target]:
        """What a path leads to; one whose first word names both its object and a relationship is read both ways."""
        first, _, rest = path.partition(".")
        is_prefixed = bool(rest) and first.lower() in prefixes
        if is_prefixed:
            yield from self._follow(schema, rest.split("."), path)
        if not is_prefixed or schema.reference(first) is not None:
            yield from self._follow(schema, path.split("."), path)

    def _follow(self, schema: Schema, steps: list[str], path: str) -> Iterator[_Target]:
        first, *rest = steps
        if not rest:
            field_info = schema.field(first)
            yield _Target(schema.name, field_info.name if field_info is not None else first)
            return
        reference = schema.reference(first)
        if reference is None or not reference.reference_to:
            yield _Target(UNKNOWN, path)
            return
        yield _Target(schema.name, reference.name, via=f"{schema.name}.{path}", is_hop=True)
        parents = reference.reference_to
        if len(parents) == 1:
            parent = self._schema(parents[0])
            if parent is not None:
                yield from self._follow(parent, rest, ".".join(rest))
        elif len(rest) == 1:  # Salesforce shows what every object has alike, so no describe is needed
            yield from (_Target(parent, rest[0], is_certain=False) for parent in parents)
        elif len(parents) > _MOST_PARENTS:
            yield _Target(UNKNOWN, path)
        else:
            yield from self._follow_any(parents, rest)

    def _follow_any(self, parents: Iterable[str], steps: list[str]) -> Iterator[_Target]:
        for name in parents:
            parent = self._schema(name)
            if parent is not None and parent.reference(steps[0]) is not None:
                yield _Target(parent.name, "Id", is_certain=False)
                yield from self._follow(parent, steps, ".".join(steps))

    def _add_target(self, use: PathUse, target: _Target, mode: Mode) -> None:
        """Add a field, and those of which it tells."""
        if target.is_hop:
            self._touch(use, target, "compared")
            return
        self._touch(use, target, mode)
        label = f"{target.object}.{target.name}"
        if not target.is_certain:
            for name in derived_fields.standard_siblings(target.object, target.name):
                self._touch(use, _Target(target.object, name, is_certain=False, via=label), mode)
            return
        schema = self._lookup(target.object)
        if schema is not None:
            if mode != "written" and schema.field(target.name) is None:
                self._at(use, target).undescribed.add(target.name)
            for source in self._sources(schema, target.name, set()):
                via = _Target(source.object, source.name, source.is_certain, label, is_copy=source.is_copy)
                self._touch(use, via, mode)

    def sources(self, schema: Schema, name: str) -> Iterator[_Target]:
        """Fields of which one of an object tells."""
        return self._sources(schema, name, set())

    def _sources(self, schema: Schema, name: str, seen: set[tuple[str, str]]) -> Iterator[_Target]:
        """Fields of which one tells, whatever is between them."""
        info = schema.field(name)
        if info is None or (schema.name, info.name) in seen:
            return
        seen.add((schema.name, info.name))
        names = (info.name, *derived_fields.siblings(schema, info))
        yield from (_Target(schema.name, each) for each in names[1:])
        parents = (derived_fields.parents_field(schema, each) for each in names)
        yield from (_Target(*each) for each in parents if each is not None)
        persons = (derived_fields.persons_field(schema, each) for each in names)
        yield from (_Target(*each, is_copy=True) for each in persons if each is not None)
        for sobject, field_name in shadow_objects.originals(schema.name, info.name):
            yield _Target(sobject, field_name, is_certain=False)
        if info.calculated and _is_custom(info):
            yield from self._formula_sources(schema, info, seen)

    def _formula_sources(self, schema: Schema, info: FieldInfo, seen: set[tuple[str, str]]) -> Iterator[_Target]:
        if info.formula is None:  # a roll-up, or one that this user is not told: it may be made from anything
            yield from (_Target(name, UNKNOWN) for name in (schema.name, *(each.sobject for each in schema.children)))
            return
        for path in derived_fields.formula_paths(info.formula):
            if path.startswith("$"):
                yield from self._global_sources(path)
                continue
            steps = [step.partition(":")[0] for step in path.split(".")]
            # A single word may be one of the formula language, or a field that this user is not told of.
            for target in self._follow(schema, steps, path):
                yield target
                source = self._lookup(target.object) if target.is_certain else None
                if source is not None:
                    yield from self._sources(source, target.name, seen)

    @staticmethod
    def _global_sources(path: str) -> Iterator[_Target]:
        """What a formula says of who looks, of the org, and of settings: ``$User.Email``, ``$Setup.Rate__c.Sum__c``."""
        first, *rest = path[1:].split(".")
        if first.lower() in _GLOBAL_OBJECTS and len(rest) == 1:
            yield _Target(first, rest[0], is_certain=False)
        elif first.lower() in ("setup", "custommetadata") and len(rest) > 1:
            yield _Target(rest[0], rest[-1])

    def _touch(self, use: PathUse, target: _Target, mode: Mode) -> None:
        self._at(use, target).fields[mode].add(target.name)

    def _at(self, use: PathUse, target: _Target) -> _Touched:
        action: ObjectAction = use.action if target.object == self._own else "read"
        key = (target.object, action, target.is_certain, target.via, target.is_copy)
        return self._touched.setdefault(key, _Touched())

    def _schema(self, sobject: str) -> Schema | None:
        schema = self._lookup(sobject)
        if schema is None:
            self.missing.add(sobject)
        return schema


def _paths(use: PathUse) -> Iterator[str]:
    for mode in _MODES:
        yield from getattr(use, mode)


def _is_custom(info: FieldInfo) -> bool:
    return info.name.lower().endswith((_CUSTOM, "__pc", "__s"))


def _name_fields(schema: Schema) -> set[str]:
    """The fields in which ``IN NAME FIELDS`` looks."""
    names = {each.name for each in schema.fields if each.name_field}
    others = (schema.field(name) for name in derived_fields.name_search_fields(schema.name))
    return names | {each.name for each in others if each is not None}
