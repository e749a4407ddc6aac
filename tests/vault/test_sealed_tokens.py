"""Sealed tokens: those that clients hold already open, and none opens for anything else."""

from __future__ import annotations

import pytest

from orgserver.model.digests import digest_arguments
from orgserver.vault.keys import Context, Key, Unsealable
from orgserver.vault.sealed_tokens import bind_token, open_token, seal_token

KEY = Key(bytes(range(32)))
ARGUMENTS = digest_arguments({"tool": "query", "soql": "SELECT Id FROM Account"})
CURSOR = (
    "AZfQGpDbGq9hSgQvoEp_jwc5XON017w0SFMUR8Vl4TTSl7XAAY-HE11gw93JTQjbTPe-vxIPJd2p-39fJbGsW5koQU2sJ53khl-mUxi5DrJqZ2vAGYg7"
    "jd7fGE6-0X6hnR4S8a9VP_ynEdMI9lMn5oMv4niq1iC5mXqnHtCbcvWKfsd7"
)
STATE = "AZfQGpDbGq9hj4BLOFPDfz9a7-NQClBuYE7lklAyCnYbsY9C9HIiL_FprX-GnyBR7n4TYg3nzwiRKe6Efcqhhf0sakWbiIWq2u_mwlg2Wem-"
"""Both as the version before made them."""


def bind(purpose: str = "cursor", owner: str = "row", principal: str = "ann", digest: bytes = ARGUMENTS) -> Context:
    return bind_token(purpose, owner, principal, digest)


def test_a_cursor_of_the_version_before_opens() -> None:
    note, expires_at = open_token(KEY, CURSOR, bind())

    assert note == {"p": "/services/data/v66.0/query/01g-200", "s": 5, "n": 7, "t": 9, "o": "ab"}
    assert expires_at == 4102444800 + 47 * 3_600


def test_the_state_of_a_question_of_the_version_before_opens() -> None:
    note, expires_at = open_token(KEY, STATE, bind("confirmation", digest=bytes(32)))

    assert (note, expires_at) == ({"n": "00ff", "c": 3}, 4102444800000000)


@pytest.mark.parametrize(
    "context", [bind("confirmation"), bind(owner="other"), bind(principal="bob"), bind(digest=bytes(32))]
)
def test_a_token_opens_for_nothing_else(context: Context) -> None:
    token = seal_token(KEY, {"s": 1}, 9, bind())

    assert open_token(KEY, token, bind()) == ({"s": 1}, 9)
    with pytest.raises(Unsealable):
        open_token(KEY, token, context)


@pytest.mark.parametrize("token", ["", "!", "A", "é", "AZfQ", CURSOR[:-4], CURSOR + "\n", "A" * 4_097])
def test_what_is_no_token_does_not_open(token: str) -> None:
    with pytest.raises(Unsealable):
        open_token(KEY, token, bind())
