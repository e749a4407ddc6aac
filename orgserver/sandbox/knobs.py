"""What a test in another process can change about an org.

rotation            whether a refresh gives a new refresh token
plain               whether replies go neither packed nor in chunks, without Salesforce's headers
daily_limit         what Sforce-Limit-Info says, and calls until REQUEST_LIMIT_EXCEEDED
session_seconds     after how much idleness a session ends; null: never
callbacks           where a log-in in the browser may lead back to
duplicate_rule      {"object", "fields", "allow_save"}: records alike in these fields are duplicates; null: none are
person_accounts     whether an account may be a person
hidden_objects      the names of objects that the org lets nobody see
hidden_fields       {"object": ["field"]}: what field-level security hides from the org's first user, in all replies
page_rows           how many rows a page of a query has at most, whatever batchSize asks; null: as many as asked
locators_end_with_session
                    whether the next page of a query is for the session that began it alone
limit_info          the form of Sforce-Limit-Info: plain, bursts or per_app
time_zone           the zone of the org's first user, in which TODAY and its kin are meant
bulk_rows_per_second
                    how fast a bulk job gets on; 0: not at all, null: as fast as it can
bulk_delay          seconds until it begins
consent_page        whether such a log-in waits for somebody to press Allow, and before that to log in where the org has
                    several users. Else it is that of the user whom ``login_hint`` names, or of the first, at once
deny                whether it ends with access_denied
pkce_required       whether it needs a code challenge
secret_required     whether the org's own app must show its secret
client_credentials  whether an app's own credentials are taken
jwt_public_key      the PEM of a public key or certificate for signed assertions; null: none are taken
jwt_approved        whether the app is approved for the user who is named in an assertion
platform_cli        whether the sf command's app is installed, or the user may approve apps that are not
connected_app       whether the app is an older connected app, which takes assertions for login. and test.salesforce.com
                    alone; by default it is an External Client App, which takes those for the org's own host alone
clock_ahead         seconds that the org's clock is ahead of this machine's; negative: behind
ip_refused, outside_login_hours, inactive_user
                    why the token endpoint refuses
busy                how many token requests are "already being processed"
token_delay         [least, most] seconds before a token request is worked on; null: none
token_delay_after   the same, between the work and the answer
seed                an integer, for delays that can be repeated
org_id, instance_url
                    what token answers say in place of the truth; null: the truth
token_fields        an object: fields of token answers, in place of the true ones
token_without       the names of fields that token answers lack
moved               whether the org lives at ``localhost`` in place of 127.0.0.1; both answer
identity_org_id, identity_url
                    what the identity URL says of the org and its place; null: the truth
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from orgserver.sandbox.oauth.assertions import public_key
from orgserver.sandbox.org import LimitInfo, SandboxOrg
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.duplicate_rules import Rule
from orgserver.sandbox.state.users import SandboxUser

Read = Callable[[Any], Any]
_LONGEST = 600
_LONGEST_AHEAD = 10 * 366 * 86_400


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is wanted")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("an integer is wanted")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("a list of texts is wanted")
    return [_text(each) for each in value]


def _seconds(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
        raise TypeError("seconds are wanted")
    return float(value)


def _clock(value: Any) -> Callable[[], datetime]:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _LONGEST_AHEAD:
        raise TypeError(f"seconds are wanted, {_LONGEST_AHEAD:,} at most")
    return lambda: datetime.now(UTC) + timedelta(seconds=value)


def _span(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004  # least and most
        raise TypeError("[least, most] seconds are wanted")
    least, most = (_seconds(each) for each in value)
    if not least <= most <= _LONGEST:
        raise ValueError(f"least, most and {_LONGEST} seconds must be in this order")
    return least, most


def _or_null(read: Read) -> Read:
    return lambda value: None if value is None else read(value)


def _random(value: Any) -> Random:
    return Random(_whole(value))  # noqa: S311  # delays, not secrets


def _rule(value: Any) -> Rule:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return Rule.read(value)


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return value


def _objects(value: Any) -> frozenset[str]:
    names = frozenset(_texts(value))
    if not names <= set(schema.NAMES):
        raise ValueError(f"unknown objects: {', '.join(sorted(names - set(schema.NAMES)))}")
    return names


def _hidden_fields(value: Any) -> dict[str, frozenset[str]]:
    if not isinstance(value, dict):
        raise TypeError("an object is wanted")
    return {_one_object(name): _hideable(name, _texts(fields)) for name, fields in value.items()}


def _one_object(name: str) -> str:
    (object_name,) = _objects([name])
    return object_name


def _hideable(name: str, fields: list[str]) -> frozenset[str]:
    """Field-level security cannot hide every field: not ids, names or what a record must have."""
    by_name = {each["name"]: each for each in schema.load(name).describe["fields"]}
    lacking = [each for each in fields if each in by_name and not by_name[each]["permissionable"]]
    if lacking:
        raise ValueError(f"{', '.join(lacking)} of {name} cannot be hidden")
    return frozenset(fields)


def _rows(value: Any) -> int:
    if _whole(value) < 1:
        raise ValueError("at least one row is wanted")
    return int(value)


def _limit_info(value: Any) -> str:
    if value not in get_args(LimitInfo):
        raise ValueError(f"one of {', '.join(get_args(LimitInfo))} is wanted")
    return str(value)


def _zone(value: Any) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (OSError, ZoneInfoNotFoundError):
        raise ValueError("the name of a time zone is wanted") from None


_OF_ORG: dict[str, tuple[str, Read]] = {
    "duplicate_rule": ("duplicate_rule", _or_null(_rule)),
    "hidden_objects": ("hidden_objects", _objects),
    "hidden_fields": ("hidden_fields", _hidden_fields),
    "page_rows": ("page_rows", _or_null(_rows)),
    "locators_end_with_session": ("locators_end_with_session", _flag),
    "limit_info": ("limit_info", _limit_info),
    "time_zone": ("user_time_zone", _zone),
    "person_accounts": ("person_accounts", _flag),
    "bulk_rows_per_second": ("bulk_rows_per_second", _or_null(_seconds)),
    "bulk_delay": ("bulk_delay", _seconds),
    "rotation": ("rotation", _flag),
    "plain": ("plain", _flag),
    "daily_limit": ("daily_limit", _whole),
    "session_seconds": ("session_seconds", _or_null(_seconds)),
    "callbacks": ("callbacks", _texts),
    "clock_ahead": ("clock", _clock),
    "moved": ("moved", _flag),
}
_OF_ANSWERS: dict[str, tuple[str, Read]] = {
    "consent_page": ("consent_page", _flag),
    "deny": ("deny", _flag),
    "pkce_required": ("pkce_required", _flag),
    "secret_required": ("secret_required", _flag),
    "client_credentials": ("client_credentials", _flag),
    "jwt_public_key": ("jwt_public_key", _or_null(lambda value: public_key(_text(value)))),
    "jwt_approved": ("jwt_approved", _flag),
    "connected_app": ("connected_app", _flag),
    "platform_cli": ("platform_cli", _flag),
    "ip_refused": ("ip_refused", _flag),
    "outside_login_hours": ("outside_login_hours", _flag),
    "inactive_user": ("inactive_user", _flag),
    "busy": ("busy", _whole),
    "token_delay": ("delay", _or_null(_span)),
    "token_delay_after": ("delay_after", _or_null(_span)),
    "seed": ("random", _random),
    "org_id": ("org_id", _or_null(_text)),
    "instance_url": ("instance_url", _or_null(_text)),
    "token_fields": ("fields", _fields),
    "token_without": ("without", _texts),
    "identity_org_id": ("identity_org_id", _or_null(_text)),
    "identity_url": ("identity_url", _or_null(_text)),
}
_OF_USER: dict[str, Read] = {
    "name": _text,
    "time_zone": _zone,
    "active": _flag,
    "approved": _flag,
    "password": _text,
    "hidden_fields": _hidden_fields,
}
NAMES = (*_OF_ORG, *_OF_ANSWERS)


def turn(org: SandboxOrg, knobs: dict[str, Any]) -> None:
    """Turn all these knobs, or none: ValueError or TypeError says which one is wrong."""
    changes = [_change(org, name, value) for name, value in knobs.items()]
    for holder, attribute, value in changes:
        setattr(holder, attribute, value)


def turn_user(org: SandboxOrg, body: dict[str, Any]) -> SandboxUser:
    """Add a user, or change the one of that name; ValueError or TypeError says what is wrong."""
    username = _text(body.get("username"))
    unknown = body.keys() - _OF_USER.keys() - {"username"}
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} is nothing that a user has")
    changes = {name: _OF_USER[name](value) for name, value in body.items() if name != "username"}
    user = org.users.find(username)
    if user is None:
        return org.add_user(username, **changes)
    if "name" in changes:
        raise ValueError("name: a user keeps it")
    org.change_user(user, **changes)
    return user


def _change(org: SandboxOrg, name: str, value: Any) -> tuple[object, str, Any]:
    holder: object = org if name in _OF_ORG else org.answers
    attribute, read = (_OF_ORG | _OF_ANSWERS).get(name, (None, None))
    if attribute is None or read is None:
        raise ValueError(f"{name} is no knob")
    try:
        return holder, attribute, read(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
