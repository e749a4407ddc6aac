"""One configuration of all files: names are resolved, and whatever stands in two places is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from orgserver.cli.configuration.documents import GroupKeys, OrgKeys, PrincipalKeys
from orgserver.cli.configuration.reading import Sections
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import PERMISSIONS, Subject
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias, nearest
from orgserver.salesforce import hosts
from orgserver.services.configuration.declarations import (
    SECTIONS,
    Configuration,
    GrantDeclaration,
    GroupDeclaration,
    OrgDeclaration,
    Place,
    PrincipalDeclaration,
    SecretReference,
)
from orgserver.services.people.requests import read_grants

_SECRETS = ("client_secret", "refresh_token", "private_key")
_UNTIL = re.compile(r"(.*\S) +until +(\S+)")
AnyDeclaration = TypeVar("AnyDeclaration", OrgDeclaration, GroupDeclaration, PrincipalDeclaration)


def convert(source: str, files: Iterable[tuple[Sections, Path]]) -> Configuration:
    """The configuration of some files; ConfigError is one line that names the place, or both."""
    every = list(files)
    converter = _Converter([sections for sections, _ in every])
    orgs: dict[Alias, OrgDeclaration] = {}
    groups: dict[str, GroupDeclaration] = {}
    principals: dict[str, PrincipalDeclaration] = {}
    for sections, folder in every:
        document = sections.document
        for alias, org in (document.orgs or {}).items():
            _add(orgs, Alias(alias), converter.org(sections, alias, org, folder), "the org")
        for name, group in (document.groups or {}).items():
            _add(groups, name, converter.group(sections, name, group), "the group")
        for name, principal in (document.principals or {}).items():
            _add(principals, name, converter.principal(sections, name, principal), "the principal")
    found_sections = {
        name for sections, _ in every for name in SECTIONS if getattr(sections.document, name) is not None
    }
    _refuse_subject_twice(principals.values())
    return Configuration(source, orgs, groups, principals, frozenset(found_sections))


class _Converter:
    def __init__(self, files: Iterable[Sections]) -> None:
        self._policies: dict[str, Policy] = {}
        places: dict[str, Place] = {}
        for sections in files:
            for name, policy in (sections.document.policies or {}).items():
                place = Place(sections.place, sections.line("policies", name))
                if name in places:
                    raise _twice(place, f"the policy {name}", places[name])
                places[name], self._policies[name] = place, policy

    def org(self, sections: Sections, alias: str, keys: OrgKeys, folder: Path) -> OrgDeclaration:
        path = ("orgs", alias)
        trusted = keys.trust_hosts or ()
        for name in ("login_url", "instance_url"):
            _check_url(sections, (*path, name), getattr(keys, name), trusted)
        _refuse_stray(sections, path, keys)
        return OrgDeclaration(
            alias=Alias(alias),
            place=Place(sections.place, sections.line(*path)),
            enabled=keys.enabled,
            tags=_each_once(sections, (*path, "tags"), keys.tags),
            policy=self._policy(sections, (*path, "policy"), keys.policy),
            identity=keys.identity,
            username_from=keys.username_from.username_from if keys.username_from is not None else None,
            usernames=keys.username_from.usernames if keys.username_from is not None else None,
            auth=keys.auth,
            client_id=keys.client_id,
            login_url=keys.login_url,
            instance_url=keys.instance_url,
            username=keys.username,
            audience=keys.audience,
            api_version=keys.api_version,
            trusted_hosts=tuple(dict.fromkeys(keys.trust_hosts)) if keys.trust_hosts is not None else None,
            secrets=_secrets(sections, path, keys, folder),
        )

    def group(self, sections: Sections, name: str, keys: GroupKeys) -> GroupDeclaration:
        path = ("groups", name)
        if keys.claim is not None and keys.members is not None:
            raise _refusal(sections, (*path, "members"), f"{name} is filled by a claim, so it has no members by hand")
        members = _each_once(sections, (*path, "members"), keys.members) if keys.members is not None else None
        place = Place(sections.place, sections.line(*path))
        return GroupDeclaration(name, place, keys.claim, members, _grants(sections, path, keys.grants))

    def principal(self, sections: Sections, name: str, keys: PrincipalKeys) -> PrincipalDeclaration:
        path = ("principals", name)
        return PrincipalDeclaration(
            name=name,
            place=Place(sections.place, sections.line(*path)),
            kind=keys.kind,
            enabled=keys.enabled,
            roles=tuple(dict.fromkeys(keys.roles)),
            subjects=tuple(Subject(each.issuer, each.subject) for each in keys.subjects),
            limits=self._policy(sections, (*path, "limits"), keys.limits),
            grants=_grants(sections, path, keys.grants),
        )

    def _policy(self, sections: Sections, path: tuple[str, ...], value: Policy | str | None) -> Policy | None:
        """The limits that stand there, or those that are named."""
        if not isinstance(value, str):
            return value
        policy = self._policies.get(value)
        if policy is None:
            near = nearest(value, self._policies)
            meant = f"; did you mean {near}?" if near else ""
            raise _refusal(sections, path, f"no file has {value} under policies{meant}")
        return policy


def _add(declarations: dict[Any, AnyDeclaration], name: str, declaration: AnyDeclaration, noun: str) -> None:
    other = declarations.setdefault(name, declaration)
    if other is not declaration:
        raise _twice(declaration.place, f"{noun} {name}", other.place)


def _grants(sections: Sections, path: tuple[str, ...], texts: Iterable[str]) -> tuple[GrantDeclaration, ...]:
    grants: dict[str, GrantDeclaration] = {}
    for number, text in enumerate(texts):
        place = Place(sections.place, sections.line(*path, "grants", number))
        grant = _grant(text, place)
        other = grants.setdefault(grant.selector.text, grant)
        if other is not grant:
            raise _twice(place, f"{path[1]}'s grant on {grant.selector.text}", other.place)
    return tuple(grants.values())


def _grant(text: str, place: Place) -> GrantDeclaration:
    match = _UNTIL.fullmatch(text.strip())
    permissions, end = match.groups() if match else (text.strip(), None)
    if permissions in PERMISSIONS:
        raise ConfigError(f"{place}: {text} is a permission; in brackets write 'acme:read,write' in quotes")
    try:
        (request,) = read_grants([permissions])
        until = _end(end) if end is not None else None
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None
    return GrantDeclaration(request.selector, request.permissions, until, place)


def _end(text: str) -> datetime:
    """An end is a date of its own: what is counted from now would be another with each run."""
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a grant ends at a time of ISO 8601, such as 2027-01-31 or 2027-01-31T18:00Z") from None
    try:
        return (end if end.tzinfo else end.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError("that end is beyond all calendars") from None


def _secrets(sections: Sections, path: tuple[str, ...], keys: OrgKeys, folder: Path) -> Mapping[str, SecretReference]:
    references: dict[str, SecretReference] = {}
    for name in _SECRETS:
        text = getattr(keys, name)
        if text is not None:
            kind, _, target = text.partition(":")
            place = Place(sections.place, sections.line(*path, name))
            references[name] = SecretReference(kind, target, place, str(folder))
    return references


def _refuse_stray(sections: Sections, path: tuple[str, ...], keys: OrgKeys) -> None:
    """ConfigError for keys that this way of logging in does not know."""
    of_kinds = {
        "username": ("jwt",),
        "audience": ("jwt",),
        "private_key": ("jwt",),
        "refresh_token": ("refresh-token",),
        "client_secret": ("refresh-token", "client-credentials", "web"),
    }
    for name, kinds in of_kinds.items():
        if getattr(keys, name) is not None and keys.auth is not None and keys.auth not in kinds:
            raise _refusal(sections, (*path, name), f"{name} goes with auth {' or '.join(kinds)}, not {keys.auth}")


def _check_url(sections: Sections, path: tuple[str, ...], url: str | None, trusted: Iterable[str]) -> None:
    if url is None:
        return
    try:
        hosts.check_url(url, tuple(trusted))
    except hosts.ForeignHost as error:
        raise _refusal(sections, path, f"{path[-1]}: {error}; trust_hosts allows one") from None
    except ValueError as error:
        raise _refusal(sections, path, f"{path[-1]}: {error}") from None


def _each_once(sections: Sections, path: tuple[str, ...], texts: Iterable[str]) -> tuple[str, ...]:
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        place = Place(sections.place, sections.line(*path, number))
        if text in first:
            raise _twice(place, text, Place(sections.place, sections.line(*path, first[text])))
        first[text] = number
    return tuple(first)


def _refuse_subject_twice(principals: Iterable[PrincipalDeclaration]) -> None:
    owners: dict[Subject, PrincipalDeclaration] = {}
    for principal in principals:
        for subject in principal.subjects:
            other = owners.setdefault(subject, principal)
            if other is not principal:
                raise _twice(principal.place, f"{subject.subject} of {subject.issuer}", other.place)


def _twice(place: Place, what: str, other: Place) -> ConfigError:
    return ConfigError(f"{place}: {what} is there already, in {other}")


def _refusal(sections: Sections, path: tuple[str, ...], reason: str) -> ConfigError:
    return ConfigError(f"{Place(sections.place, sections.line(*path))}: {reason}")
