"""What every test shares: an environment without our own variables, and a store that is thrown away."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from orgserver.app import App, open_app
from orgserver.cli.orgs.pretend_orgs import register
from orgserver.config import read_settings
from orgserver.model.access.principals import Principal
from orgserver.model.orgs import Caller, Scope
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.server import Sandbox
from orgserver.store import migration
from orgserver.store.session import Store, open_store
from orgserver.store.transaction import read_clock
from orgserver.vault.keys import Key
from orgserver.vault.ring import Vault
from tests import both_stores, compiled_statements, shared_store_server
from tests.both_stores import FilePlace, ServerPlace, StorePlace
from tests.new_stores import Schema
from tests.senders import HttpxSenders
from tests.store_server import StoreServer

OpenApp = Callable[..., AbstractAsyncContextManager[App]]

# A property holds or not, however busy the machine is: hypothesis would fail an example that takes 200 ms.
settings.register_profile("orgserver", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orgserver")


MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30


def pytest_configure(config: pytest.Config) -> None:
    """A run in the background has Ctrl-C ignored, and so would have every process that a test starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compiled_statements.share()
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))  # where a store's syncs wait for no disk
    if not hasattr(config, "workerinput"):
        config.add_cleanup(shared_store_server.reserve())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of modules that are marked so run over both stores, unless they work on the file itself."""
    is_of_both = next(metafunc.definition.iter_markers("both_stores"), None) is not None
    if is_of_both and "store_kind" in metafunc.fixturenames and "store_file" not in metafunc.fixturenames:
        metafunc.parametrize("store_kind", both_stores.KINDS, indirect=True)


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema()


@pytest.fixture(autouse=True)
def _quick_new_stores(monkeypatch: pytest.MonkeyPatch, schema: Schema) -> None:
    monkeypatch.setattr(migration, "upgrade", schema.upgrade)


@pytest.fixture(scope="session")
def store_server(schema: Schema) -> StoreServer:
    """The run's PostgreSQL server, whose template is an empty store of the newest schema."""
    return shared_store_server.find(schema.fill)


@pytest.fixture
def store_database(store_server: StoreServer) -> Iterator[str]:
    """The name of a database of the test's own: an empty store."""
    name = store_server.database(store_server.template)
    yield name
    store_server.drop(name)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("ORGSERVER_", "SALESFORCE_", "_ORGSERVER", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORGSERVER_HOME", str(tmp_path_factory.mktemp("unused-home") / "home"))


@pytest.fixture
def ring() -> Key:
    return Key.new()


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "orgserver.db"


@pytest.fixture
def store_kind(request: pytest.FixtureRequest) -> str:
    """What the test's store is in: SQLite, unless the test is of both."""
    return str(getattr(request, "param", both_stores.FILE))


@pytest.fixture
def store_place(store_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    """Where the test's store is."""
    if store_kind == both_stores.FILE:
        yield FilePlace(request.getfixturevalue("store_file"))
        return
    server: StoreServer = request.getfixturevalue("store_server")
    place = ServerPlace(server, request.getfixturevalue("store_database"), tmp_path / "home" / "postgresql")
    yield place
    if place.kept is not None:
        server.drop(place.kept)


@pytest.fixture
def opener(store_place: StorePlace, ring: Key) -> Callable[..., object]:
    def open_it(**options: object) -> object:
        return open_store(store_place.address, lambda _create: Vault([ring]), **options)  # type: ignore[arg-type]

    return open_it


@pytest.fixture
async def store(opener: Callable[..., object]) -> AsyncIterator[Store]:
    opened: Store = await opener()  # type: ignore[misc]
    yield opened
    await opened.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.start(2) as started:
        yield started


@pytest.fixture
def acme(sandbox: Sandbox) -> SandboxOrg:
    return sandbox.orgs[0]


@pytest.fixture
def globex(sandbox: Sandbox) -> SandboxOrg:
    return sandbox.orgs[1]


@pytest.fixture
def caller() -> Caller:
    return Caller(Principal("local:tester"), "stdio", client="test/1", request_id="r1")


@pytest.fixture
def transports() -> HttpxSenders:
    return HttpxSenders()


class Clock:
    """The time of the test's apps: the present, until a test lets time go by."""

    def __init__(self) -> None:
        self._ahead = 0

    def __call__(self) -> int:
        return read_clock() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_again(tmp_path: Path, transports: HttpxSenders, clock: Clock, store_place: StorePlace) -> OpenApp:
    """Opens an app over the test's home, as another process would; settings and scope by keyword."""

    @asynccontextmanager
    async def open_it(scope: Scope | None = None, **settings: object) -> AsyncIterator[App]:
        read = read_settings({"home": tmp_path / "home"} | store_place.settings | settings, {})
        async with open_app(read, scope, senders=transports, clock=clock) as opened:
            yield opened

    return open_it


@pytest.fixture
async def app(open_again: OpenApp, sandbox: Sandbox) -> AsyncIterator[App]:
    """An app with both pretend orgs registered; what registering asked of them is forgotten."""
    async with open_again() as opened:
        await register(opened, sandbox)
        for org in sandbox.orgs:
            org.requests.clear()
        yield opened
