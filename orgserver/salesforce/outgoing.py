"""The HTTP requests that leave for an org: the one place where a token or a credential meets a URL, a checked one.

Salesforce refuses addresses above 16,384 bytes with 414, and with their headers above that with 431 (limits cheat
sheet ``platform-api``); proxies often refuse less. There is no POST for queries, but ``/composite`` takes them (Help
000386264), and counts as one call: a read whose address is too long is sent as its one part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from orgserver.model.errors import NotSent
from orgserver.model.orgs import OrgHosts
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import oauth
from orgserver.salesforce.hosts import check_url
from orgserver.salesforce.http1.requests import HttpRequest, build_http_request, parse_origin
from orgserver.salesforce.protocol.messages import Request

LONGEST_ADDRESS = 8_000
"""Bytes of path and query that are sent as they are: what common proxies let through."""
MAX_ADDRESS = 16_384
"""Bytes of an address that Salesforce takes at all; what is longer and no part of another request is not tried."""
_SHORT_QUERY = 1_000
"""Characters of the values of a query whose encoded form is remembered."""
_WRAPPABLE = re.compile(r"(/services/data/v\d{2,3}\.0)/(?:query|queryAll|sobjects/.+)")


def build_request(hosts: OrgHosts, token: Secret, request: Request) -> HttpRequest:
    """A request to the org's own host; NotSent for what may not or cannot go there."""
    origin = _origin(hosts.instance_url, hosts.trusted)
    if not request.path.startswith(("/services/", "/id/")):
        raise NotSent("a request left the API's paths", code="INTERNAL", category="internal", retryable=False)
    target = request_target(request)
    if request.method == "GET" and len(target) > LONGEST_ADDRESS and (match := _WRAPPABLE.fullmatch(request.path)):
        request = _wrap_read(match, target, request)
        target = request.path
    if len(origin) + len(target) > MAX_ADDRESS:
        raise NotSent(
            f"the request's address would be longer than the {MAX_ADDRESS:,} bytes that Salesforce takes",
            code="REQUEST_TOO_LONG",
            category="invalid_argument",
            retryable=False,
            hint="name fewer fields, objects or values",
        )
    headers = [
        ("Authorization", f"Bearer {token.reveal()}"),
        ("Accept", request.accept),
        ("Accept-Encoding", "gzip"),
        *request.headers,
    ]
    content = request.body if isinstance(request.body, bytes) else None
    if request.body is not None and content is None:
        headers.append(("Content-Type", "application/json"))
        content = _encode_json(request.body)
    return _build(request.method, origin, target, headers, content)


def request_target(request: Request) -> str:
    """Path and query string as they are sent."""
    if not request.query:
        return request.path
    is_short = sum([len(value) for _, value in request.query]) <= _SHORT_QUERY
    return f"{request.path}?{_encode_short(request.query) if is_short else urlencode(request.query)}"


_encode_short = lru_cache(maxsize=128)(urlencode)  # agents ask the same of many orgs


def _wrap_read(match: re.Match[str], target: str, request: Request) -> Request:
    """The composite request around a read (REST guide ``requests-composite``)."""
    part: dict[str, Any] = {"method": "GET", "url": target, "referenceId": "read"}
    if request.headers:
        part["httpHeaders"] = dict(request.headers)
    return Request("POST", f"{match[1]}/composite", body={"allOrNone": False, "compositeRequest": [part]})


def build_form(hosts: OrgHosts, path: str, form: oauth.Form) -> HttpRequest:
    """A form for the login host; NotSent for a host that may have none."""
    fields = {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}
    headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
    ]
    return _build("POST", _origin(hosts.login_url, hosts.trusted), path, headers, _encode_form(fields))


def build_date_request(hosts: OrgHosts) -> HttpRequest:
    """A request that any login host answers, and that shows no token; NotSent for a host that may not be called."""
    headers = [("Accept-Encoding", "identity")]
    return _build("GET", _origin(hosts.login_url, hosts.trusted), "/services/data", headers, None)


def _build(method: str, origin: str, target: str, headers: list[tuple[str, str]], body: bytes | None) -> HttpRequest:
    try:
        return build_http_request(method, parse_origin(origin), target, headers, body)
    except ValueError as error:
        raise NotSent(
            f"the request cannot be written: {error}",
            code="INVALID_VALUE",
            category="invalid_argument",
            retryable=False,
        ) from None


_check_url = lru_cache(maxsize=4_096)(check_url)  # a pure function of two texts, asked at every call


def _origin(url: str, trusted: tuple[str, ...]) -> str:
    try:
        return _check_url(url, trusted)
    except ValueError as error:
        raise NotSent(f"this org's host may not be called: {error}", code="UNTRUSTED_HOST", retryable=False) from None


def _encode_json(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, UnicodeEncodeError):
        raise NotSent(
            "a value cannot be written as JSON", code="INVALID_VALUE", category="invalid_argument", retryable=False
        ) from None


def _encode_form(fields: Mapping[str, str]) -> bytes:
    try:
        return urlencode(fields).encode()
    except UnicodeEncodeError:  # half a surrogate: the message must not show it, it may be a secret's
        raise NotSent("a value cannot be written as a form", code="INVALID_VALUE", retryable=False) from None
