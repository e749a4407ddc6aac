"""Counts which files of the product the interpreter enters, and how often it moves from one to another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import orgserver
from orgserver import salesforce, sandbox, services, store

PRODUCT = Path(orgserver.__path__[0])
_PRODUCT, _SANDBOX = (f"{package.__path__[0]}/" for package in (orgserver, sandbox))
_INNER = tuple(f"{package.__path__[0]}/" for package in (services, salesforce, store))
"""The rooms that do the work, between the tools and commands above and the nouns and the vault below."""


@dataclass
class Trace:
    """Where one walk went."""

    files: set[str] = field(default_factory=set)
    moves: list[tuple[str, str]] = field(default_factory=list)

    def figures(self) -> dict[str, int]:
        return {
            "files": len(self.files),
            "moves": len(self.moves),
            "pairs of files": len(set(self.moves)),
            "inner files": sum(file.startswith(_INNER) for file in self.files),
            "inner moves": sum(start.startswith(_INNER) and end.startswith(_INNER) for start, end in self.moves),
        }


class Tracer:
    """Follows every thread that starts after ``install``; records only inside ``recording``.

    A file is entered when one of its functions is called. A move is the call of a function whose nearest caller in the
    product is in another file; what only libraries call (event loop, SDK, click) is entered without a move.
    An await that goes on counts for nothing: only a function's start does. The body of a module, the sandbox, and
    whatever the sandbox calls are left out. Pairs are the moves without their repetitions; what is inner happens within
    services, salesforce and store.
    """

    def __init__(self) -> None:
        self._trace: Trace | None = None

    def install(self) -> None:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    @contextmanager
    def recording(self) -> Iterator[Trace]:
        self._trace = trace = Trace()
        try:
            yield trace
        finally:
            self._trace = None

    def _profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        trace, code = self._trace, frame.f_code
        if trace is None or event != "call" or not _is_product(code.co_filename) or code.co_name == "<module>":
            return
        if code.co_code[frame.f_lasti + 1] & 3:  # RESUME: 0 at a function's start, more where it goes on
            return
        callers = [file for file in _callers(frame) if file.startswith(_PRODUCT)]
        if any(file.startswith(_SANDBOX) for file in callers):
            return
        trace.files.add(code.co_filename)
        if callers and callers[0] != code.co_filename:
            trace.moves.append((callers[0], code.co_filename))


def _is_product(file: str) -> bool:
    return file.startswith(_PRODUCT) and not file.startswith(_SANDBOX)


def _callers(frame: FrameType) -> Iterator[str]:
    caller = frame.f_back
    while caller is not None:
        yield caller.f_code.co_filename
        caller = caller.f_back
