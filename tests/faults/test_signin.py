"""Sign-in over two processes equals a model of it."""

import random

from .signin import sign_in


async def test_sequences_of_sign_in_equal_the_model() -> None:
    figures = await sign_in(200, seed=random.randrange(1_000_000))

    assert figures.differences == []
    assert figures.holds, str(figures)
