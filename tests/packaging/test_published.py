"""What is published beside the wheel says the same as the product, in the forms that its readers demand."""

import json
import re
import tomllib
from pathlib import Path

import click
import pytest

from orgserver import __version__
from orgserver.cli.main import cli
from orgserver.config import Settings, read_settings
from orgserver.tools import toolsets
from tests.packaging import containerfile
from tests.packaging.container import HARDENED
from tests.packaging.published import PACKAGING, ROOT, SERVER_SCHEMA, content, faults, manifest_schema

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SERVER = content(PACKAGING / "server.json")
MANIFESTS = {kind: content(PACKAGING / "mcpb" / f"manifest-{kind}.json") for kind in ("python", "uv")}
COMMANDS = cli.list_commands(click.Context(cli))
README = (ROOT / "README.md").read_text("utf-8")


def test_the_registry_takes_the_server_and_knows_it_by_the_readme() -> None:
    assert faults(SERVER, SERVER_SCHEMA) == []
    assert re.findall(r"^<!-- mcp-name: (\S+) -->$", README, re.MULTILINE) == [SERVER["name"]]
    assert SERVER["repository"]["url"] == PROJECT["urls"]["Repository"]
    assert SERVER["$schema"] == content(SERVER_SCHEMA)["$id"]


@pytest.mark.parametrize(
    "wrong",
    [{"description": "x" * 101}, {"name": "orgserver"}, {"packages": [{"registryType": "pypi"}]}, {"version": 1}],
    ids=["description", "name", "package", "version"],
)
def test_what_the_registry_would_refuse_is_refused_here(wrong: dict[str, object]) -> None:
    """The hostile twin: the schema is read, not only opened."""
    assert faults(SERVER | wrong, SERVER_SCHEMA)


def test_the_package_that_the_registry_names_is_this_one_and_starts_the_server() -> None:
    (package,) = SERVER["packages"]
    variables = {each["name"].removeprefix("ORGSERVER_").lower() for each in package["environmentVariables"]}

    assert (package["identifier"], package["version"], SERVER["version"]) == (PROJECT["name"], __version__, __version__)
    assert [argument["value"] for argument in package["packageArguments"]] == ["serve"]
    assert "serve" in COMMANDS
    assert variables <= set(Settings.model_fields)


@pytest.mark.parametrize(("kind", "version"), [("python", "0.3"), ("uv", "0.4")])
def test_a_bundle_says_what_it_is_and_lists_the_tools_that_are_served(kind: str, version: str) -> None:
    manifest = MANIFESTS[kind]

    assert faults(manifest, manifest_schema(version)) == []
    assert faults(manifest | {"server": {"type": kind}}, manifest_schema(version)), "the schema is read"
    assert (manifest["name"], manifest["version"]) == (PROJECT["name"], __version__)
    assert [tool["name"] for tool in manifest["tools"]] == list(toolsets.chosen([]))
    assert manifest["compatibility"]["runtimes"]["python"] == PROJECT["requires-python"]
    assert manifest["server"]["entry_point"] in manifest["server"]["mcp_config"]["args"][-1]
    assert manifest["repository"]["url"] == PROJECT["urls"]["Repository"]


@pytest.mark.parametrize("kind", MANIFESTS)
def test_what_a_host_asks_for_reaches_settings_that_there_are(tmp_path: Path, kind: str) -> None:
    """With nothing filled in, everything is as without these variables; a host sets them all the same."""
    variables = MANIFESTS[kind]["server"]["mcp_config"]["env"]
    asked = MANIFESTS[kind]["user_config"]
    defaults = {f"${{user_config.{name}}}": str(option["default"]).lower() for name, option in asked.items()}
    filled = {
        f"${{user_config.{name}}}": text
        for name, text in (("orgs", "acme"), ("toolsets", "all"), ("read_only", "true"))
    }
    home = {"ORGSERVER_HOME": str(tmp_path)}

    assert set(variables.values()) == set(defaults)
    plain = read_settings(environ=home | {name: defaults[text] for name, text in variables.items()})
    assert plain == read_settings(environ=dict(home))
    chosen = read_settings(environ=home | {name: filled[text] for name, text in variables.items()})
    assert (chosen.orgs, chosen.toolsets, chosen.read_only) == (("acme",), ("all",), True)


def test_the_bundle_for_uv_has_all_that_the_wheel_is_built_from(tmp_path: Path) -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("bundle", PACKAGING / "mcpb" / "bundle.py")
    assert spec is not None
    assert spec.loader is not None
    bundle = module_from_spec(spec)
    spec.loader.exec_module(bundle)

    bundle.with_source(tmp_path / "bundle")

    packed = {str(path.relative_to(tmp_path / "bundle")) for path in (tmp_path / "bundle").rglob("*") if path.is_file()}
    source = [path for room in ("orgserver", "migrations") for path in (ROOT / room).rglob("*") if path.is_file()]
    needed = {str(path.relative_to(ROOT)) for path in source if "__pycache__" not in path.parts}
    assert packed == needed | {"manifest.json", "server/main.py", "pyproject.toml", "README.md", "LICENSE"}
    assert content(tmp_path / "bundle" / "manifest.json") == MANIFESTS["uv"]


def test_the_container_runs_as_nobody_special_keeps_its_data_in_one_place_and_is_looked_after() -> None:
    labels, environment = containerfile.pairs("LABEL"), containerfile.pairs("ENV")
    user, _, group = containerfile.last("USER").text.partition(":")
    (volume,) = containerfile.last("VOLUME").arguments
    _, _, health = containerfile.last("HEALTHCHECK").text.partition("CMD ")
    (copied,) = [step.arguments for step in containerfile.stages()[0] if "healthcheck.py" in step.text]
    (command,) = re.findall(r'"orgserver", "([a-z-]+)"', (ROOT / copied[0]).read_text("utf-8"))

    assert user.isdecimal(), "an orchestrator cannot tell that a name is not root"
    assert int(user) > 0
    assert int(group) > 0
    assert environment["ORGSERVER_HOME"].startswith(f"{volume}/")
    assert json.loads(health) == ["python", "-I", copied[1]]
    assert command in COMMANDS
    assert [containerfile.last(word).arguments for word in ("ENTRYPOINT", "CMD")] == [["orgserver"], ["serve"]]
    assert labels["io.modelcontextprotocol.server.name"] == SERVER["name"]
    assert all(re.fullmatch(r"python:[\d.]+-slim-\w+( AS build)?", stage[0].text) for stage in containerfile.stages())


def test_the_container_is_built_from_pinned_releases_with_hashes() -> None:
    installs = [
        command
        for step in containerfile.stages()[0]
        for command in step.text.split("&&")
        if step.word == "RUN" and " install " in command
    ]
    texts = {path.name: path.read_text("utf-8") for path in PACKAGING.glob("*requirements.txt")}
    released = {name: re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE) for name, text in texts.items()}
    needed = {re.split(r"[\[>=<; ]", dependency)[0] for dependency in PROJECT["dependencies"]}

    assert installs
    assert all("--require-hashes" in command or "--no-index" in command for command in installs)
    assert needed <= set(released["requirements.txt"])
    assert released["build-requirements.txt"][0] == "hatchling"


def test_what_the_build_copies_is_let_in_and_nothing_else_is() -> None:
    ignored = (PACKAGING / "Containerfile.dockerignore").read_text("utf-8").split("\n")
    copied = {each for step in containerfile.stages()[0] if step.word == "COPY" for each in step.arguments[:-1]}

    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / each).exists() for each in copied)


def test_the_page_says_how_a_container_is_started_without_a_root_that_can_be_written() -> None:
    page = (PACKAGING / "README.md").read_text("utf-8")

    assert f"docker run --rm --interactive {' '.join(HARDENED)}" in page.replace(" \\\n    ", " ")
