"""Sealed values open only with their key, in their place, unchanged."""

import hmac
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgserver.model.errors import KeyProblem
from orgserver.model.secret import Secret
from orgserver.vault.keys import Context, DataKey, Key, Unsealable, key_id
from orgserver.vault.ring import RingBehind, Vault, read_ring, write_ring

texts = st.text(max_size=40)
contexts = st.builds(Context, texts, texts, texts, texts)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_a_mac_is_hmac_sha256_however_often_it_is_made(material: bytes, message: bytes) -> None:
    mac = Key(material).make_mac()

    assert {mac(message), mac(message)} == {hmac.digest(material, message, "sha256")}


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


class Ring:
    """A source of a ring that tests change."""

    name, advice = "the test", "ask the test"

    def __init__(self, *keys: Key, slow: bool = False) -> None:
        self.keys, self.slow, self.reads, self.news = list(keys), slow, 0, False

    def changed(self) -> bool:
        return self.slow or self.news

    def read(self) -> list[Key]:
        self.reads += 1
        self.news = False
        return self.keys

    def put_first(self, key: Key) -> None:
        self.keys, self.news = [key, *self.keys], True


def test_an_unknown_key_makes_the_ring_be_read_again() -> None:
    old, new, context = Key.new(), Key.new(), Context("a", "b", "c")
    source = Ring(old)
    vault = Vault(source.read(), source)
    source.put_first(new)

    assert vault.open(Vault([new]).seal(b"x", context), context) == b"x"
    assert source.reads == 2


def test_a_ring_that_has_not_changed_is_not_read_again() -> None:
    context = Context("a", "b", "c")
    source = Ring(Key.new())
    vault = Vault(source.read(), source)

    with pytest.raises(Unsealable) as caught:
        vault.open(Vault([Key.new()]).seal(b"x", context), context)

    assert (source.reads, caught.value.hint) == (1, "ask the test")


def test_nothing_is_sealed_under_a_key_that_another_process_has_replaced() -> None:
    old, new = Key.new(), Key.new()
    source = Ring(old)
    vault = Vault(source.read(), source)
    source.put_first(new)

    _, wrapped = vault.new_data_key("row", "org")

    assert key_id(wrapped) == new.id


def test_a_slow_source_is_left_to_whoever_can_wait() -> None:
    old, new, context = Key.new(), Key.new(), Context("a", "b", "c")
    source = Ring(old, slow=True)
    vault = Vault(source.read(), source)
    source.put_first(new)
    sealed = Vault([new]).seal(b"x", context)

    with pytest.raises(RingBehind) as behind:
        vault.open(sealed, context)
    assert source.reads == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: behind.value.catch_up(), range(8)))

    assert vault.open(sealed, context) == b"x"
    assert source.reads == 2, "once, however many waited"


def test_a_slow_source_is_not_asked_again_and_again_for_a_key_it_lacks() -> None:
    context = Context("a", "b", "c")
    source = Ring(Key.new(), slow=True)
    vault = Vault(source.read(), source)
    sealed = Vault([Key.new()]).seal(b"x", context)
    with pytest.raises(RingBehind) as behind:
        vault.open(sealed, context)

    behind.value.catch_up()

    with pytest.raises(Unsealable, match="not in your ring"):
        vault.open(sealed, context)
    assert source.reads == 2


def test_a_new_key_is_in_its_source_before_it_seals() -> None:
    source = Ring(Key.new())
    vault = Vault(source.read(), source)

    vault.renew()

    assert vault.ring[0].id == source.keys[0].id
    assert len(source.keys) == 2


def test_a_replaced_data_key_opens_what_late_writers_sealed_and_seals_with_the_new_one() -> None:
    vault, context = Vault([Key.new()]), Context("row", "idempotency", "answer")
    old, _ = vault.new_data_key("row", "org")
    late, token = old.seal(b"late", context), Context("row", "credentials", "client_secret")

    new = old.successor(vault.ring[0])
    opened = vault.data_key(new.wrapped(vault.ring[0], "row", "org"), "row", "org")

    assert opened.open(late, context) == b"late"
    assert opened.made_under == vault.ring[0].id
    assert key_id(opened.seal(b"x", context)) == new.id != old.id
    with pytest.raises(Unsealable):
        old.open(opened.seal(b"x", context), context)
    with pytest.raises(Unsealable):
        opened.open(old.seal(b"put back", token), token)


def test_a_day_after_it_was_replaced_a_data_key_opens_nothing() -> None:
    context = Context("row", "idempotency", "answer")
    old = DataKey(b"o" * 32)

    new = DataKey(b"n" * 32, made_under=b"m" * 8, until=int(time.time()) - 1, before=old)

    with pytest.raises(Unsealable, match=old.id.hex()):
        new.open(old.seal(b"late", context), context)


@pytest.mark.parametrize("size", [0, 31, 33, 79, 81])
def test_a_wrapped_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(Unsealable):
        DataKey.read(b"x" * size)


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


@pytest.mark.parametrize("form", ["{0},{1}\r\n", "{0} ,\r\n {1}", "\ufeff{0},{1}\n", "\n{0},\n{1}\n\n"])
def test_a_ring_may_come_from_any_editor(form: str) -> None:
    keys = [Key.new(), Key.new()]

    assert [key.id for key in read_ring(form.format(*map(write_ring, ([k] for k in keys))), "test")] == [
        key.id for key in keys
    ]


def test_the_same_key_twice_in_a_ring_is_said() -> None:
    key, other = Key.new(), Key.new()

    with pytest.raises(KeyProblem, match=f"the test holds key {key.id.hex()} twice"):
        read_ring(write_ring([key, other, key]), "the test")


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
