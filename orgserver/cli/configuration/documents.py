"""The form of a file: its sections and their keys, of which the published schema is made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from orgserver.cli.configuration.username_sources import read_username_source
from orgserver.model import names
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import read_principal_name
from orgserver.model.text import is_blank, replace_unsafe
from orgserver.salesforce import hosts

SCHEMA_ID = "https://raw.githubusercontent.com/orgserver/orgserver/main/docs/configuration.schema.json"
POLICY_SCHEMA = "policy.schema.json"
"""Beside the other."""
_REFERENCE = re.compile(r"(env|file|command):(.+)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = ("ORGSERVER_MASTER_KEY", "ORGSERVER_SIGNIN_CLIENT_SECRET", "ORGSERVER_DATABASE_")
_POLICY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_GRANT = r"^\S+:(read|write|delete)(, ?(read|write|delete))*( until \d{4}-\d{2}-\d{2}\S*)?$"


def _read_reference(text: str) -> str:
    match = _REFERENCE.fullmatch(text.strip())
    if match is None:
        raise ValueError("is a reference (env:NAME, file:PATH or command:PROGRAM …), never the secret itself")
    kind, target = match.groups()
    if kind == "env" and not _VARIABLE.fullmatch(target):
        raise ValueError("env: is followed by the name of a variable")
    if kind == "env" and target.startswith(_OURS):
        raise ValueError("that variable holds a secret of orgserver's own")
    return text.strip()


def _read_visible(text: str) -> str:
    if is_blank(text) or replace_unsafe(text) != text:
        raise ValueError("is a text of visible characters")
    return text


def _read_client_id(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise ValueError("has a space or another character that none has")
    return text


def _read_policy(value: Any) -> Policy | str:
    """Limits that the reading of the file has made already, or the name of some."""
    if isinstance(value, Policy):
        return value
    if not isinstance(value, str) or not re.fullmatch(_POLICY_NAME, value):
        raise ValueError("is limits with their values, or the name of some under policies")
    return value


def _one_key(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """The schema of a mapping with this key alone."""
    return {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}


_LIMITS: dict[str, Any] = {"limits": True}
"""What stands for the schema of policies, which pydantic would look for among its own."""
Visible = Annotated[str, AfterValidator(_read_visible)]
Alias = Annotated[str, AfterValidator(names.alias)]
HolderName = Annotated[str, AfterValidator(read_principal_name)]
PolicyName = Annotated[str, Field(pattern=f"^{_POLICY_NAME}$")]
TrustedHost = Annotated[str, AfterValidator(hosts.check_host)]
Reference = Annotated[
    str, AfterValidator(_read_reference), WithJsonSchema({"type": "string", "pattern": "^(env|file|command):.+"})
]
Grant = Annotated[str, WithJsonSchema({"type": "string", "pattern": _GRANT})]
NamedPolicy = Annotated[Any, PlainValidator(_read_policy), WithJsonSchema(_LIMITS)]
PolicyOrName = Annotated[
    Any,
    PlainValidator(_read_policy),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_POLICY_NAME}$"}, _LIMITS]}),
]


UsernameSource = Annotated[
    Any,
    PlainValidator(read_username_source),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "principal"},
                _one_key("claim", {"type": "string"}),
                _one_key("map", {"type": "object", "additionalProperties": {"type": "string"}}),
            ]
        }
    ),
]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


class OrgKeys(_Keys):
    """An org. What is left out stays as it is; how it is logged in to counts when it is first enrolled."""

    enabled: bool | None = Field(None, description="Whether it takes calls.")
    tags: list[Visible] = Field([], description="Words that grants select it by.")
    policy: PolicyOrName | None = Field(None, description="All of its limits, or the name of some under policies.")
    identity: Literal["shared", "own", "own-or-shared"] | None = Field(
        None, description="Whose login calls use: the org's, or each principal's own."
    )
    username_from: UsernameSource | None = Field(
        None, description="Who each principal is where one jwt key logs everybody in: principal, a claim, or a map."
    )
    auth: Literal["web", "refresh-token", "jwt", "client-credentials"] | None = Field(
        None, description="How it is logged in to. With web, a person does that with add-org."
    )
    client_id: Annotated[str, AfterValidator(_read_client_id)] | None = Field(None, description="Of the app.")
    login_url: str | None = Field(None, description="Where it logs in; https://login.salesforce.com unless said.")
    instance_url: str | None = Field(None, description="Its own URL, where it is not told by its first token.")
    username: Visible | None = Field(None, description="Whom a jwt login acts as.")
    audience: str | None = Field(None, description="Whom a jwt assertion is meant for, where it cannot be known.")
    api_version: Annotated[str, AfterValidator(names.api_version)] | None = Field(
        None, description="v66.0 and its like; the newest that the org offers unless said."
    )
    trust_hosts: list[TrustedHost] | None = Field(None, description="Hosts outside Salesforce's own domains.")
    client_secret: Reference | None = Field(None, description="Where the app's secret is: env:NAME, file:PATH.")
    refresh_token: Reference | None = Field(None, description="Where its first refresh token is. It may be spent then.")
    private_key: Reference | None = Field(None, description="Where the PEM of a jwt login's key is.")


class GroupKeys(_Keys):
    """A group: filled by a claim of the identity provider, or by hand with members."""

    claim: Visible | None = Field(None, description="The value of the groups claim that fills it.")
    members: list[HolderName] | None = Field(None, description="Principals in it.")
    grants: list[Grant] = Field([], description="SELECTOR:read,write,delete, and until a date if wanted.")


class SubjectKeys(_Keys):
    """Who a principal is for an identity provider."""

    issuer: Visible
    subject: Visible


class PrincipalKeys(_Keys):
    """Who may call. API keys are never in a file."""

    kind: Literal["person", "service"] | None = Field(None, description="A person unless said.")
    enabled: bool | None = Field(None, description="Whether it may call.")
    roles: list[Literal["auditor", "admin"]] = Field([], description="What it may do beside calling.")
    subjects: list[SubjectKeys] = Field([], description="Who it is for identity providers.")
    limits: PolicyOrName | None = Field(None, description="Its own limits, or the name of some under policies.")
    grants: list[Grant] = Field([], description="SELECTOR:read,write,delete, and until a date if wanted.")


class Document(_Keys):
    """A file."""

    policies: dict[PolicyName, NamedPolicy] | None = Field(None, description="Limits that several orgs share, by name.")
    orgs: dict[Alias, OrgKeys] | None = Field(None, description="By alias.")
    groups: dict[HolderName, GroupKeys] | None = Field(None, description="By name.")
    principals: dict[HolderName, PrincipalKeys] | None = Field(None, description="By name.")


KEYS: dict[str, type[_Keys]] = {"orgs": OrgKeys, "groups": GroupKeys, "principals": PrincipalKeys}
"""By section, the keys of what stands in it."""


def schema() -> str:
    """The published schema, as text."""
    body = Document.model_json_schema()
    facts = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Orgs, groups, principals and policies of orgserver, for orgserver apply",
    }
    plain = _tidy({name: value for name, value in body.items() if name != "title"})
    return json.dumps(facts | plain, indent=2, ensure_ascii=False) + "\n"


def write_schema(docs: Path) -> None:
    """Write it where it is published."""
    (docs / "configuration.schema.json").write_text(schema(), "utf-8")


def _tidy(value: Any) -> Any:
    """Without null, which no file takes, and without titles and defaults that say nothing."""
    if isinstance(value, list):
        return [_tidy(each) for each in value if each != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    if value == _LIMITS:
        return {"$ref": POLICY_SCHEMA}
    tidy = {name: _tidy(inner) for name, inner in value.items() if not _says_nothing(name, inner)}
    options = tidy.pop("anyOf", None)
    if options is None:
        return tidy
    return options[0] | tidy if len(options) == 1 else tidy | {"anyOf": options}


def _says_nothing(name: str, value: Any) -> bool:
    return (name == "title" and isinstance(value, str)) or (name == "default" and value in (None, []))
