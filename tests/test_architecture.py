"""The rules of the repository's shape, so that nobody has to remember them."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lmprog

ROOT = Path(__file__).parent.parent

FLOORS = [  # bottom first; a module imports from floors below, or sideways where that makes no cycle; never up
    {"params", "request", "errors", "registry", "secrets", "escapes", "locks", "polling"},
    {"identity", "signature", "derived", "short_form", "schemas", "scope", "loop", "inspection"},
    {"formats", "lm"},
    {"predict", "tools"},
    {"module", "strategies", "data", "metrics", "retrieval", "hub", "source", "task"},
    {"evaluation", "scores", "statistics", "recall", "events", "narration"},
    {"optimizer", "search", "lint", "budget", "caps", "cuts", "certificate", "artifact", "rundir", "report"},
    {"compiler", "job", "planning", "merging", "optimizers", "programs"},
    {"cli", "arguments", "exits", "terminal", "__main__", "serve", "completions", "bridges"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS, start=1) for name in names}
SIDE = {"testing"}  # shipped checks: may use anything, and only tests use them
FACADE = ROOT / "lmprog" / "__init__.py"
HEAVY_ROOMS = {"optimizers/train", "lmprog/lm/local/", "lmprog/lm/tiny/training"}
HEAVY = {"torch", "transformers", "peft", "trl"}

SOURCES = sorted(
    path
    for room in ("lmprog", "optimizers", "programs")
    for path in (ROOT / room).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents) and path != FACADE
)


def dotted(path: Path) -> str:
    """The importable name: optimizers/mipro.py is lmprog.optimizers.mipro."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "lmprog" else ("lmprog", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, *, at_top_only: bool = False) -> set[str]:
    """Every module named by an import in the file, submodules by their full name."""
    tree = ast.parse(path.read_text())
    nodes: list[ast.AST] = list(tree.body) if at_top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else node.module
                for alias in node.names
            }
    return found


MODULES = {dotted(path) for path in SOURCES}


def room(module: str) -> str:
    return module.split(".")[1]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_imports_from_its_own_floor_or_below(path: Path) -> None:
    home = room(dotted(path)) if dotted(path) != "lmprog" else "errors"
    if home in SIDE:
        return

    above = {
        name
        for name in imports(path)
        if name.startswith("lmprog.") and room(name) != home and (room(name) in SIDE or FLOOR[room(name)] > FLOOR[home])
    }

    assert not above, f"{named(path)} reaches up to {sorted(above)}: move the shared part down, or pass it in"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_the_facade_is_for_users_only(path: Path) -> None:
    assert "lmprog" not in imports(path), f"{named(path)} imports the facade: import the defining module"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_optimizers_and_programs_know_nothing_of_each_other(path: Path) -> None:
    other = {"optimizers": "programs", "programs": "optimizers"}.get(path.relative_to(ROOT).parts[0])
    assert not other or not [name for name in imports(path) if name.startswith(f"lmprog.{other}")]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.relative_to(ROOT).parts[0] == "lmprog"], ids=named)
def test_the_package_reaches_optimizers_and_programs_through_the_registry_alone(path: Path) -> None:
    named_rooms = [name for name in imports(path) if name.startswith(("lmprog.optimizers", "lmprog.programs"))]
    assert not named_rooms, f"{named(path)} imports {named_rooms}: ask the registry"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_programs_stay_on_the_floors_that_users_build_on(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] != "programs":
        return
    high = [n for n in imports(path) if n.startswith("lmprog.") and room(n) != "programs" and FLOOR[room(n)] > 5]
    assert not high, f"{named(path)} imports {high}: a ready program uses floor 5 and below, as a user's does"


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_training_libraries_stay_in_the_rooms_that_train(path: Path) -> None:
    if any(named(path).startswith(heavy) for heavy in HEAVY_ROOMS):
        return
    assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_no_import_cycle() -> None:
    graph = {dotted(path): imports(path, at_top_only=True) & MODULES for path in SOURCES}
    TopologicalSorter(graph).prepare()  # raises CycleError with the cycle


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_pickle(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "shelve", "marshal", "dill"}


def test_importing_lmprog_loads_nothing_heavy() -> None:
    heavy = HEAVY | {
        "numpy",
        "optuna",
        "datasets",
        "aiohttp",
        "litellm",
        "dspy",
        "rich",
        "typer",
        "bm25s",
        "tokenizers",
    }
    code = f"import sys, lmprog; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == ""


def test_every_name_of_the_facade_is_there_when_it_is_asked_for() -> None:
    tree = ast.parse((ROOT / "lmprog" / "__init__.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname for node in imported for alias in node.names if alias.asname}

    assert "compile" in names and names <= set(dir(lmprog))
    assert all(getattr(lmprog, name) is not None for name in names)
    with pytest.raises(AttributeError, match="no attribute 'compil'"):
        getattr(lmprog, "compil")  # noqa: B009  (a checker knows that it is not there)
