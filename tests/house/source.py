"""The figures of the source itself: sizes, imports, names, suppressions."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grimp

import orgserver
from orgserver import services

from .tracing import PRODUCT

_TESTS = Path(__file__).parents[1]
_MAX_LINES, _MAX_MODULES = 300, 15
_WORDS = frozenset({"told", "given", "found", "asked", "wanted", "kept", "held"})
_IRREGULAR = _WORDS | frozenset(
    {"begun", "bound", "chosen", "done", "drawn", "fed", "forgotten", "gone", "heard", "hidden", "known", "left", "lost",
     "made", "met", "meant", "proven", "said", "seen", "sent", "shown", "sold", "spent", "spoken", "spoilt", "stuck",
     "taken", "thrown", "undone", "withdrawn", "woken", "written"}
)  # fmt: skip
_NO_PARTICIPLES = frozenset({"bed", "embed", "feed", "indeed", "need", "red", "seed", "shed", "speed"})
_SUPPRESSIONS = {"noqa": re.compile(r"#\s*noqa"), "type: ignore": re.compile(r"#\s*type:\s*ignore")}

Names = dict[str, list[str]]
"""What is behind some of the figures: each with the names that it counts."""


def measure_source() -> tuple[dict[str, int], Names]:
    """The figures, and the names behind some of them."""
    product, tests = _read(PRODUCT), _read(_TESTS)
    figures, names = _sizes(product)
    circles = _circles(graph := grimp.build_graph(orgserver.__name__, cache_dir=None))
    figures |= {
        "floors in services": _floors(graph, services.__name__),
        "circles": len(circles),
        "modules in circles": sum(map(len, circles)),
    }
    names["circles"] = [" ".join(sorted(_short(module) for module in circle)) for circle in circles]
    for room, sources in (("product", product), ("tests", tests)):
        trees = [ast.parse(text) for text in sources.values()]
        uses = [name for tree in trees for name, _ in _value_names(tree)]
        bindings = [name for tree in trees for name, binds in _value_names(tree) if binds]
        figures[f"told, given, found … in {room}"] = sum(name in _WORDS for name in uses)
        figures[f"participles assigned in {room}"] = sum(map(_is_participle, bindings))
    for name, pattern in _SUPPRESSIONS.items():
        for room, sources in (("product", product), ("tests", tests)):
            figures[f"{name} in {room}"] = sum(len(pattern.findall(text)) for text in sources.values())
    patches = [owns for text in tests.values() for owns in _patches(ast.parse(text))]
    return figures | {"monkeypatches": len(patches), "monkeypatches of our own code": sum(patches)}, names


def _read(folder: Path) -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}


def _sizes(sources: dict[Path, str]) -> tuple[dict[str, int], Names]:
    lines = {str(path.relative_to(PRODUCT)): text.count("\n") for path, text in sources.items()}
    folders = Counter(str(path.parent.relative_to(PRODUCT)) for path in sources if path.name != "__init__.py")
    long = [name for name in sorted(lines, key=lambda name: -lines[name]) if lines[name] > _MAX_LINES]
    full = [name for name in sorted(folders, key=lambda name: -folders[name]) if folders[name] > _MAX_MODULES]
    figures = {
        "lines": sum(lines.values()),
        "files": len(lines),
        "lines of the longest file": max(lines.values()),
        f"files > {_MAX_LINES} lines": len(long),
        "folders": len(folders),
        "modules of the largest folder": max(folders.values()),
        f"folders > {_MAX_MODULES} modules": len(full),
    }
    names = {
        "long files": [f"{name} {lines[name]}" for name in long],
        "large folders": [f"{name} {folders[name]}" for name in full],
    }
    return figures, names


# -- imports, at whatever time, those for type checkers included


def _circles(graph: grimp.ImportGraph) -> list[frozenset[str]]:
    """The groups of modules each of which imports, directly or not, all the others."""
    groups = {
        module: graph.find_upstream_modules(module) & graph.find_downstream_modules(module) | {module}
        for module in graph.modules
    }
    return sorted({frozenset(group) for group in groups.values() if len(group) > 1}, key=sorted)


def _floors(graph: grimp.ImportGraph, package: str) -> int:
    """How many modules of a package stand on each other at most, a circle counting as one."""
    modules = graph.find_descendants(package)
    circle_of = {module: circle for circle in _circles(graph) for module in circle}
    heights: dict[frozenset[str], int] = {}

    def height(module: str) -> int:
        circle = circle_of.get(module, frozenset({module}))
        if circle not in heights:
            below = {each for member in circle for each in graph.find_modules_directly_imported_by(member)}
            heights[circle] = 1 + max((height(each) for each in below & modules - circle), default=0)
        return heights[circle]

    return max(map(height, modules), default=0)


def _short(module: str) -> str:
    return module.removeprefix(f"{orgserver.__name__}.")


# -- names


def _value_names(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each use of a name for a value, and whether it binds it."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=context) | ast.Attribute(attr=name, ctx=context):
                yield name, isinstance(context, ast.Store)
            case ast.arg(arg=name):
                yield name, True
            case ast.keyword(arg=str(name)):
                yield name, False


def _is_participle(name: str) -> bool:
    word = name.strip("_")
    return word in _IRREGULAR or (word.islower() and word.endswith("ed") and word not in _NO_PARTICIPLES)


def _patches(tree: ast.AST) -> Iterator[bool]:
    """For each call of ``monkeypatch.setattr``: whether it replaces something of our own."""
    foreign = set(_foreign_names(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr"), args=[target, *_]):
                match target:
                    case ast.Constant(value=str(path)):
                        yield path.startswith(orgserver.__name__)
                    case _:
                        yield _root(target) not in foreign


def _foreign_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                modules = [(alias.name, alias) for alias in aliases]
            case ast.ImportFrom(module=str(module), names=aliases):
                modules = [(module, alias) for alias in aliases]
            case _:
                continue
        for module, alias in modules:
            if module.partition(".")[0] != orgserver.__name__:
                yield (alias.asname or alias.name).partition(".")[0]


def _root(target: ast.expr) -> str:
    """The name that an expression begins with; of a call, that of its first argument."""
    match target:
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(args=[inner, *_]):
            return _root(inner)
        case ast.Name(id=name):
            return name
    return ""
