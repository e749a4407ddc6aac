"""What an org says that its objects look like, since when, and how a test changes that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.state import person_accounts, schema
from orgserver.sandbox.state.schema import SObject
from orgserver.sandbox.state.users import SandboxUser, Users

RECORDED = datetime(2026, 10, 12, tzinfo=UTC)
"""Since when the objects look as they do, until a test changes one."""
_LEFT_OUT = frozenset({"actionOverrides", "childRelationships", "compactLayoutable", "defaultImplementation"})
_LEFT_OUT |= {"extendedBy", "extendsInterfaces", "fields", "implementedBy", "implementsInterfaces", "listviewable"}
_LEFT_OUT |= {"lookupLayoutable", "namedLayoutInfos", "networkScopeFieldName", "recordTypeInfos", "searchLayoutable"}
_LEFT_OUT |= {"sobjectDescribeOption", "supportedScopes"}
Tables = Mapping[str, Mapping[str, dict[str, Any]]]


class Objects:
    """One org's objects."""

    def __init__(self, tables: Tables, users: Users, clock: Callable[[], datetime]) -> None:
        self.hidden: frozenset[str] = frozenset()
        """The names of those that the org lets nobody see."""
        self._visible: dict[tuple[str, str], SObject] = {}
        """Those that a user sees in part, by the user's id and their own name."""
        self._changed: dict[str, SObject] = {}
        self._tables = tables
        self._users = users
        self._clock = clock
        self._modified: dict[str, datetime] = {}

    @property
    def own(self) -> dict[str, SObject | None]:
        """Those that the current user does not see as recorded, by name; None for what is hidden."""
        user_id = self._users.current.id
        visible = {name: each for (owner, name), each in self._visible.items() if owner == user_id}
        return {**self._changed, **visible, **dict.fromkeys(self.hidden)}

    @property
    def persons(self) -> bool:
        """Whether the org has person accounts."""
        return "ispersonaccount" in self._whole("Account").fields

    def find(self, name: str) -> SObject:
        """The object as the current user sees it."""
        return self._visible.get((self._users.current.id, name)) or self._whole(name)

    def _whole(self, name: str) -> SObject:
        return self._changed.get(name) or schema.load(name)

    def hide_fields(self, user: SandboxUser, names: Mapping[str, frozenset[str]]) -> None:  # a knob
        """Hide these fields, and no others, from a user: a change of permissions is a change of describe."""
        former, user.hidden_fields = user.hidden_fields, dict(names)
        for name in former.keys() | names.keys():
            self._touch(name)

    def change(self, name: str, field: str, attributes: Mapping[str, Any]) -> None:
        """Change what describe tells of a field, or add one; ValueError if the object is unknown."""
        recorded = schema.find(name)
        if recorded is None:
            raise ValueError(f"there is no object {name}")
        describe = copy.deepcopy(self._whole(recorded.name).describe)
        fields = describe["fields"]
        index = next((i for i, each in enumerate(fields) if each["name"].lower() == field.lower()), None)
        if index is None:
            fields.append(_plain() | {"name": field, "label": field, **attributes})
        else:
            fields[index] = fields[index] | attributes
        self._keep(describe)

    def have_persons(self, enabled: bool) -> None:  # a knob
        """Let the org have person accounts, or not."""
        if enabled == self.persons:
            return
        for describe in person_accounts.descriptions():
            self._keep(describe if enabled else schema.load(describe["name"]).describe)

    def _keep(self, describe: dict[str, Any]) -> None:
        sobject = schema.understood(describe)
        self._changed[sobject.name] = sobject
        self._touch(sobject.name)
        for record in self._tables[sobject.name].values():
            for name, value in sobject.defaults.items():
                record.setdefault(name, value)

    def _touch(self, name: str) -> None:
        """Make anew what each user sees of an object, and from when on it is so."""
        for user in self._users.by_id.values():
            hidden = user.hidden_fields.get(name)
            self._visible.pop((user.id, name), None)
            if hidden:
                self._visible[user.id, name] = schema.without(self._whole(name), hidden)
        # HTTP's dates have seconds; whoever asked within this one must see the change all the same.
        now = self._clock().replace(microsecond=0)
        self._modified[name] = max(now, self._since(name) + timedelta(seconds=1))

    def _since(self, name: str) -> datetime:
        return self._modified.get(name, RECORDED)

    def described(self, request: Request, sobject: SObject, version: str, url: str) -> Answer:
        """``/sobjects/NAME/describe``."""
        return _answer(request, sobject.describe, self._since(sobject.name), version, url)

    def basic(self, request: Request, sobject: SObject, version: str, url: str) -> Answer:
        """``/sobjects/NAME``."""
        body = {"objectDescribe": _brief(sobject), "recentItems": []}
        return _answer(request, body, self._since(sobject.name), version, url)

    def all(self, request: Request, version: str, url: str) -> Answer:
        """``/sobjects``."""
        objects = [_brief(self.find(name)) for name in schema.NAMES if name not in self.hidden]
        body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects}
        return _answer(request, body, max(self._since(name) for name in schema.NAMES), version, url)


def _answer(request: Request, body: dict[str, Any], since: datetime, version: str, url: str) -> Answer:
    client_date = request.date("if-modified-since")
    if client_date is not None and client_date >= since:
        return Answer(304)
    answer = Answer(200, body, {"last-modified": format_datetime(since, usegmt=True)})
    answer.body = answer.body.replace(b"/services/data/vxx.0/", f"/services/data/{version}/".encode())
    answer.body = answer.body.replace(b"https://orgname.my.salesforce.com", url.encode())
    return answer


def _brief(sobject: SObject) -> dict[str, Any]:
    describe = {"associateEntityType": None, "associateParentEntity": None} | sobject.describe
    return {name: value for name, value in describe.items() if name not in _LEFT_OUT}


def _plain() -> dict[str, Any]:
    """A custom text field."""
    return copy.deepcopy(next(f for f in schema.load("Custom__c").describe["fields"] if f["name"] == "CustomField__c"))
