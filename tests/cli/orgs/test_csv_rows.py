"""Rows of a CSV file become candidates, and what is wrong with one is named by row and column, never by its value."""

import csv
import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from orgserver.cli.orgs import csv_rows
from orgserver.cli.orgs.csv_rows import CsvFile
from orgserver.model.errors import ConfigError
from orgserver.model.names import Alias
from orgserver.services.orgs.import_plan import Candidate

GOOD = {"alias": "acme", "client_id": "3MVG9", "client_secret": "S", "refresh_token": "5Aep", "login_url": ""}


def read(text: str | bytes, folder: Path = Path(), trusted: tuple[str, ...] = ()) -> list[Candidate]:
    data = text if isinstance(text, bytes) else text.encode()
    return csv_rows.candidates(data, CsvFile("clients.csv", folder, trusted))


def one(folder: Path = Path(), **changes: str) -> Candidate:
    row = GOOD | changes
    text = io.StringIO()
    csv.writer(text).writerows([list(row), list(row.values())])
    (candidate,) = read(text.getvalue(), folder)
    return candidate


def test_a_row_is_read_in_all_its_columns() -> None:
    candidate = one(
        instance_url="https://acme.my.salesforce.com", tag="eu, pilot;x|eu", username="a@b.c", read_only="Yes"
    )

    assert candidate.problem is None
    assert (candidate.name, candidate.source, candidate.place) == ("acme", "clients.csv, row 2", "row 2")
    assert (candidate.username, candidate.url) == ("a@b.c", "https://acme.my.salesforce.com")


async def test_a_row_becomes_a_registration() -> None:
    candidate = one(
        trust_host="127.0.0.1:8443 sf.example", login_url="https://127.0.0.1:8443", tags="eu pilot eu", read_only="1"
    )

    registration = await candidate.prepare(Alias("acme"))

    assert registration.refresh_token is not None
    assert registration.client_secret is not None
    assert (registration.refresh_token.reveal(), registration.client_secret.reveal()) == ("5Aep", "S")
    assert (registration.login_url, registration.instance_url) == ("https://127.0.0.1:8443", None)
    assert (registration.trusted_hosts, registration.tags) == (("127.0.0.1:8443", "sf.example"), ("eu", "pilot"))
    assert registration.policy.read_only
    assert registration.source == "clients.csv, row 2"


async def test_an_org_logs_in_at_its_instance_and_else_where_everybody_does() -> None:
    at_home = await one(instance_url="https://acme.my.salesforce.com").prepare(Alias("acme"))
    anywhere = await one().prepare(Alias("acme"))

    assert at_home.login_url == "https://acme.my.salesforce.com"
    assert anywhere.login_url == "https://login.salesforce.com"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_what_spreadsheets_write_is_read(delimiter: str, end: str, start: str) -> None:
    rows = [
        ["Alias", "Client ID", "Refresh-Token", "Tags"],
        ["acme", "3M", '"5A"', "a"],
        [""] * 4,
        [],
        ["globex", " 3M ", "5B"],
    ]
    text = start + end.join(delimiter.join(row) for row in rows) + end

    acme, globex = read(text)

    assert acme.token is not None
    assert acme.token.reveal() == "5A"
    assert (globex.problem, globex.source) == (None, "clients.csv, row 5")


FILES = {
    b"": "row 1: no column alias and no client_id",
    b"alias;refresh_token\n": "row 1: no column client_id",
    b"alias,client_id,CANARY\n": "row 1, column 3: not the name of a column",
    b"CANARY,5AepCANARY\nb,c\n": "row 1, column 1: not the name of a column",
    b"alias,client_id,tag,tags\n": "row 1, column 4: tag is there already",
    b"alias,client_id\nacme,3M\nx,\xffCANARY\n": "row 3: not UTF-8",
    "alias,client_id\n".encode("utf-16"): "row 1: not UTF-8",
    b'alias,client_id\nacme,"CANARY\nmore': "row 2: not CSV; is a quotation mark missing?",
    b'alias,client_id\nacme,"CAN"ARY\n': "row 2: not CSV; is a quotation mark missing?",
    b"alias,client_id\nacme," + b"x" * 200_000 + b"CANARY\n": "row 2: not CSV",
}


@pytest.mark.parametrize("data", FILES)
def test_a_file_that_cannot_be_read_is_named_with_the_place(data: bytes) -> None:
    with pytest.raises(ConfigError) as error:
        read(data)

    assert str(error.value).startswith(f"clients.csv, {FILES[data]}")
    assert "CANARY" not in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("heading", "near"),
    [("refresh_tokn", "refresh_token"), ("Client Secert", "client_secret"), ("tagz", "tag"), ("CANARY", None)],
)
def test_a_heading_that_is_almost_right_is_answered_with_the_right_one(heading: str, near: str | None) -> None:
    with pytest.raises(ConfigError, match="row 1, column 3: not the name of a column") as error:
        read(f"alias,client_id,{heading}\n")

    known = "the first row names the columns, of: alias, client_id, client_secret"
    assert str(error.value.hint).startswith(f"did you mean {near}? {known}" if near else known)


ROWS = [
    ({"alias": ""}, "alias: an alias is 1 to 63 of a-z"),
    ({"alias": "CANARY Ltd"}, "alias: an alias is 1 to 63 of a-z"),
    ({"client_id": ""}, "client_id: empty"),
    ({"client_id": "CANARY x"}, "client_id: has a space"),
    ({"refresh_token": ""}, "refresh_token: empty"),
    ({"refresh_token": "CANARY\nx"}, "refresh_token: has a space"),
    ({"client_secret": "CANARY\u00fc"}, "client_secret: has a space"),
    ({"login_url": "CANARY"}, "login_url: the URL must begin with https://"),
    ({"login_url": "https://canary.example/CANARY"}, "login_url: its host is not one of Salesforce's own hosts"),
    ({"login_url": "http://CANARY.my.salesforce.com"}, "login_url: its host must be reached by https on port 443"),
    ({"instance_url": "https://CANARY_x"}, "instance_url: the URL's host is no valid host name"),
    ({"trust_host": "https://CANARY"}, "trust_host: a trusted host is HOST or HOST:PORT"),
    ({"read_only": "CANARY"}, "read_only: neither yes nor no"),
    ({"keep_values": "CANARY"}, "keep_values: neither yes nor no"),
    ({"allow_object": "Contact:CANARY"}, "allow_object: objects look like Contact or Contact:read,create"),
    ({"deny_objects": "Contact CANARY!"}, "deny_object: objects look like Contact or Contact:read,create"),
    ({"hide_field": "CANARY"}, "hide_field: fields look like Contact.Email"),
    ({"mask_field": "Contact.Email,CANARY"}, "mask_field: fields look like Contact.Email"),
    ({"row_limit": "CANARY"}, "row_limit: no whole number"),
    ({"api_budget": "-1"}, "api_budget: no whole number"),
    ({"hours": "CANARY"}, "hours: hours look like Mon-Fri 08:00-18:00 Europe/Berlin"),
    ({"auth": "CANARY"}, "auth: none of refresh-token, jwt, client-credentials"),
    ({"auth": "web"}, "auth: none of refresh-token, jwt, client-credentials"),
    ({"auth": "client-credentials"}, "login_url: client credentials need the org's own host"),
    ({"auth": "client-credentials", "client_secret": ""}, "client_secret: empty"),
    ({"auth": "jwt", "username": "a@b.c"}, "private_key_file: empty"),
    ({"auth": "jwt", "private_key_file": "CANARY"}, "username: empty"),
    ({"auth": "jwt", "private_key_file": "CANARY", "username": "a@b.c"}, "private_key_file: no such file or directory"),
    ({"audience": "https://login.salesforce.com"}, "audience: only for auth jwt"),
    ({"auth": "jwt", "private_key_file": "\0CANARY", "username": "a@b.c"}, "private_key_file: no file name"),
    ({"auth": "jwt", "private_key_file": "bad.pem", "username": "a@b.c"}, "private_key_file: holds no private key"),
    ({"auth": "jwt", "private_key_file": "shut.pem", "username": "a@b.c"}, "private_key_file: is encrypted"),
]


@pytest.mark.parametrize(("changes", "told"), ROWS)
def test_a_faulty_row_is_named_by_row_and_column(changes: dict[str, str], told: str, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("CANARY")
    shut = rsa.generate_private_key(65_537, 2_048).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"CANARY")
    ) if changes.get("private_key_file") == "shut.pem" else b""  # fmt: skip
    (tmp_path / "shut.pem").write_bytes(shut)

    candidate = one(tmp_path, **changes)

    assert candidate.problem is not None
    assert candidate.problem.startswith(f"row 2, {told}")
    assert "CANARY" not in repr(candidate)
    assert candidate.token is None


async def test_a_row_with_more_cells_than_columns_is_faulty_and_one_with_fewer_is_not() -> None:
    more, fewer = read("alias,client_id,refresh_token,tag\nacme,3M,5A,x,CANARY\nglobex,3M,5B\n")

    assert more.problem == "row 2, cells: more than there are columns; is a quotation mark missing?"
    assert more.name == "row 2"
    with pytest.raises(ConfigError):
        await more.prepare(Alias("acme"))
    assert (fewer.name, fewer.problem) == ("globex", None)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='a,;"\n\r\t \ufeff', max_size=60).map(lambda t: b"alias,client_id\n" + t.encode()),
    )
)
def test_any_file_is_read_or_refused_by_name(data: bytes) -> None:
    try:
        rows = read(data)
    except ConfigError as error:
        told = str(error)
        assert told.startswith("clients.csv, row ")
    else:
        assert all(each.problem for each in rows)
