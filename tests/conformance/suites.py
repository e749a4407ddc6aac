"""The two sets of the official suite: which package each is, how it is run, and what it found."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import npm

from .expected_failures import REQUIREMENTS, STABLE, ExpectedFailure

PACKAGE = "@modelcontextprotocol/conformance"
_LONGEST = 180
_FOLDER = re.compile(r"(?:authorization-)?server-(.+?)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True)
class Suite:
    """One set of scenarios, pinned."""

    version: str
    title: str
    options: tuple[str, ...]
    expected: Sequence[ExpectedFailure]


SUITES = (
    Suite("0.1.16", "protocols up to 2025-11-25", ("--suite", "all"), STABLE),
    Suite("0.2.0-alpha.12", "protocol 2026-07-28", ("--requirements", "2026-07-28"), REQUIREMENTS),
)


@dataclass(frozen=True)
class Check:
    """One assertion of the suite."""

    scenario: str
    id: str
    status: str
    message: str


@dataclass(frozen=True)
class Findings:
    """What a set found."""

    suite: Suite
    checks: Sequence[Check]

    def __str__(self) -> str:
        counts = {status: sum(each.status == status for each in self.checks) for status in ("SUCCESS", "FAILURE")}
        warnings = sum(each.status == "WARNING" for each in self.checks)
        scenarios = {each.scenario for each in self.checks}
        red = {each.scenario for each in self.checks if each.status == "FAILURE"}
        return (
            f"{self.suite.title} ({PACKAGE}@{self.suite.version}): "
            f"{counts['SUCCESS']} assertions passed, {counts['FAILURE']} failed, {warnings} warnings; "
            f"{len(scenarios - red)} of {len(scenarios)} scenarios without a failure"
        )

    @property
    def unexpected(self) -> list[Check]:
        """What is red, and is not listed."""
        return [
            each for each in self._red if not any(one.covers(each.scenario, each.id) for one in self.suite.expected)
        ]

    @property
    def stale(self) -> list[ExpectedFailure]:
        """What is listed, and is not red any more."""
        return [one for one in self.suite.expected if not any(one.covers(each.scenario, each.id) for each in self._red)]

    @property
    def _red(self) -> list[Check]:
        return [each for each in self.checks if each.status in ("FAILURE", "WARNING")]


async def run_suite(suite: Suite, packages: Path, results: Path, url: str) -> Findings:
    """Install a set where it is not yet there, and have it judge the server at an address."""
    installed = await npm.install(packages / suite.version, (f"{PACKAGE}@{suite.version}",))
    output = results / suite.version
    process = await asyncio.create_subprocess_exec(
        "conformance", "server", "--url", url, *suite.options, "--output-dir", str(output),
        env=os.environ | {"PATH": installed.path}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LONGEST):
            stdout, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise SystemExit(f"the suite did not end within {_LONGEST} s") from None
    checks = list(read_results(output)) if output.exists() else []
    if not checks:
        raise SystemExit(f"the suite judged nothing:\n{stdout.decode()}")
    return Findings(suite, checks)


def read_results(output: Path) -> Iterator[Check]:
    """Every assertion in the folder of results."""
    for folder in sorted(output.iterdir()):
        match = _FOLDER.fullmatch(folder.name)
        if match is None:
            continue
        checks: list[dict[str, Any]] = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
        for check in checks:
            message = str(check.get("errorMessage") or "").splitlines()
            yield Check(match[1], check["id"], check["status"], message[0] if message else "")
