"""What the answers of the three orgs say: whether anything guarded was told, and whether anything harmless was refused."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.leaks.scenarios import Scenario
from tests.leaks.worlds import Question, Reply, World, open_world


@dataclass
class Findings:
    """What came of many questions."""

    asked: int = 0
    refused: int = 0
    failed: int = 0
    """Salesforce, or our own checks, found them wrong."""
    answered: int = 0
    problems: list[str] = field(default_factory=list)
    categories: Counter[str] = field(default_factory=Counter)

    def add(self, other: Findings) -> None:
        """Add those of others."""
        self.asked += other.asked
        self.refused += other.refused
        self.failed += other.failed
        self.answered += other.answered
        self.problems += other.problems
        self.categories += other.categories

    def count(self, question: Question, reply: Reply) -> None:
        """Count one answer."""
        self.asked += 1
        self.categories[question.category] += 1
        if reply.is_refused:
            self.refused += 1
        elif reply.error is not None:
            self.failed += 1
        else:
            self.answered += 1


async def try_attacks(scenario: Scenario, questions: Sequence[Question]) -> Findings:
    """Ask every org all of it: a leak is an answer that hangs on guarded values, or on guarded fields being there."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="orgserver-leaks-") as folder:
        async with open_world(scenario, Path(folder)) as world:
            for question in questions:
                await _try_attack(world, scenario, question, findings)
    return findings


async def _try_attack(world: World, scenario: Scenario, question: Question, findings: Findings) -> None:
    guarded, other = await world.ask("guarded", question), await world.ask("other", question)
    findings.count(question, guarded)
    if guarded != other:
        findings.problems.append(f"it hangs on guarded values: {question}\n    {guarded}\n    {other}")
    if guarded.error is not None:
        return
    absent = await world.ask("absent", question)
    if absent.error is not None:
        findings.problems.append(f"answered where it cannot be asked: {question}\n    {guarded}\n    {absent}")
    elif question.tool == "salesforce_search":
        if _shows_any(guarded.result, scenario.absent_fields) or not _records(guarded) <= _records(absent):
            findings.problems.append(f"found by what is guarded: {question}\n    {guarded}\n    {absent}")
    elif not _is_within(_without(guarded.result, scenario), _without(absent.result, scenario)):
        findings.problems.append(f"answered otherwise: {question}\n    {guarded}\n    {absent}")


async def ask_harmless(scenario: Scenario, questions: Iterable[Question]) -> Findings:
    """Ask what touches nothing guarded: none may be refused, and the policy may change no answer."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="orgserver-leaks-") as folder:
        async with open_world(scenario, Path(folder)) as world:
            for question in questions:
                guarded, absent = await world.ask("guarded", question), await world.ask("absent", question)
                findings.count(question, guarded)
                is_same = _without(guarded.result, scenario) == _without(absent.result, scenario)
                if guarded.error is not None or not is_same:
                    findings.problems.append(f"harmless: {question}\n    {guarded}\n    {absent}")
    return findings


def _records(reply: Reply) -> set[str]:
    """The ids that a search found: which other fields are told of them hangs on what the org has."""
    return {record["Id"] for record in reply.result["records"]}


def _shows_any(value: Any, fields: Any) -> bool:
    names = {name for each in fields.values() for name in each}
    if isinstance(value, dict):
        return bool(names & value.keys()) or any(_shows_any(each, fields) for each in value.values())
    return isinstance(value, list) and any(_shows_any(each, fields) for each in value)


def _is_within(one: Any, other: Any) -> bool:
    """Whether an answer tells nothing that the other does not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(name in other and _is_within(each, other[name]) for name, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_within, one, other))
    return bool(one == other)


def _without(value: Any, scenario: Scenario) -> Any:
    """An answer without masked fields and the warning of them, and without parents of which nothing is left."""
    names = {name.partition(".")[2] for name in scenario.policy.mask_fields} | {"warnings"}
    names |= {f"{way}{name}" for way in ("Contact", "Person") for name in names if "Contact" in str(scenario.policy)}
    if isinstance(value, dict):
        bare = {name: _without(each, scenario) for name, each in value.items() if name not in names}
        return {name: each for name, each in bare.items() if each not in ({}, None)}
    return [_without(each, scenario) for each in value] if isinstance(value, list) else value
