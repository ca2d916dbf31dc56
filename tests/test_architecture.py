"""The arrows in ARCHITECTURE.md, the sizes and the shapes, checked."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "shoal"
CAPABILITIES = ("members", "catalog", "table", "gateway", "market", "flow")
IMPURE = {"asyncio", "datetime", "os", "secrets", "socket", "threading", "time", "uuid"}
ALONE = {"cli", "peer", "__main__", "__init__", "errors", "version"}
# What talks to the loop, to processes and to files: services, and what serves them.
FACES = {
    "announcer.py",
    "asking.py",
    "service.py",
    "shares.py",
    "connection.py",
    "crier.py",
    "lookout.py",
    "writer.py",
    "carrying.py",
    "census.py",
    "driving.py",
    "caring.py",
    "ending.py",
    "files.py",
    "forkserver.py",
    "forwarder.py",
    "herald.py",
    "hosts.py",
    "intake.py",
    "library.py",
    "nursery.py",
    "ports.py",
    "results.py",
    "rows.py",
    "spreader.py",
    "worker.py",
    "workers.py",
}


def room(path: Path) -> str:
    """The folder of the house, or the name of what stands alone."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


ALL = sorted(SOURCE.rglob("*.py"))
EVERY = sorted(
    path
    for folder in ("src", "tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
)
PURE = [
    path
    for path in ALL
    if room(path) == "core" or (room(path) in CAPABILITIES and path.name not in FACES)
]

# Who may import whom, by folder. Top-level modules are named by their own name.
ARROWS = {
    "core": {"core", "errors", "version"},
    "sim": {"sim", "core", "errors"},
    "net": {"net", "core", "errors", "version"},
    "web": {
        *("web", "core", "errors", "version"),
        *("members.service", "table.service", "flow.service"),
        "catalog.service",
        *("table.replication.standing", "table.replication.round"),
    },
    "settings": {"core", "members.settings", "table.messages"},
    "client": {"client", "core", "errors"},
    **{name: {name, "core", "net", "errors", "version"} for name in CAPABILITIES},
}


def imports(path: Path) -> set[str]:
    """Every module a file imports, `from x import y` giving `x.y`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    """What a file imports of this package, without the package's name."""
    return {
        name.removeprefix("shoal.")
        for name in imports(path)
        if name.startswith("shoal.")
    }


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PURE, ids=label)
def test_protocols_do_no_io(path: Path) -> None:
    tops = {name.partition(".")[0] for name in imports(path)}
    assert not tops & IMPURE
    assert "random" not in imports(path)  # `random.Random` is handed in, seeded.
    assert not [name for name in ours(path) if name.startswith(("net.", "sim."))]


@pytest.mark.parametrize("path", ALL, ids=label)
def test_arrows_point_where_they_may(path: Path) -> None:
    allowed = ARROWS.get(room(path))
    if allowed is None:
        assert room(path) in (
            "cli",
            "peer",
            "introductions",
            "reachability",
            "sharing",
            "__main__",
            "__init__",
            "errors",
            "version",
        )
        return
    for name in ours(path):
        assert any(name == each or name.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("name", CAPABILITIES)
def test_every_capability_has_the_same_shape(name: str) -> None:
    folder = SOURCE / name
    if folder.exists():
        present = {path.name for path in folder.glob("*.py")}
        assert present >= {"messages.py", "protocol.py", "service.py"}


@pytest.mark.parametrize("path", EVERY, ids=label)
def test_nothing_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            documented = len((ast.get_docstring(node) or "").splitlines())
            arguments = len(node.args.args) + len(node.args.kwonlyargs)
            assert lines - documented - arguments <= 40, f"{node.name}: {lines} lines"


def test_the_map_names_every_file() -> None:
    """But for commands, where a file is a noun, and what makes a folder a package.

    A dialect's own folder is told of as a whole.
    """
    told = (ROOT / "ARCHITECTURE.md").read_text()
    names = [
        path.name
        for path in ALL
        if path.parent.name != "cli"
        and path.name != "__init__.py"
        and path.parent.parent in (SOURCE, SOURCE.parent)
    ]
    assert [name for name in names if f"{name}`" not in told] == []


def test_machines_iterate_no_sets() -> None:
    """A set of strings has another order in every process: no seed would replay."""
    for path in PURE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.For | ast.comprehension):
                assert not isinstance(node.iter, ast.Set | ast.SetComp), path
                call = node.iter
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                    assert call.func.id not in ("set", "frozenset"), path


def test_the_environment_is_read_by_the_command_line_alone() -> None:
    for path in ALL:
        if path.parent.name != "cli":
            assert "environ" not in path.read_text(), path
