"""The policy in the README is one that can be used."""

import re
from pathlib import Path

from orgserver.cli.policies import yaml_text
from orgserver.cli.policies.limit_texts import contradictions

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_example_is_a_whole_policy_without_contradictions() -> None:
    (example,) = re.findall(r"```yaml\n(# acme.yaml.*?)```", README, re.DOTALL)

    policy = yaml_text.read(example.encode(), "README.md").policy

    assert len(policy.facts()) == 9
    assert contradictions(policy) == []
