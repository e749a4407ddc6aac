"""What the store has, as the text of a file that ``apply`` takes: every org, group and principal, and no secret."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from orgserver.cli.configuration.username_sources import write_username_source
from orgserver.cli.policies import yaml_text
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Grant, grant_text
from orgserver.model.orgs import Org
from orgserver.services.configuration.inventory import Inventory
from orgserver.store.orgs.logins import Login
from orgserver.store.people.records import GroupRecord, PrincipalRecord

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WIDTH = 120
_HEADING = "# yaml-language-server: $schema={}\n"


def write(inventory: Inventory, schema: str) -> str:
    """The text; policies that several orgs have stand there once, by a name."""
    names = _policy_names(inventory)
    facts: dict[str, Any] = {}
    if names:
        facts["policies"] = {name: yaml_text.facts_of(policy) for policy, name in names.items()}
    facts["orgs"] = {str(org.alias): _org(org, inventory, names) for org in _sorted(inventory)}
    facts["groups"] = {name: _group(group) for name, group in sorted(inventory.groups.items())}
    facts["principals"] = {name: _principal(record) for name, record in sorted(inventory.principals.items())}
    text = yaml.dump(facts, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return _HEADING.format(schema) + str(text)


def _sorted(inventory: Inventory) -> list[Org]:
    return [inventory.orgs[alias] for alias in sorted(inventory.orgs)]


def _policy_names(inventory: Inventory) -> dict[Policy, str]:
    counts = Counter(org.policy for org in _sorted(inventory) if org.policy != Policy())
    several = [policy for policy, count in counts.items() if count > 1]
    return {policy: f"shared-{number}" for number, policy in enumerate(several, 1)}


def _org(org: Org, inventory: Inventory, names: dict[Policy, str]) -> dict[str, Any]:
    login: Login | None = inventory.logins.get(org.row_id)
    usernames = inventory.usernames.get(org.org_id, {}) if org.org_id is not None else {}
    facts = {
        "enabled": None if org.enabled else False,
        "identity": org.identity if org.identity != "shared" else None,
        "username_from": write_username_source(org.username_from, usernames) if org.username_from else None,
        "auth": org.auth,
        "client_id": login.client_id if login else None,
        "login_url": org.login_url,
        "username": login.username if login and org.auth == "jwt" else None,
        "audience": login.audience if login and org.auth == "jwt" else None,
        "trust_hosts": list(org.trusted_hosts) or None,
        "tags": list(org.tags) or None,
        "policy": names.get(org.policy) or yaml_text.facts_of(org.policy),
    }
    return _without_absent(facts)


def _group(group: GroupRecord) -> dict[str, Any]:
    facts = {
        "claim": group.claim,
        "members": list(group.members) if group.claim is None else None,
        "grants": [_grant(grant) for grant in group.grants] or None,
    }
    return _without_absent(facts)


def _principal(record: PrincipalRecord) -> dict[str, Any]:
    facts = {
        "kind": record.kind,
        "enabled": None if record.enabled else False,
        "roles": sorted(record.roles) or None,
        "subjects": [{"issuer": each.issuer, "subject": each.subject} for each in record.subjects] or None,
        "limits": yaml_text.facts_of(record.limits) or None,
        "grants": [_grant(grant) for grant in record.grants] or None,
    }
    return _without_absent(facts)


def _grant(grant: Grant) -> str:
    return f"{grant.selector.text}:{grant_text(grant.permissions, grant.until, 'auto')}"


def _without_absent(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
