"""The official MCP conformance suite: ``python -m tests.conformance``.

It serves orgserver over two pretend orgs, with the suite's own test tools beside its own, stateless on loopback, and
has two pinned versions of the npm package ``@modelcontextprotocol/conformance`` judge it: the stable set, and what the
protocol 2026-07-28 requires; then the latter's scenarios for authorization servers judge own sign-in, with a person who
signs in at the identity provider of the tests and consents. The exit code is 0 if nothing is red but what ``expected_failures`` lists with a reason,
and all of that still is. npm must be on the path and its registry within reach, or ``--packages FOLDER`` must hold what
an earlier run installed. It is no part of the test suite, which reaches no network and makes the same assertions in
``test_real_server.py`` and ``test_suite_assertions.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import warnings
from pathlib import Path

from orgserver.app import open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.sandbox.server import Sandbox

from .authorization import judge_sign_in
from .judged import serving_suite
from .suites import SUITES, Findings, run_suite


def main() -> int:
    """Judge the server by both sets."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--packages", type=Path, help="a folder for the npm packages; a temporary one if not given")
    packages: Path | None = parser.parse_args().packages
    warnings.simplefilter("ignore")  # the suite tests what newer protocols deprecate
    with tempfile.TemporaryDirectory(prefix="orgserver-conformance-") as folder:
        return asyncio.run(_judge((packages or Path(folder) / "packages").resolve(), Path(folder)))


async def _judge(packages: Path, folder: Path) -> int:
    async with (
        Sandbox.start(2) as sandbox,
        open_app(read_settings({"home": folder / "home"}, {})) as app,
    ):
        await register(app, sandbox)
        async with serving_suite(app) as url:
            judgements = [await run_suite(suite, packages, folder / "results", url) for suite in SUITES]
    judgements.append(await judge_sign_in(packages, folder))
    for findings in judgements:
        _print(findings)
    return 1 if any(findings.unexpected or findings.stale for findings in judgements) else 0


def _print(findings: Findings) -> None:
    print(findings)
    for expected in findings.suite.expected:
        if expected not in findings.stale:
            print(f"  expected    {expected.scenario}: {expected.reason}")
    for expected in findings.stale:
        print(f"  NOT RED     {expected.scenario}: listed in expected_failures, and passes: take it out")
    for check in findings.unexpected:
        print(f"  UNEXPECTED  {check.scenario}: {check.id}: {check.message[:300]}")


if __name__ == "__main__":
    sys.exit(main())
