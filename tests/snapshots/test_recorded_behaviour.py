"""Commands print, and tools answer, what the files here say: ``python -m tests.snapshots`` renews them."""

from collections.abc import Mapping
from pathlib import Path

from orgserver.tools.toolsets import EVERY
from tests.snapshots import early_answers, files, help_pages, session

RENEW = "if this is meant: python -m tests.snapshots renews the files"


def check(folder: Path, texts: Mapping[str, str]) -> None:
    difference = files.differences(folder, texts)
    assert not difference, f"\n{difference}\n{RENEW}"


def test_the_help_of_each_command_is_as_recorded() -> None:
    check(help_pages.FOLDER, help_pages.texts())


async def test_what_is_answered_before_there_is_a_server_is_what_the_sdk_answers() -> None:
    assert early_answers.PATH.read_text("utf-8") == await early_answers.text(), RENEW


async def test_a_session_prints_and_tools_answer_as_recorded() -> None:
    printed, answered = await session.texts()

    check(session.COMMANDS, printed)
    check(session.CALLS, answered)
    assert {f"{tool}.txt" for tool in EVERY} <= answered.keys()


async def test_tools_answer_as_recorded_past_the_sdk() -> None:
    check(session.CALLS, await session.answers_past_sdk())


def test_a_difference_names_the_file_and_both_lines(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    assert files.renew(folder, {"a.txt": "one\ntwo\n", "b.txt": "same\n"}) == ["wrote a.txt", "wrote b.txt"]

    difference = files.differences(folder, {"a.txt": "one\n2\n", "b.txt": "same\n", "c.txt": "new\n"})

    assert {"--- pages/a.txt", "-two", "+2", "--- pages/c.txt", "+new"} <= set(difference.splitlines())
    assert "b.txt" not in difference
    assert files.differences(folder, {"a.txt": "one\ntwo\n", "b.txt": "same\n"}) == ""
