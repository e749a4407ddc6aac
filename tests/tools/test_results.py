"""An error is told in full where it is short, and cut where it is long, in the same words either way."""

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import to_json

from orgserver.model.errors import InvalidArgument
from orgserver.services.results import truncation
from orgserver.tools import results

ANY = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY, st.lists(ANY, max_size=3), ANY | st.none(), st.integers(1, 2_000))
@example("half a pair \ud800", [], None, 1)
@example('\x00\x7f"\\', ["\udfff"], "\ud83d", 1_500)
@example("é" * 40, [], "x", 205)
@example("x" * 40, [], None, 410)
def test_an_error_is_told_as_if_it_were_measured(message: str, fields: list[str], hint: str | None, times: int) -> None:
    error = InvalidArgument(message * times, fields=fields, hint=hint)
    cut, _ = truncation.fit(results.encodable(error.as_json("acme")), 16 * 1024)
    (content,) = results.failure(error, "acme")["content"]
    assert content["text"] == to_json(cut).decode()
