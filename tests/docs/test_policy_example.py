"""The policy on the page of policies is one that can be used."""

import re

from orgserver.cli.policies import yaml_text
from orgserver.cli.policies.limit_texts import contradictions
from tests.docs.pages import DOCS


def test_the_example_is_a_whole_policy_without_contradictions() -> None:
    (example,) = re.findall(r"```yaml\n(# acme.yaml.*?)```", DOCS["policies"], re.DOTALL)

    policy = yaml_text.read(example.encode(), "policies.md").policy

    assert len(policy.facts()) == 9
    assert contradictions(policy) == []
