"""Stores that earlier versions made (tests/samples/stores) say to this one what they said then, and work."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orgserver.sandbox.server import Sandbox
from tests.samples.stores import sample
from tests.snapshots import files
from tests.snapshots.calls import agent

FOLDERS = sample.folders()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """The orgs of the stores."""
    async with sample.started() as started:
        yield started


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_what_is_read_from_a_store_is_what_was_read_then(folder: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    acme, globex = sandbox.orgs

    texts = await sample.read(folder, tmp_path / "copy", sandbox)

    difference = files.differences(folder / sample.RECORDED, texts)
    assert not difference, f"\n{difference}"
    own = 1 if "own-login.json" in texts else 0
    assert (acme.counters.refreshes, globex.counters.logins) == (1 + own, 1), "a sealed credential was not used"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_an_idempotency_key_of_then_still_answers_for_its_create(
    folder: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    shell = sample.open_copy(folder, tmp_path / "copy", sandbox)
    entries = json.loads((folder / sample.RECORDED / "audit-list.json").read_text("utf-8"))
    created = [entry["record_ids"] for entry in entries if entry["action"] == "create" and entry["record_ids"]]

    async with agent(shell) as its:
        answer = await its.call("salesforce_create_contact", **sample.ADA)

    assert [answer["id"]] == created[-1]
    assert sandbox.orgs[0].requests == []


def test_there_is_a_store_to_be_opened() -> None:
    assert FOLDERS
