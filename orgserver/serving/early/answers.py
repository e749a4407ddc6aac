"""The answers to what a client asks first, as the SDK gives them, ready before the SDK is imported.

They lie in ``answers.json``, which ``python -m tests.snapshots`` writes from the SDK's own. A request that is
plain is answered from it; with the first that is not, all that follows is the SDK's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orgserver
from orgserver.serving.early.plain_requests import envelope_version, is_handshake, read_plain

FILE = Path(__file__).with_suffix(".json")


class EarlyAnswers:
    """What a server of some tools answers, in the generation of the protocol that its client begins with."""

    def __init__(self, content: Mapping[str, Any], offered: Collection[str], listed: Collection[str]) -> None:
        self._content = content
        self._offered = frozenset(offered)
        self._listed = listed
        self._is_connected = False
        """A client has shaken hands, as up to 2025-11-25."""
        self._is_modern = False
        """A client has asked for more than ``server/discover`` by an envelope, as from 2026-07-28 on."""
        self.replay: list[tuple[bytes, bool]] = []
        """The lines that the SDK must read before any other, each with whether it answers once more."""

    @classmethod
    def of_offer(
        cls, toolsets: Collection[str], tools: Collection[str], without: Collection[str], *, read_only: bool
    ) -> EarlyAnswers | None:
        """The answers of a server that offers these; None where it would not start, or another SDK would answer."""
        content = json.loads(FILE.read_bytes())
        if content["orgserver"] != orgserver.__version__ or not _is_installed("mcp", content["mcp"]):
            return None
        offered = _choose(content, set(toolsets), set(tools), set(without))
        listed = [name for name in offered if not (read_only and name in content["writes"])]
        return cls(content, offered, listed) if listed else None

    def answer(self, line: bytes) -> bytes | None:
        """The line that answers this one, empty for what needs none; None: this line and all others are the SDK's."""
        if line.isspace():
            return b""
        request = read_plain(line)
        if request is None:
            return None
        if request.id is None:
            return self._note(request.method, request.params, line)
        result = self._result(request.method, request.params, line)
        if result is None:
            return None
        # As the SDK writes it: without spaces, and in UTF-8.
        response = {"jsonrpc": "2.0", "id": request.id, "result": result}
        return json.dumps(response, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _note(self, method: str, params: dict[str, Any], line: bytes) -> bytes | None:
        if method != "notifications/initialized" or params or not self._is_connected:
            return None
        self.replay.append((line, False))
        return b""

    def _result(self, method: str, params: dict[str, Any], line: bytes) -> dict[str, Any] | None:
        if method == "initialize":
            return self._shake_hands(params, line)
        if "_meta" in params:
            return self._answer_enveloped(method, params, line)
        if not self._is_connected:
            return None
        if method == "ping" and not params:
            return {}
        return self._list("handshake") if method == "tools/list" and _has_cursor(params) else None

    def _shake_hands(self, params: dict[str, Any], line: bytes) -> dict[str, Any] | None:
        """A client that has asked for nothing but ``server/discover`` may begin anew with the handshake."""
        if self._is_connected or self._is_modern or not is_handshake(params):
            return None
        self._is_connected = True
        self.replay = [(line, True)]
        generation = self._content["handshake"]
        versions = generation["versions"]
        version = params["protocolVersion"] if params["protocolVersion"] in versions else versions[-1]
        return self._introduce(generation["initialize"]) | {"protocolVersion": version}

    def _answer_enveloped(self, method: str, params: dict[str, Any], line: bytes) -> dict[str, Any] | None:
        generation = self._content["modern"]
        rest = {name: value for name, value in params.items() if name != "_meta"}
        if self._is_connected or envelope_version(params) not in generation["versions"]:
            return None
        if method == "server/discover" and not rest:
            if not self.replay:
                self.replay.append((line, True))
            return self._introduce(generation["discover"])
        if method == "tools/list" and _has_cursor(rest):
            if not self._is_modern:
                self.replay = [(line, True)]
            self._is_modern = True
            return self._list("modern")
        return None

    def _introduce(self, result: dict[str, Any]) -> dict[str, Any]:
        """What the server says of itself; some of what it can do needs certain tools."""
        needs = self._content["needs"]
        capabilities = {
            name: value
            for name, value in result["capabilities"].items()
            if name not in needs or any(self._offered >= set(tools) for tools in needs[name])
        }
        return result | {"capabilities": capabilities}

    def _list(self, generation: str) -> dict[str, Any]:
        content = self._content[generation]
        result: dict[str, Any] = content["list"] | {"tools": [content["tools"][name] for name in self._listed]}
        return result


def _has_cursor(params: dict[str, Any]) -> bool:
    """Whether there is nothing but, perhaps, a cursor: there is one page, whatever it says."""
    return params.keys() <= {"cursor"} and isinstance(params.get("cursor", ""), str)


def _choose(content: Mapping[str, Any], toolsets: set[str], single: set[str], without: set[str]) -> list[str]:
    """The tools that a server works with, as ``tools.toolsets`` chooses them; none where it refuses a name."""
    known, every = content["toolsets"], content["handshake"]["tools"].keys()
    if not toolsets <= {*known, "all"} or not every >= single | without:
        return []
    whole = toolsets or (set() if single else set(content["default"]))
    offered = single | {name for toolset, names in known.items() if {toolset, "all"} & whole for name in names}
    return [name for name in every if name in offered - without]


def _is_installed(package: str, version: str) -> bool:
    """Whether a package is of this version, told by the folder that installers leave beside it."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    return any(Path(folder).with_name(f"{package}-{version}.dist-info").is_dir() for folder in folders or ())
