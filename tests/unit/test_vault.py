"""Sealed values open only with their key, in their place, unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.errors import KeyProblem
from orgserver.model.secret import Secret
from orgserver.vault import Context, Key, Unsealable, Vault, read_ring, write_ring

texts = st.text(max_size=40)
contexts = st.builds(Context, texts, texts, texts, texts)


@given(st.binary(max_size=500), contexts)
def test_what_was_sealed_opens_in_its_place(plain: bytes, context: Context) -> None:
    key = Key.new()

    assert key.open(key.seal(plain, context), context) == plain


@given(contexts, contexts)
def test_a_sealed_value_opens_in_no_other_place(one: Context, other: Context) -> None:
    key = Key.new()
    sealed = key.seal(b"secret", one)

    if one == other:
        assert key.open(sealed, other) == b"secret"
    else:
        with pytest.raises(Unsealable):
            key.open(sealed, other)


@given(contexts, contexts)
def test_different_contexts_never_share_their_bytes(one: Context, other: Context) -> None:
    assert (one.associated_data(b"k" * 8) == other.associated_data(b"k" * 8)) == (one == other)


@given(st.data())
def test_a_changed_byte_is_noticed(data: st.DataObject) -> None:
    key, context = Key.new(), Context("row", "table", "column")
    sealed = bytearray(key.seal(b"some secret", context))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises(Unsealable):
        key.open(bytes(sealed), context)


@given(st.binary(max_size=40))
def test_bytes_that_were_never_sealed_are_refused_by_name(junk: bytes) -> None:
    with pytest.raises(Unsealable):
        Vault([Key.new()]).open(junk, Context("a", "b", "c"))


def test_a_wrong_ring_says_which_key_is_missing() -> None:
    old, new, context = Key.new(), Key.new(), Context("a", "b", "c")
    sealed = Vault([old]).seal(b"x", context)

    with pytest.raises(Unsealable, match=old.id.hex()):
        Vault([new]).open(sealed, context)


def test_the_first_key_seals_and_every_key_opens() -> None:
    old, new, context = Key.new(), Key.new(), Context("a", "b", "c")
    sealed = Vault([old]).seal(b"x", context)

    both = Vault([new, old])

    assert both.open(sealed, context) == b"x"
    assert Vault([new]).open(both.seal(b"y", context), context) == b"y"


def test_an_unknown_key_makes_the_ring_be_read_again() -> None:
    old, new, context = Key.new(), Key.new(), Context("a", "b", "c")
    vault = Vault([old], reread=lambda: [new, old])

    assert vault.open(Vault([new]).seal(b"x", context), context) == b"x"


def test_a_data_key_opens_only_for_its_owner_and_purpose() -> None:
    vault = Vault([Key.new()])
    key, wrapped = vault.new_data_key("row-1", "org")

    assert vault.data_key(wrapped, "row-1", "org").id == key.id
    for owner, purpose in (("row-2", "org"), ("row-1", "audit")):
        with pytest.raises(Unsealable):
            vault.data_key(wrapped, owner, purpose)


def test_a_ring_is_read_as_it_was_written() -> None:
    keys = [Key.new(), Key.new()]

    assert [key.id for key in read_ring(write_ring(keys) + "\n", "test")] == [key.id for key in keys]


@pytest.mark.parametrize("text", ["", "short", "%%%", "QUJD", ",", "A" * 43])
def test_a_broken_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(KeyProblem) as caught:
        read_ring(text, "the test")

    assert "the test" in str(caught.value)
    assert (
        not text or text not in str(caught.value).split("the test")[1].replace("base64 of 32 bytes", "") or text == ","
    )


def test_a_secret_is_never_shown() -> None:
    secret = Secret("hunter2hunter2")

    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", f"{[secret]}", "%s" % secret]

    assert not any("hunter2" in text for text in shown)
    assert secret.same_as(Secret("hunter2hunter2"))
    assert secret != "hunter2hunter2"


def test_a_secret_is_not_pickled_copied_or_empty() -> None:
    import copy
    import pickle

    for act in (pickle.dumps, copy.copy, copy.deepcopy, hash):
        with pytest.raises(TypeError):
            act(Secret("x"))
    with pytest.raises(ValueError, match="empty"):
        Secret("")
