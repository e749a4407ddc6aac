"""Where a store lies by its URL, whose certificate is checked, and that no message holds any of it."""

from pathlib import Path

import pytest

from orgserver import database_url
from orgserver.config import read_settings
from orgserver.model.errors import ConfigError
from orgserver.store.engines.address import ServerAddress, hosts
from orgserver.store.location import find_address

PASSWORD = "canary"


def address(home: Path, url: str, **more: str) -> ServerAddress:
    environment = {"ORGSERVER_DATABASE_URL": url} | more
    found = find_address(read_settings({"home": home}, environment))
    assert isinstance(found, ServerAddress)
    assert PASSWORD not in str(environment | {"ORGSERVER_DATABASE_PASSWORD": ""}) + repr(found) + str(found)
    return found


@pytest.mark.parametrize(
    ("url", "places", "is_checked"),
    [
        ("postgresql+asyncpg://ada@db.example.com/main", [("db.example.com", 5432)], True),
        ("postgresql://ada:canary@127.0.0.1:5433/main", [("127.0.0.1", 5433)], False),
        ("postgresql://ada@[::1]:5433/main", [("::1", 5433)], False),
        ("postgresql://ada@localhost/main?sslmode=verify-full", [("localhost", 5432)], True),
        ("postgresql://ada@/main?host=/run/postgresql", [("/run/postgresql", 5432)], False),
        ("postgresql://ada@/main?host=one:5433&host=two", [("one", 5433), ("two", 5432)], True),
        ("postgresql://ada@/main?host=[fd00::1]:5433&host=[fd00::2]", [("fd00::1", 5433), ("fd00::2", 5432)], True),
    ],
)
def test_what_leaves_this_machine_is_checked(
    tmp_path: Path, url: str, places: list[tuple[str, int]], is_checked: bool
) -> None:
    found = address(tmp_path, url)

    assert hosts(found.url) == places
    assert (found.tls is not None) is is_checked
    assert found.url.password is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://ada:canary@host", "it names no database"),
        ("postgresql://ada:canary@/main", "it names no host"),
        ("postgresql://ada:canary@host:canary/main", "it is no URL"),
        ("postgresql://ada:canary@/main?host=a:canary", "a port in it is no number"),
        ("postgresql://ada:canary@host:70000/main", "a port in it is none from 1 to 65535"),
        ("postgresql://ada:canary@/main?host=a:0", "a port in it is none from 1 to 65535"),
        ("postgresql://ada:canary@host/main?password=canary", "another option than host and sslmode"),
        ("postgresql://ada@host/main?sslmode=disable", "sslmode=disable is for a server on this machine"),
        ("postgresql://ada@host/main?sslmode=require", "sslmode is verify-full, or disable"),
        ("postgres://ada:canary@host/main", "did you mean postgresql+asyncpg://…?"),
        ("postgresq://ada:canary@host/main", "is not a database this version can use"),
        ("mysql://ada:canary@host/main", "is not a database this version can use"),
        ("ada:canary@host/main", "is not a database this version can use"),
        ("postgresql:ada:canary@host/main", "is not a database this version can use"),
        ("postgresql:/ada:canary@host/main", "is not a database this version can use"),
        ("sqlite://ada:canary@host/main", "is not a database this version can use"),
        ("https://host/main?Api_Token=canary&a=b", "is not a database this version can use"),
    ],
)
def test_a_url_with_a_mistake_is_refused_without_being_shown(tmp_path: Path, url: str, reason: str) -> None:
    environment = {"ORGSERVER_DATABASE_URL": url}
    with pytest.raises(ConfigError) as raised:
        find_address(read_settings({"home": tmp_path}, environment))

    inherited = environment["ORGSERVER_DATABASE_URL"]
    assert f":{PASSWORD}@" not in inherited
    assert f"={PASSWORD}" not in inherited
    assert reason in f"{raised.value} {raised.value.hint}"
    assert PASSWORD not in f"{raised.value!r} {raised.value.hint}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("password", ["simple", "p@ss", "p/w", "p?w", "p#w", "p%40w", "a:b"])
def test_a_password_is_taken_out_of_a_url_whatever_it_holds(password: str) -> None:
    bare, taken = database_url.take_password(f"postgresql://ada:{password}@host:5433/main?sslmode=verify-full")

    assert bare == "postgresql://ada@host:5433/main?sslmode=verify-full"
    assert taken == password.replace("%40", "@")


@pytest.mark.parametrize(
    ("url", "bare", "taken"),
    [
        ("postgresql://ada@corp.test:canary@host/main", "postgresql://ada@corp.test@host/main", PASSWORD),
        ("postgresql://ada@host:5433/main?x=a@b", "postgresql://ada@host:5433/main?x=a@b", None),
        ("postgresql://ada@host/main", "postgresql://ada@host/main", None),
        ("sqlite+aiosqlite:////home/a:b@c/x.db", "sqlite+aiosqlite:////home/a:b@c/x.db", None),
        ("sqlite:///C:/a@b/x.db", "sqlite:///C:/a@b/x.db", None),
    ],
)
def test_only_what_is_a_password_is_taken_for_one(url: str, bare: str, taken: str | None) -> None:
    assert database_url.take_password(url) == (bare, taken)


def test_whatever_is_refused_the_secrets_are_out_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("no TOML")
    environment = {
        "ORGSERVER_DATABASE_URL": "postgresql://a:canary@localhost/b",
        "ORGSERVER_DATABASE_PASSWORD": PASSWORD,
        "ORGSERVER_MASTER_KEY": PASSWORD,
    }

    with pytest.raises(ConfigError, match="is not TOML"):
        read_settings({"home": tmp_path}, environment)

    assert environment == {"ORGSERVER_DATABASE_URL": "postgresql://a@localhost/b"}


def test_no_child_inherits_the_password_and_no_setting_shows_it(tmp_path: Path) -> None:
    environment = {"ORGSERVER_DATABASE_URL": "postgresql://ada:canary@localhost/main"}

    settings = read_settings({"home": tmp_path}, environment)

    assert environment == {"ORGSERVER_DATABASE_URL": "postgresql://ada@localhost/main"}
    assert PASSWORD not in repr(settings) + str(settings.database_url)
    assert settings.database_password is not None
    assert settings.database_password.get_secret_value() == PASSWORD


def test_a_password_stands_in_no_file_of_settings_and_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('database_url = "postgresql://ada:canary@localhost/main"\n')
    with pytest.raises(ConfigError, match="database_url in .* holds a password") as raised:
        read_settings({"home": tmp_path}, {})
    assert PASSWORD not in repr(raised.value)

    (tmp_path / "config.toml").write_text('database_url = "postgresql://ada@localhost/main"\n')
    assert read_settings({"home": tmp_path}, {}).is_on_server

    twice = {"ORGSERVER_DATABASE_URL": "postgresql://a:canary@localhost/b", "ORGSERVER_DATABASE_PASSWORD": "other"}
    with pytest.raises(ConfigError, match="both give a password"):
        read_settings({"home": tmp_path}, twice)


def test_stores_on_two_servers_leave_their_files_apart(tmp_path: Path) -> None:
    one, two = (address(tmp_path, f"postgresql://ada@localhost/{name}") for name in ("one", "two"))

    assert one.beside.parent == two.beside.parent == tmp_path
    assert one.beside != two.beside
    assert address(tmp_path, "postgresql://bob@localhost:5432/one").beside == one.beside
