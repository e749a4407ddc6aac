"""What commands tell of an org: everything but its secrets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orgserver.cli.output import tell, warn
from orgserver.model.access.policies import SWITCHES
from orgserver.model.orgs import Org


def details_of(org: Org) -> dict[str, Any]:
    """Everything about an org that is no secret."""
    from orgserver.services.orgs import keepalive, visible_orgs  # noqa: PLC0415  # a shell that completes waits for none of it

    return {
        "alias": org.alias,
        "org": org.alias,
        "org_id": org.org_id,
        "name": org.name,
        "kind": org.kind,
        "edition": org.edition,
        "state": org.visible_state.value,
        "cause": org.cause,
        "problem": visible_orgs.problem(org),
        "held": org.refresh_suspended,
        "move": _move_of(org),
        "user": {"id": org.user.id, "username": org.user.username, "time_zone": org.user.time_zone}
        if org.user
        else None,
        "login_url": org.login_url,
        "instance_url": org.instance_url,
        "trust_hosts": list(org.trusted_hosts),
        "api_version": org.api_version,
        "auth": org.auth,
        "identity": org.identity,
        "username_from": str(org.username_from) if org.username_from is not None else None,
        "read_only": org.policy.read_only,
        "keep_values": org.policy.keep_values,
        "confirm_deletes": org.policy.confirm_deletes,
        "policy": org.policy.facts(),
        "tags": list(org.tags),
        "source": org.source,
        "created_at": _iso(org.created_at),
        "refreshed_at": _iso(org.refreshed_at),
        "token_dies_at": _iso(keepalive.dies_at(org)),
    }


def identity_text(org: Org) -> str:
    """Whose login calls use, in a word or two."""
    source = f", username from {org.username_from}" if org.username_from is not None else ""
    return f"{org.identity}{source}"


def lines_of(org: Org) -> dict[str, Any]:
    """The same for a person to read: its limits a line each."""
    facts: dict[str, Any] = {}
    for name, value in details_of(org).items():
        if name == "policy":
            facts |= {limit: text for limit, text in org.policy.texts().items() if text}
        elif name != "alias":  # "org" says it
            facts[name] = value
    return facts


def use_of(org: Org, calls: Mapping[str, int]) -> dict[str, Any]:
    """What agents used up of an org's API today, where that is counted: ``calls`` by principal."""
    if org.policy.api_budget is None and not calls:
        return {}
    return {"api_calls_today": {"total": sum(calls.values()), "by_principal": dict(calls)}}


def lines_of_use(org: Org, calls: Mapping[str, int]) -> dict[str, str]:
    """The same for a person to read."""
    if not use_of(org, calls):
        return {}
    budget = f" of {org.policy.api_budget:,}" if org.policy.api_budget is not None else ""
    whose = ", ".join(f"{principal} {count:,}" for principal, count in calls.items())
    return {"api calls today": f"{sum(calls.values()):,}{budget}{f' ({whose})' if whose else ''}"}


def changes(before: Org, after: Org) -> list[dict[str, Any]]:
    """What a command changed of an org: {field, from, to} each."""
    off = dict.fromkeys(SWITCHES, False)
    return own_changes(before, after) + _compare(off | before.policy.facts(), off | after.policy.facts())


def own_changes(before: Org, after: Org) -> list[dict[str, Any]]:
    """What it changed beside its policy."""

    def facts(org: Org) -> dict[str, Any]:
        source = str(org.username_from) if org.username_from is not None else None
        own = {"identity": org.identity, "username_from": source}
        return {"alias": org.alias, "state": org.visible_state.value, "tags": list(org.tags)} | own

    return _compare(facts(before), facts(after))


def _compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = dict.fromkeys((*old, *new))
    return [
        {"field": name, "from": old.get(name), "to": new.get(name)} for name in names if old.get(name) != new.get(name)
    ]


def warn_of_idleness(org: Org) -> None:
    """Say when an org's refresh token has been idle so long that its end is near."""
    news = _describe_idleness(org)
    if news is not None:
        warn(f"{org.alias}: {news}")


def has_news(org: Org) -> bool:
    """Whether there is more to say of an org than fits a line of a table."""
    from orgserver.services.tokens import instance_moves  # noqa: PLC0415  # as above

    moved = instance_moves.describe_move(org, datetime.now(UTC)) is not None
    return moved or org.problem is not None or _describe_idleness(org) is not None


def _describe_idleness(org: Org) -> str | None:
    from orgserver.services.orgs import keepalive  # noqa: PLC0415  # as above

    end = keepalive.dies_at(org)
    if end is None or end - datetime.now(UTC) > keepalive.LIFE - keepalive.WARN_FROM:
        return None
    alive = end > datetime.now(UTC)
    fate = f"dies on {end:%Y-%m-%d} unless it is used" if alive else f"may have died on {end:%Y-%m-%d}, unused"
    return f"its refresh token {fate}; run: orgserver refresh-idle"


def tell_of_callbacks(org: Org) -> None:
    """Say which addresses the app of an org must have, where people log in to it in their browsers."""
    from orgserver.services.connections.links import CALLBACK_PATH  # noqa: PLC0415  # as above
    from orgserver.services.orgs.registration import CALLBACK  # noqa: PLC0415

    if org.identity == "shared" or not org.holds_refresh_token:
        return
    tell(
        f"People log in to {org.alias} themselves: its app at Salesforce needs the callback URL{CALLBACK_PATH}, with "
        f"the https address of your server for URL; for connect-org it needs {CALLBACK}."
    )


def warn_of_move(org: Org) -> None:
    """Say where an org has moved to, or is said to have moved to."""
    from orgserver.services.tokens import instance_moves  # noqa: PLC0415  # as above

    news = instance_moves.describe_move(org, datetime.now(UTC))
    if news is not None:
        warn(f"{org.alias}: {news}")


def tell_of_clients(alias: str) -> None:
    """Say what an alias that is no more does to servers that are started for it."""
    tell(f"A client whose server is for --org {alias} cannot start it any more: orgserver connect that client again.")


def _move_of(org: Org) -> dict[str, Any] | None:
    move = org.move
    if move is None:
        return None
    details = {"from": move.before, "to": move.after, "since": _iso(move.since), "proven": move.proven}
    return details | ({"reason": move.reason} if move.reason else {})


def ago(time: datetime | None) -> str:
    """How long ago something was, in a few words."""
    if time is None:
        return "never"
    minutes = int((datetime.now(UTC) - time).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 120:  # noqa: PLR2004  # two hours
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1_440} days ago"


def _iso(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None
