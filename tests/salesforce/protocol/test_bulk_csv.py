"""The sheets of bulk jobs carry any text both ways, in bounded pieces, and results find their rows again."""

import csv
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.bulk import RecordResult, ResultBatch
from orgserver.salesforce.protocol import bulk, bulk_csv
from orgserver.salesforce.protocol.messages import Reply
from orgserver.services.bulk.job import RowMatcher
from orgserver.store.audit import chain, result_parts

HOSTILE = (
    "=1+1",
    "@SUM(A1)",
    'a"b""c',
    "x,y",
    "one\ntwo",
    "one\r\ntwo",
    "\r",
    "\U0001f4a5",
    "\u202eabc",
    " ",
    "\x00",
    "'",
)
cells = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(HOSTILE)


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20), st.integers(1, 400), st.integers(1, 7))
def test_any_text_comes_back_as_it_was_in_pieces_of_bounded_size(rows, max_bytes, max_rows) -> None:
    found, first = [], 0
    for sheet in bulk_csv.write_sheets(("Id", "Name"), rows, max_bytes=max_bytes, max_rows=max_rows):
        assert sheet.first == first
        assert len(sheet.rows) <= max_rows
        assert len(sheet.content) <= max_bytes or len(sheet.rows) == 1
        found += [(row["id"], row["name"]) for row in bulk_csv.read_rows(sheet.content)]
        first += len(sheet.rows)
    assert found == rows


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20), st.randoms())
def test_results_in_any_order_find_their_rows_and_twins_are_served_in_turn(rows, chance: random.Random) -> None:
    (sheet,) = bulk_csv.write_sheets(("LastName", "Email"), rows, max_bytes=1 << 20, max_rows=100)
    matching = RowMatcher(("LastName", "Email"), sheet, by_id=False)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    places = [matching.place({"sf__id": "x", "lastname": last, "email": email}) for last, email in shuffled]

    assert sorted(places) == list(range(len(rows)))  # type: ignore[type-var]
    for place, (last, email) in zip(places, shuffled, strict=True):
        assert [each.replace("\r\n", "\n").strip() for each in rows[place]] == [
            each.replace("\r\n", "\n").strip() for each in (last, email)
        ]
    assert matching.place({"lastname": rows[0][0], "email": rows[0][1]}) is None


def test_twins_are_served_in_their_order() -> None:
    (sheet,) = bulk_csv.write_sheets(("LastName",), [("A",), ("B",), ("A",), ("A",)], max_bytes=1 << 20, max_rows=10)
    matching = RowMatcher(("LastName",), sheet, by_id=False)

    assert [matching.place({"lastname": "A"}) for _ in range(4)] == [0, 2, 3, None]


def test_ids_match_in_either_length() -> None:
    (sheet,) = bulk_csv.write_sheets(("Id",), [("003000000000001AAA",)], max_bytes=1 << 20, max_rows=10)

    assert RowMatcher(("Id",), sheet, by_id=True).place({"id": "003000000000001"}) == 0


def test_values_become_the_cells_that_salesforce_reads() -> None:
    assert [bulk_csv.cell(value) for value in (None, "", True, False, 5, 1.5, "x", "=1+1")] == [
        "#N/A", "#N/A", "true", "false", "5", "1.5", "x", "=1+1",
    ]  # fmt: skip


def test_lines_end_in_lf_and_every_cell_is_quoted() -> None:
    (sheet,) = bulk_csv.write_sheets(("Id",), [("a\rb",)], max_bytes=100, max_rows=10)

    assert sheet.content == b'"Id"\n"a\rb"\n'


@pytest.mark.parametrize("content", [b'"Id"\n"unfinished', b"Id,Name\nonly one\n", b"\xff\xfe", b'"Id"x\n'])
def test_what_is_no_sheet_is_refused_and_not_guessed_at(content: bytes) -> None:
    with pytest.raises(ValueError):
        list(bulk_csv.read_rows(content))


def test_a_byte_order_mark_and_the_longest_text_are_read() -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["Name"], ["y" * 131_072]])

    assert [len(row["name"]) for row in bulk_csv.read_rows(b"\xef\xbb\xbf" + written.getvalue().encode())] == [131_072]


def test_errors_of_jobs_and_collections_are_read_alike() -> None:
    row = {"sf__id": "", "sf__error": "STRING_TOO_LONG:Last Name: too: long:LastName --", "lastname": "x"}
    told = {
        "success": False,
        "errors": [{"statusCode": "STRING_TOO_LONG", "message": "Last Name: too: long", "fields": ["LastName"]}],
    }

    assert bulk.read_failure(row) == RecordResult(
        "failed", None, "STRING_TOO_LONG", "Last Name: too: long", ("LastName",)
    )
    assert bulk.read_collection(Reply(200, {}, [told]), 1) == [bulk.read_failure(row)]
    assert bulk.read_failure({"sf__error": "odd words"}).code == "REJECTED"
    assert bulk.read_failure({}).state == "failed"


results = st.builds(
    RecordResult,
    st.sampled_from(["succeeded", "failed", "unknown"]),
    st.none() | st.sampled_from(["003000000000001AAA", "003000000000002AAA"]),
    st.none() | st.sampled_from(["A", "B_C"]),
    st.none(),
    st.just(()),  # the log keeps a code for each record, not the fields that Salesforce names
)


@given(st.integers(0, 10**6), st.lists(results, max_size=40), st.lists(st.just("003000000000009AAA"), max_size=2))
def test_a_part_of_the_log_says_again_what_it_was_told_but_for_words(first, told, strays) -> None:
    part = ResultBatch(first, told, tuple(strays))
    event = result_parts.build_event("0197", 3, part, 1_700_000_000_000_000)

    assert event["kind"] == "part-00003"
    assert result_parts.read_batch(chain.canonical(event)) == part


def test_a_part_keeps_no_words_of_salesforce() -> None:
    part = ResultBatch(0, [RecordResult("failed", None, "INVALID_EMAIL", "invalid email: secret@example.com")])

    assert b"secret" not in chain.canonical(result_parts.build_event("0197", 1, part, 0))


def test_a_long_part_is_cut_and_strays_stay_with_the_last() -> None:
    whole = ResultBatch(
        10, [RecordResult("succeeded", "003000000000001AAA")] * (2 * result_parts.ROWS + 1), ("003000000000009AAA",)
    )

    cut = list(result_parts.split_batch(whole))
    assert [(each.first, len(each.results), len(each.strays)) for each in cut] == [
        (10, result_parts.ROWS, 0),
        (10 + result_parts.ROWS, result_parts.ROWS, 0),
        (10 + 2 * result_parts.ROWS, 1, 1),
    ]
