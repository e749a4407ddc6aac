"""Describes without what a policy hides, as the org would give them to a user who may see no more."""

from __future__ import annotations

from dataclasses import replace

from orgserver.model.access.policies import ObjectAction
from orgserver.model.schema import FieldInfo, ObjectList, Schema, SchemaLookup
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.field_rules import is_object_allowed
from orgserver.services.policies.object_limits import ObjectLimits


def limit_schema(limits: FieldLimits, schema: Schema, lookup: SchemaLookup) -> Schema:
    """An object's schema without hidden fields, and without references to objects that may not be read."""
    if limits.is_free:
        return schema
    known = limits.limited_schemas.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    own = limits.of_schema(schema, lookup)
    limited = _limit(limits, own, schema, lookup)
    if own.is_certain:
        limits.remember(schema, limited)
    return limited


def _limit(limits: FieldLimits, own: ObjectLimits, schema: Schema, lookup: SchemaLookup) -> Schema:
    def allows(action: ObjectAction) -> bool:
        return is_object_allowed(limits.policy, schema.name, action)

    return replace(
        schema,
        createable=schema.createable and allows("create"),
        updateable=schema.updateable and allows("update"),
        deletable=schema.deletable and allows("delete"),
        queryable=schema.queryable and allows("read"),
        searchable=schema.searchable and allows("read"),
        fields=tuple(_limit_field(limits, own, each) for each in schema.fields if each.name.lower() not in own.hidden),
        children=tuple(
            each
            for each in schema.children
            if limits.may_read(each.sobject) and not limits.hides(each.sobject, each.field, lookup)
        ),
    )


def limit_objects(limits: FieldLimits, objects: ObjectList) -> ObjectList:
    """The objects of an org with which agents may do anything."""
    if limits.is_free:
        return objects
    return ObjectList(tuple(each for each in objects.objects if limits.knows(each.name)))


def _limit_field(limits: FieldLimits, own: ObjectLimits, field: FieldInfo) -> FieldInfo:
    if field.name.lower() in own.masked:
        field = replace(field, filterable=False, sortable=False, createable=False, updateable=False, picklist=())
    targets = tuple(filter(limits.may_read, field.reference_to))
    if targets != field.reference_to:
        field = replace(field, reference_to=targets, relationship=field.relationship if targets else None)
    is_parted = field.compound is not None and field.compound.lower() in own.hidden
    is_controlled = field.controller is not None and field.controller.lower() in own.hidden
    if is_parted or is_controlled:
        compound = None if is_parted else field.compound
        return replace(field, compound=compound, controller=None if is_controlled else field.controller)
    return field
