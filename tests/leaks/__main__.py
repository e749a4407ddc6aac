"""`python -m tests.leaks`: every attack and every harmless question of the corpus; exit 1 at a leak or a refusal."""

import argparse
import asyncio
import sys
import time

from tests.leaks.attacks import attacks
from tests.leaks.generated import draw_questions
from tests.leaks.harmless import harmless
from tests.leaks.judgement import Findings, ask_harmless, try_attacks
from tests.leaks.scenarios import SCENARIOS

_SHOWN = 20


def _report(name: str, findings: Findings, seconds: float) -> None:
    print(
        f"{name}: {findings.asked} asked, {findings.refused} refused by policy, {findings.failed} wrong anyway, "
        f"{findings.answered} answered, {len(findings.problems)} problems ({seconds:.0f} s)",
        flush=True,
    )
    for problem in findings.problems[:_SHOWN]:
        print(f"  {problem}")


async def main() -> int:
    """Ask everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.leaks", description=__doc__)
    parser.add_argument("--generated", type=int, default=200, help="queries by Hypothesis, for each scenario")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    total, innocent = Findings(), Findings()
    for scenario in SCENARIOS:
        began = time.monotonic()
        questions = [*attacks(scenario), *draw_questions(scenario, options.generated, options.seed)]
        findings = await try_attacks(scenario, questions)
        _report(f"{scenario.name}, attacks", findings, time.monotonic() - began)
        total.add(findings)
        began = time.monotonic()
        findings = await ask_harmless(scenario, harmless(scenario))
        _report(f"{scenario.name}, harmless", findings, time.monotonic() - began)
        innocent.add(findings)
    categories = ", ".join(f"{name} {count}" for name, count in total.categories.most_common())
    print(f"by category: {categories}")
    print(f"{total.asked} attacks: {len(total.problems)} leaks; {innocent.asked} harmless: {innocent.refused} refused")
    return 1 if total.problems or innocent.problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
