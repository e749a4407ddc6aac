"""Requests that the SDK takes beyond doubt, told by the standard library alone; whatever else there is, is not plain.

Each check is narrower than the SDK's: what passes here passes there, and means the same.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from orgserver.model.json_text import is_deeper

_MAX_BYTES = 64 * 1024
_MAX_DEPTH = 50
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a surrogate pair, perhaps with its other half."""
_ID = re.compile(r"[\w.:/-]{1,128}", re.ASCII)
"""A text that is written as it is."""
_MAX_ID = 2**53
_CAPABILITIES = frozenset({"elicitation", "experimental", "extensions", "roots", "sampling", "tasks"})
_FREE = frozenset({"experimental", "extensions"})
"""Capabilities whose settings may hold anything."""
_DESCRIPTION = frozenset({"name", "version", "title", "description", "websiteUrl"})
_META = "io.modelcontextprotocol/"
_VERSION, _CLIENT, _ABILITIES = f"{_META}protocolVersion", f"{_META}clientInfo", f"{_META}clientCapabilities"
_PROGRESS = "progressToken"


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request, or a notification, which has no id."""

    id: str | int | None
    method: str
    params: dict[str, Any]


def read_plain(line: bytes) -> PlainRequest | None:
    """The request that a whole line is, if it is a plain one."""
    if len(line) > _MAX_BYTES or not line.endswith(b"\n") or _HALF_PAIR.search(line):
        return None
    try:
        message = json.loads(
            line.decode(), object_pairs_hook=_read_once, parse_constant=_refuse, parse_float=_read_finite
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or is_deeper(message, _MAX_DEPTH):
        return None
    if not message.keys() <= {"jsonrpc", "id", "method", "params"} or message.get("jsonrpc") != "2.0":
        return None
    method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
    if not isinstance(method, str) or not isinstance(params, dict) or ("id" in message and not _is_id(request_id)):
        return None
    return PlainRequest(request_id, method, params)


def is_handshake(params: dict[str, Any]) -> bool:
    """Whether these are the parameters of a plain ``initialize``."""
    return (
        params.keys() == {"protocolVersion", "capabilities", "clientInfo"}
        and isinstance(params["protocolVersion"], str)
        and _are_capabilities(params["capabilities"])
        and _is_client(params["clientInfo"])
    )


def envelope_version(params: dict[str, Any]) -> str | None:
    """The version of the protocol in a plain envelope, as each request has one from 2026-07-28 on."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or not {_VERSION, _ABILITIES} <= meta.keys() <= {_VERSION, _ABILITIES, _CLIENT}:
        return None
    is_plain = _are_capabilities(meta[_ABILITIES]) and _is_client(meta.get(_CLIENT, {"name": "", "version": ""}))
    version = meta[_VERSION]
    return version if is_plain and isinstance(version, str) else None


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return _ID.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID


def _are_capabilities(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _CAPABILITIES
        and all(_is_capability(name, settings) for name, settings in value.items())
    )


def _is_capability(name: str, settings: Any) -> bool:
    if not isinstance(settings, dict):
        return False
    if name in _FREE:
        return all(isinstance(each, dict) for each in settings.values())
    if name == "roots":
        return settings.keys() <= {"listChanged"} and all(isinstance(each, bool) for each in settings.values())
    return _are_empty(settings)


def _are_empty(settings: dict[str, Any]) -> bool:
    """Whether there is nothing but objects in objects."""
    return all(isinstance(each, dict) and _are_empty(each) for each in settings.values())


def _is_client(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and {"name", "version"} <= value.keys() <= _DESCRIPTION
        and all(isinstance(each, str) for each in value.values())
    )


def _read_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands there twice")
    return members


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
