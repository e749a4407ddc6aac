"""Describe: what to ask for an object or for all of them, and what the answers say (REST guide, "sObject Describe").

An org's answer for one object is often over 100 KB; what is read here is a twentieth of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from orgserver.model import names
from orgserver.model.errors import Rejected
from orgserver.model.names import SObjectName
from orgserver.model.schema import Child, FieldInfo, ObjectInfo, ObjectList, PicklistValue, Schema
from orgserver.model.text import clean_word
from orgserver.salesforce.protocol.messages import Reply, Request, is_count

T = TypeVar("T")
NOT_MODIFIED = 304
MAX_FIELDS, MAX_CHILDREN = 5_000, 20_000
"""Salesforce allows 800 custom fields of an object, and fewer standard ones."""
MAX_VALUES = 200_000
"""Active picklist values of all fields of an object; Salesforce allows 1,000 of a field as a rule."""
MAX_OBJECTS = 50_000
"""Large orgs have some 5,000."""
_LABEL = 255
"""The longest label and the longest picklist value."""
_FORMULA = 15_000
"""Salesforce allows 3,900 characters, and 5,000 bytes compiled; what is longer is judged as one that is not told."""
_HEADER = 100


@dataclass(frozen=True, slots=True)
class Described(Generic[T]):
    """An answer: what it describes (None: nothing has changed), and when that last changed, in Salesforce's words."""

    what: T | None
    last_modified: str | None


def describe(version: str, sobject: SObjectName, since: str | None = None) -> Request:
    """Describe an object; with ``since``, only if it has changed."""
    return Request("GET", f"/services/data/{version}/sobjects/{quote(sobject, safe='')}/describe", headers=_if(since))


def read_schema(reply: Reply) -> Described[Schema]:
    """An object and its fields."""
    if reply.status == NOT_MODIFIED:
        return Described(None, _last_modified(reply))
    return Described(schema(reply.body), _last_modified(reply))


def objects(version: str, since: str | None = None) -> Request:
    """Name every object; with ``since``, only if one has changed."""
    return Request("GET", f"/services/data/{version}/sobjects", headers=_if(since))


def read_objects(reply: Reply) -> Described[ObjectList]:
    """Every object, without those that Salesforce hides."""
    if reply.status == NOT_MODIFIED:
        return Described(None, _last_modified(reply))
    return Described(object_list(reply.body), _last_modified(reply))


def schema(body: Any) -> Schema:
    """Read a describe of one object; Rejected if it is none."""
    if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not isinstance(body.get("fields"), list):
        raise _unreadable()
    _check_size(body["fields"], body.get("childRelationships"))
    fields = tuple(_field(each) for each in _named(body["fields"], "name"))
    if not fields:  # every object has an Id at least
        raise _unreadable()
    prefix = body.get("keyPrefix")
    return Schema(
        name=_name(body["name"]),
        label=_text(body.get("label")),
        prefix=prefix if isinstance(prefix, str) and prefix[:_LABEL].isalnum() and len(prefix) <= _LABEL else None,
        createable=body.get("createable") is True,
        updateable=body.get("updateable") is True,
        deletable=body.get("deletable") is True,
        queryable=body.get("queryable") is True,
        searchable=body.get("searchable") is True,
        fields=fields,
        children=tuple(
            Child(each["relationshipName"], each["childSObject"], _text(each.get("field")))
            for each in _named(body.get("childRelationships"), "relationshipName", "childSObject")
        ),
    )


def object_list(body: Any) -> ObjectList:
    """Read a describe of all objects; Rejected if it is none."""
    if not isinstance(body, dict) or not isinstance(body.get("sobjects"), list):
        raise _unreadable()
    if len(body["sobjects"]) > MAX_OBJECTS:
        raise _too_large()
    objects = tuple(
        ObjectInfo(each["name"], _text(each.get("label")), each.get("queryable") is True)
        for each in _named(body["sobjects"], "name")
    )
    if not objects:  # kept, it would have us refuse every object of this org
        raise _unreadable()
    return ObjectList(objects)


def _field(field: Mapping[str, Any]) -> FieldInfo:
    return FieldInfo(
        name=field["name"],
        label=_text(field.get("label")),
        type=_text(field.get("type")),
        length=_number(field.get("length")),
        precision=_number(field.get("precision")) or _number(field.get("digits")),
        scale=_number(field.get("scale")),
        nillable=field.get("nillable") is not False,
        createable=field.get("createable") is True,
        updateable=field.get("updateable") is True,
        filterable=field.get("filterable") is True,
        sortable=field.get("sortable") is True,
        defaulted=field.get("defaultedOnCreate") is True,
        calculated=field.get("calculated") is True,
        name_field=field.get("nameField") is True,
        unique=field.get("unique") is True,
        external_id=field.get("externalId") is True,
        id_lookup=field.get("idLookup") is True,
        restricted=field.get("restrictedPicklist") is True,
        relationship=_word(field.get("relationshipName")),
        reference_to=tuple(each for each in _list(field.get("referenceTo")) if _is_name(each)),
        compound=_word(field.get("compoundFieldName")),
        controller=_word(field.get("controllerName")),
        help=_text(field.get("inlineHelpText")) or None,
        formula=_formula(field.get("calculatedFormula")),
        picklist=tuple(_values(field.get("picklistValues"))),
    )


def _formula(text: Any) -> str | None:
    """A formula as it was written: it is never shown, and judged by the names in it."""
    return text if isinstance(text, str) and text and len(text) <= _FORMULA and names.encodable(text) else None


def _values(values: Any) -> Iterable[PicklistValue]:
    for each in _list(values):
        if isinstance(each, dict) and each.get("active") is True and _is_value(each.get("value")):
            label = each.get("label")
            yield PicklistValue(each["value"], _text(label) or each["value"], each.get("defaultValue") is True)


def _is_value(value: Any) -> bool:
    """A picklist's value is data, and comes as it is written in records."""
    return isinstance(value, str) and len(value) <= _LABEL and names.encodable(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_size(fields: list[Any], children: Any) -> None:
    """Refuse to keep what no org has: a describe stays in memory after its reply is gone."""
    lists = (
        [each.get("picklistValues") for each in fields if isinstance(each, dict)] if len(fields) <= MAX_FIELDS else []
    )
    values = sum(len(each) for each in lists if isinstance(each, list))
    relations = len(children) if isinstance(children, list) else 0
    if len(fields) > MAX_FIELDS or values > MAX_VALUES or relations > MAX_CHILDREN:
        raise _too_large()


def _too_large() -> Rejected:
    return Rejected("the org describes more than an org can have", code="REPLY_TOO_LARGE")


def _named(items: Any, *keys: str) -> list[dict[str, Any]]:
    """The items with a proper name, which alone may reach hints; those that Salesforce hides are left out."""
    proper = (each for each in _list(items) if isinstance(each, dict) and all(_is_name(each.get(key)) for key in keys))
    return [each for each in proper if each.get("deprecatedAndHidden") is not True]


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and names.is_field(value)


def _name(text: str) -> str:
    if not names.is_field(text):
        raise _unreadable()
    return text


def _word(value: Any) -> str | None:
    return value if _is_name(value) else None


def _text(value: Any) -> str:
    return clean_word(value, _LABEL)


def _number(value: Any) -> int:
    return value if is_count(value) else 0


def _if(since: str | None) -> tuple[tuple[str, str], ...]:
    return (("If-Modified-Since", since),) if since else ()


def _last_modified(reply: Reply) -> str | None:
    header = reply.headers.get("last-modified")
    return header if header and len(header) <= _HEADER and header.isprintable() and header.isascii() else None


def _unreadable() -> Rejected:
    return Rejected("the org's answer has not the form that Salesforce documents", code="BAD_REPLY")
