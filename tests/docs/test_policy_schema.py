"""The published schema of policy files takes what is read, and names the same limits."""

import json
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from orgserver.cli.policies import yaml_text
from orgserver.model.access.policies import Policy
from tests.model.access.test_policies import POLICIES

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "policy.schema.json").read_text("utf-8"))


def test_it_names_every_limit() -> None:
    assert set(SCHEMA["properties"]) == {each.name.replace("_", "-") for each in fields(Policy)}


@settings(deadline=None)
@given(POLICIES)
def test_it_takes_what_is_written(policy: Policy) -> None:
    jsonschema.validate(yaml.safe_load(yaml_text.write(policy)), SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "colour: red", "read-only: 'yes'", "row-limit: -1", "row-limit: '5'", "hide-fields: Contact.Email",
        "hide-fields: [Email]", "allow-objects: ['Contact:fly']", "hours: always", "- read-only", "confirm-above: 1.5",
    ],
)  # fmt: skip
def test_it_refuses_what_is_refused(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), SCHEMA)
