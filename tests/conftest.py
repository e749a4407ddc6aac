"""What every test shares: an environment without our own variables, and a store that is thrown away."""

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from orgserver.store.opened import Store, open_store
from orgserver.vault import Key, Vault


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("ORGSERVER_", "SALESFORCE_", "_ORGSERVER")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ORGSERVER_HOME", str(tmp_path_factory.mktemp("unused-home") / "home"))


@pytest.fixture
def ring() -> Key:
    return Key.new()


@pytest.fixture
def store_file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "orgserver.db"


@pytest.fixture
def opener(store_file: Path, ring: Key) -> Callable[..., object]:
    def open_it(**options: object) -> object:
        return open_store(store_file, lambda _create: Vault([ring]), **options)  # type: ignore[arg-type]

    return open_it


@pytest.fixture
async def store(opener: Callable[..., object]) -> AsyncIterator[Store]:
    opened: Store = await opener()  # type: ignore[misc]
    yield opened
    await opened.close()
