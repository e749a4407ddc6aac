"""The published schema of configuration files is made of the form that is read, takes what is written, and no other."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from referencing import Registry, Resource

from orgserver.cli.configuration import documents
from orgserver.cli.configuration.conversion import convert
from orgserver.cli.configuration.reading import read

DOCS = Path(__file__).parents[2] / "docs"
FILE = DOCS / "configuration.schema.json"
SCHEMA = json.loads(FILE.read_text("utf-8"))
POLICY = json.loads((DOCS / documents.POLICY_SCHEMA).read_text("utf-8"))
JUDGE = jsonschema.Draft202012Validator(
    SCHEMA, registry=Registry().with_resources([(POLICY["$id"], Resource.from_contents(POLICY))])
)


def test_it_is_the_form_that_is_read() -> None:
    assert FILE.read_text("utf-8") == documents.schema(), "python -m tests.snapshots writes it anew"


def test_it_takes_what_the_page_shows() -> None:
    page = (DOCS / "fleets.md").read_text("utf-8")
    text = page.partition("```yaml\n# fleet.yaml")[2].partition("```")[0]
    JUDGE.validate(yaml.safe_load(text))
    files = convert("fleet.yaml", [(read(text.encode(), "fleet.yaml"), Path())])
    assert (set(files.orgs), set(files.groups), set(files.principals)) == ({"acme"}, {"emea"}, {"ada"})


@pytest.mark.parametrize(
    "text",
    [
        "colour: red", "orgs: [acme]", "orgs: {acme: {tag: [eu]}}", "orgs: {acme: {auth: password}}",
        "orgs: {acme: {refresh_token: 5Aep8}}", "orgs: {acme: {policy: {row-limit: -1}}}", "policies: {a: {x: 1}}",
        "groups: {ops: {grants: [acme]}}", "principals: {ada: {grants: ['acme:fly']}}", "principals: {ada: {kind: robot}}",
        "principals: {ada: {subjects: [{issuer: a}]}}", "principals: {ada: {enabled: 1}}",
    ],
)  # fmt: skip
def test_it_refuses_what_is_refused(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        JUDGE.validate(yaml.safe_load(text))
