"""What an agent pays for the list of tools, before it asks anything: ``python -m tests.bench.sizes``.

Bytes of ``tools/list`` as compact JSON, for each toolset and together; tokens by OpenAI's public ``o200k_base``, whose
vocabulary comes with the package ``bpe-openai`` (extra ``bench``). Without it, bytes alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from orgserver.tools.toolsets import DEFAULT, TOOLSETS, chosen

AIMS = {"default": 14_336, "all": 24_576}


def listing(toolsets: Iterable[str]) -> str:
    """The list of tools that a server with these toolsets gives."""
    tools = [
        spec.listed().model_dump(mode="json", by_alias=True, exclude_none=True) for spec in chosen(toolsets).values()
    ]
    return json.dumps({"tools": tools}, separators=(",", ":"), ensure_ascii=False)


def counting() -> Callable[[str], int] | None:
    """Counts tokens; None without the tokenizer."""
    try:
        import bpe_openai
    except ImportError:
        return None
    encoding = bpe_openai.get_encoding("o200k_base")
    return lambda text: len(encoding.encode(text))


def show() -> None:
    """Print it."""
    tokens = counting()
    print(f"{'toolset':<16}{'tools':>6}{'bytes':>8}{'aim':>10}{'tokens':>8}")
    for name, toolsets in {**{name: (name,) for name in TOOLSETS}, "default": DEFAULT, "all": ("all",)}.items():
        text = listing(toolsets)
        aim = f"≤ {AIMS[name]:,}" if name in AIMS else ""
        counted = f"{tokens(text):,}" if tokens is not None else "–"
        print(f"{name:<16}{len(chosen(toolsets)):>6}{len(text.encode()):>8,}{aim:>10}{counted:>8}")
    print("tokens: o200k_base, by bpe-openai" if tokens else "for tokens: pip install bpe-openai")


if __name__ == "__main__":
    show()
