"""What is decided equals the plainest reading of principals, groups, grants and policies."""

import random

from .decisions import decisions


def test_decisions_equal_the_model() -> None:
    decided = decisions(5_000, seed=random.randrange(1_000_000))

    assert decided.differences == []
    assert decided.holds
