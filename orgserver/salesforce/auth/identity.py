"""The identity URL, which a token answer names: who the user is, and where that user's org lives.

Salesforce Help ``remoteaccess_using_openid``: ``https://login.salesforce.com/id/<org id>/<user id>``; ``urls`` holds
the org's API endpoints by name, with ``{version}`` in place of the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orgserver.model.names import org_id, record_id
from orgserver.model.text import clean_text
from orgserver.salesforce import hosts
from orgserver.salesforce.auth.oauth import TokenAnswer
from orgserver.salesforce.protocol.messages import Reply, Request

_SHARED = ("https://login.salesforce.com", "https://test.salesforce.com")
"""Salesforce writes these into ``id`` also where a My Domain gave the token."""
_API = ("rest", "sobjects", "query", "search")
"""Which of ``urls`` say where the API answers; others may be pictures and pages at other hosts."""
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Identity:
    """What an identity answer says."""

    org_id: str
    """Its 18-character form; what was said in place of one, made harmless, where it is none."""
    homes: frozenset[str]
    """Where the org's API answers: origins, one where all is well; what was said, made harmless, where it is none."""


def request_identity(answer: TokenAnswer, login_host: str, trusted: Sequence[str]) -> Request:
    """The request for the identity of a token answer, at the login host that gave it (an origin).

    Raises ValueError where ``id`` names another host: that one may not see the token.
    """
    origin = hosts.check_url(answer.identity_url, trusted)
    if origin not in (login_host, *_SHARED):
        raise ValueError(f"its identity URL names {origin.partition('://')[2]}, not the login host")
    return Request("GET", f"/id/{answer.org_id}/{answer.user_id}")


def read_identity(reply: Reply, trusted: Sequence[str]) -> Identity:
    """Read an identity answer; ValueError for what is none."""
    body: Any = reply.body
    urls = body.get("urls") if isinstance(body, dict) else None
    organization_id = body.get("organization_id") if isinstance(body, dict) else None
    if not isinstance(urls, dict) or not isinstance(organization_id, str):
        raise ValueError("its identity answer has not the form that Salesforce documents")  # noqa: TRY004  # not ours
    return Identity(_org_id(organization_id), _homes(urls, trusted))


def read_user(reply: Reply) -> tuple[str, str, str]:
    """Id, username and time zone of the user whom an identity answer is about; ValueError for what is none."""
    body: Any = reply.body
    texts = [body.get(name) if isinstance(body, dict) else None for name in ("user_id", "username", "timezone")]
    user_id, username, time_zone = texts
    if not isinstance(user_id, str) or not isinstance(username, str) or not isinstance(time_zone, str):
        raise ValueError("its identity answer does not say who the user is")  # noqa: TRY004  # not ours
    return record_id(user_id), clean_text(username, _SHOWN), clean_text(time_zone, _SHOWN)


def _org_id(text: str) -> str:
    try:
        return org_id(text)
    except ValueError:
        return clean_text(text, _SHOWN)


def _homes(urls: dict[str, Any], trusted: Sequence[str]) -> frozenset[str]:
    api_urls = [urls[name] for name in _API if name in urls]
    if not api_urls or not all(isinstance(url, str) for url in api_urls):
        raise ValueError("its identity answer names no place of the API")
    return frozenset(_origin(url, trusted) for url in api_urls)


def _origin(url: str, trusted: Sequence[str]) -> str:
    try:
        return hosts.check_url(url.replace("{version}", "66.0"), trusted)  # a placeholder, whose braces no URL has
    except ValueError:
        return clean_text(url, _SHOWN)
