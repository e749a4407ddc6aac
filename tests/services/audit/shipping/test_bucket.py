"""A log that is shipped to a bucket, which moto's server stands for: every event once, and one line for each refusal."""

from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from orgserver.model.errors import ConfigError
from orgserver.model.names import new_id
from orgserver.services.audit.shipping.address import open_target
from orgserver.services.audit.shipping.bucket import Bucket
from orgserver.services.audit.shipping.folder import Folder
from orgserver.services.audit.shipping.shipper import Shipper
from orgserver.services.audit.shipping.targets import TargetError
from orgserver.store.session import Store

from .bucket_server import BUCKET, KEYS, refuse_all, start_moto, wire_to
from .logs import CALLER, parts, run_both, verify, write


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_moto(tmp_path_factory.mktemp("moto")) as url:
        yield url


def open_bucket(url: str, prefix: str, *, bucket: str = BUCKET, seconds: float = 30.0, retries: int = 2) -> Bucket:
    return Bucket(bucket, prefix, KEYS | {"AWS_ENDPOINT_URL": url}, seconds=seconds, retries=retries)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def prefix() -> str:
    return f"of/{new_id()}"


async def fetch(bucket: Bucket, folder: Path) -> Path:
    """Copy what lies there, as people do to verify it."""
    folder.mkdir()
    for each in await bucket.list_files():
        (folder / each.name).write_bytes(await bucket.read(each.name) or b"")
    return folder


async def test_four_who_ship_at_once_ship_every_event_once_and_a_later_run_goes_on(
    store: Store, moto: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def nobody_waits(*_: object) -> Any:
        yield True

    for _ in range(8):
        await write(store, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store.database.engine, "exclusive", nobody_waits)
        shipments = await run_both(*(Shipper(store, open_bucket(moto, prefix)) for _ in range(4)))
    await write(store, 1)
    later = await Shipper(store, open_bucket(moto, prefix)).ship(CALLER)
    away = await fetch(open_bucket(moto, prefix), tmp_path / "copy")

    assert sum(each.parts for each in shipments) == 8
    assert later.parts == 1
    assert later.problems == ()
    assert verify(store, away) == later.last


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_connection_cut_in_the_middle_of_a_put_leaves_a_whole_part_or_none(
    store: Store, moto: str, prefix: str, tmp_path: Path, way: str
) -> None:
    """``up``: the put does not arrive whole. ``down``: it does, and its answer is lost."""
    for _ in range(3):
        await write(store, 1)
    async with wire_to(moto) as wire:
        setattr(wire, way, 300 if way == "up" else 0)
        await Shipper(store, open_bucket(wire.url, prefix)).ship(CALLER)  # the library tries again
        setattr(wire, way, 300 if way == "up" else 0)
        await write(store, 1)
        with pytest.raises(TargetError, match="cannot be reached, or did not answer in time"):
            await Shipper(store, open_bucket(wire.url, prefix, retries=0)).ship(CALLER)
        last = await Shipper(store, open_bucket(wire.url, prefix)).ship(CALLER)
        cuts = wire.cuts
    away = await fetch(open_bucket(moto, prefix), tmp_path / "copy")

    assert cuts == 2
    assert last.problems == ()
    assert verify(store, away) == last.last
    assert len(parts(away)) >= 4


async def test_a_part_that_was_altered_or_removed_there_is_told_of(store: Store, moto: str, prefix: str) -> None:
    import obstore

    for _ in range(3):
        await write(store, 1)
    bucket = open_bucket(moto, prefix)
    await Shipper(store, bucket).ship(CALLER)
    names = sorted(each.name for each in await bucket.list_files() if each.name.startswith("events-"))
    obstore.put(bucket._store, names[-1], b"of somebody else")
    altered = await Shipper(store, bucket).ship(CALLER)
    obstore.delete(bucket._store, names[-1])
    obstore.delete(bucket._store, names[0])
    removed = await Shipper(store, bucket).ship(CALLER)
    after = await Shipper(store, bucket).ship(CALLER)

    assert altered.problems == (f"{names[-1]} was altered there: it is damaged",)
    assert await bucket.read(names[-1]) != b"of somebody else"
    assert removed.problems == ("1 part had been removed there, and the log still has them",)
    assert after.problems == ()


async def test_a_bucket_that_knows_no_conditions_gets_every_part_once(
    store: Store, moto: str, prefix: str, tmp_path: Path
) -> None:
    bucket = open_bucket(moto, prefix)
    bucket._knows_conditions = False
    await write(store, 1)
    first = await Shipper(store, bucket).ship(CALLER)
    again = await bucket.add(parts_name := (await bucket.list_files())[0].name, b"something else")

    assert first.parts == 1
    assert not again
    assert await bucket.read(parts_name) != b"something else"
    async with refuse_all("501 Not Implemented", "NotImplemented") as url:
        with pytest.raises(TargetError, match="answered 501 NotImplemented$"):
            await open_bucket(url, prefix, retries=0).add("x", b"y")


async def test_a_bucket_that_is_not_there_is_not_made(store: Store, moto: str, prefix: str) -> None:
    await write(store, 1)
    for _ in range(2):
        with pytest.raises(TargetError, match="^there is no bucket nobodys-bucket$"):
            await Shipper(store, open_bucket(moto, prefix, bucket="nobodys-bucket")).ship(CALLER)


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        ("403 Forbidden", "AccessDenied", "access to the bucket audit-of-acme is denied"),
        ("403 Forbidden", "InvalidAccessKeyId", "the bucket audit-of-acme knows no such access key"),
        ("403 Forbidden", "SignatureDoesNotMatch", "the bucket audit-of-acme does not take this secret key"),
        ("403 Forbidden", "RequestTimeTooSkewed", "the bucket audit-of-acme says that this machine's clock is wrong"),
        ("301 Moved Permanently", "PermanentRedirect", "the bucket audit-of-acme lies in another region"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "the bucket audit-of-acme lies in another region"),
        ("503 Slow Down", "SlowDown", "the bucket audit-of-acme asks for fewer requests"),
        ("404 Not Found", "NoSuchBucket", "there is no bucket audit-of-acme"),
        ("500 Internal Server Error", None, "the bucket audit-of-acme answered 500"),
        ("409 Conflict", "OperationAborted", "the bucket audit-of-acme answered 409 OperationAborted"),
    ],
)
async def test_each_refusal_is_one_line(status: str, code: str | None, line: str) -> None:
    async with refuse_all(status, code) as url:
        bucket = open_bucket(url, "p", retries=0)
        said = []
        for ask in (bucket.list_files(), bucket.read("x"), bucket.add("x", b"y")):
            with pytest.raises(TargetError) as refused:
                await ask
            said.append(str(refused.value))

    assert set(said) == {line}
    assert KEYS["AWS_ACCESS_KEY_ID"] not in repr(refused.value) + str(refused.value.hint)


async def test_a_bucket_that_is_slow_or_away_is_one_line_and_nothing_waits_for_it_forever() -> None:
    async with refuse_all("200 OK", None, seconds=30) as url:
        with pytest.raises(TargetError, match="cannot be reached, or did not answer in time"):
            await open_bucket(url, "p", seconds=0.3, retries=0).list_files()
    with pytest.raises(TargetError, match="cannot be reached, or did not answer in time"):
        await open_bucket(url, "p", seconds=0.3, retries=0).add("x", b"y")


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("s3:/audit", "cannot be shipped to s3:/…"),
        ("s3:audit", "cannot be shipped to s3:…"),
        ("S3://audit", "cannot be shipped to S3://…"),
        ("gs://audit", "cannot be shipped to gs://…"),
        ("https://audit.s3.amazonaws.com/p", "cannot be shipped to https://…"),
        ("file:///var/audit", "cannot be shipped to file:///…"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "cannot be shipped to s3:///…"),
        ("s3://Audit", "names no bucket"),
        ("s3://a..b/c", "names no bucket"),
        ("s3://au/c", "names no bucket"),
        ("s3://key:secret@audit/c", "holds no credentials"),
        ("s3://audit/c?region=eu", "holds no credentials and no options"),
        ("s3://audit/a//b", "prefix"),
        ("s3://audit/../b", "prefix"),
        ("s3://audit/a b", "prefix"),
        ("s3://audit/ä", "prefix"),
        ("", "to nowhere"),
        (" ", "to nowhere"),
    ],
)
def test_an_address_with_a_mistake_is_refused_in_one_line(address: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as refused:
        open_target(address)

    assert "\n" not in str(refused.value)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_addresses_that_are_right() -> None:
    assert open_target("s3://audit").name == "s3://audit"
    assert open_target("s3://audit/a/b/").name == "s3://audit/a/b"
    assert isinstance(open_target("some/folder"), Folder)


@pytest.mark.parametrize(
    "endpoint",
    ["http://s3.example.com", "ftp://127.0.0.1", "s3.example.com", "https://key:secret@s3.example.com", "http://[::1"],
)
def test_an_endpoint_that_is_not_private_is_refused_in_one_line(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL is no address"):
        Bucket("audit", "", {"AWS_ENDPOINT_URL": endpoint})


def test_a_profile_is_read_where_boto3_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[audit]\naws_access_key_id = AKIA1\naws_secret_access_key = s1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    for name in KEYS:
        monkeypatch.delenv(name)
    Bucket("audit", "", {"AWS_PROFILE": "audit"})
    with pytest.raises(ConfigError, match="AWS_PROFILE cannot be read: ProfileNotFound"):
        Bucket("audit", "", {"AWS_PROFILE": "nobody"})


async def test_a_conflict_is_no_proof_that_a_part_is_there(moto: str, prefix: str) -> None:
    """409 says that somebody is just putting it, who may yet be cut off; 412 that it is there."""
    bucket = open_bucket(moto, prefix)

    async def conflict(*_: object, **__: object) -> None:
        raise bucket._obstore.exceptions.AlreadyExistsError("409 Conflict: <Code>ConditionalRequestConflict</Code>")

    assert await bucket.add("x", b"y")
    assert not await bucket.add("x", b"z")
    put: Any = bucket._obstore
    bucket._obstore = cast("Any", type("Conflicts", (), vars(put) | {"put_async": conflict}))
    with pytest.raises(TargetError, match="somebody else is putting other into the bucket"):
        await bucket.add("other", b"y")
    assert not await bucket.add("x", b"y")
    bucket._obstore = put
    assert await bucket.read("x") == b"y"
