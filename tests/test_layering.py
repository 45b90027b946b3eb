"""The table of rooms: who may import whom, read off the source without running it."""

import ast
import re
import sys
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "verinet"

OPEN_TO_ALL = {"compiling", "errors", "numeric"}

MAY_IMPORT = {
    "model": set(),
    "program": set(),
    "io": {"model"},
    "bounds": {"model"},
    "certify": {"model"},
    "encode": {"model", "program"},
    "solve": {"program"},
    "train": {"encode", "program", "solve", "model", "verify"},
    "verify": {"bounds", "encode", "solve", "program", "model", "certify"},
    "audit": {"verify", "train", "certify", "model"},
    "campaign": {"train", "verify", "audit", "io"},
}
"""The rooms that each room may import."""

MAY_IMPORT["cli"] = set(MAY_IMPORT)

DOORS = {
    ("train", "verify"): {"verinet.verify"},
    ("verify", "certify"): {"verinet.certify", "verinet.certify.format"},
}
"""Where a room is open in part only: the modules that may be named."""

CHECKER_MAY_IMPORT = {*sys.stdlib_module_names, "numpy", "flint", "verinet"}
"""The checker stands on the model and the standard library; numpy is what the model's vectors are made of, and FLINT
multiplies integers."""

ROOMS = sorted(path.name for path in LIBRARY.iterdir() if (path / "__init__.py").exists())
FILES = sorted(LIBRARY.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}


def imports_of(module, path, tree=None):
    """List the modules that a module imports, anywhere in it, by their full names."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(tree or ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            names = [f"{source}.{alias.name}" for alias in node.names]
            found += [name if name in MODULES else source for name in names]
    return found


def imported_rooms(module, path):
    own = module.split(".")[1]
    names = [name for name in imports_of(module, path) if name.startswith("verinet.")]
    return {(name.split(".")[1], name) for name in names if name.split(".")[1] != own}


def modules_of(room):
    return {module: path for module, path in MODULES.items() if module.split(".")[1:2] == [room]}


def test_every_room_stands_in_the_table():
    assert set(ROOMS) <= set(MAY_IMPORT)


def test_the_table_has_no_circle_beside_the_known_door():
    # Training is verification: it asks the verifier, which never asks back.
    graph = nx.DiGraph((room, other) for room, others in MAY_IMPORT.items() for other in others)
    assert nx.is_directed_acyclic_graph(graph)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_allows(room):
    for module, path in modules_of(room).items():
        for other, name in imported_rooms(module, path):
            assert other in MAY_IMPORT[room] | OPEN_TO_ALL, f"{module} imports {name}"
            door = DOORS.get((room, other), {name})
            assert name in door, f"{module} imports {name}, but only {sorted(door)} are open to it"


@pytest.mark.parametrize("name", sorted(OPEN_TO_ALL))
def test_what_all_may_import_imports_no_room(name):
    module = f"verinet.{name}"
    assert not {room for room, _ in imported_rooms(module, MODULES[module])} - OPEN_TO_ALL


def test_the_front_imports_training_lazily_and_nothing_else():
    path = LIBRARY / "__init__.py"
    tree = ast.parse(path.read_text())
    assert {room for room, _ in rooms_below(tree, path)} <= {"train"}
    at_start = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert not rooms_below(at_start, path)


def rooms_below(tree, path):
    return {(n.split(".")[1], n) for n in imports_of("verinet", path, tree) if n.startswith("verinet.")}


def test_the_checker_stands_alone():
    for module, path in modules_of("certify").items():
        foreign = {name.split(".")[0] for name in imports_of(module, path)} - CHECKER_MAY_IMPORT
        assert not foreign, f"{module} imports {sorted(foreign)}"


@pytest.mark.parametrize("room", ROOMS)
def test_modules_of_a_room_do_not_import_each_other_in_a_circle(room):
    graph = nx.DiGraph()
    modules = modules_of(room)
    for module, path in modules.items():
        graph.add_edges_from((module, name) for name in imports_of(module, path) if name in modules and name != module)
    assert not list(nx.simple_cycles(graph))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_prints_and_evaluates_nothing(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [(node.func.id, node.lineno) for node in calls if isinstance(node.func, ast.Name)]
    assert not [call for call in named if call[0] in {"print", "eval", "exec"}]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_path_of_one_machine_stands_in_the_library(path):
    text = path.read_text()
    assert not re.findall(r"(?<![\w./])/(?:home|root|work|tmp|Users|opt|mnt|usr)/|\b[A-Z]:\\\\", text)


def test_trainer_and_verifier_share_the_relu_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both build their programmes through the very same function."""
    import numpy as np

    import verinet.encode.network as encodings
    import verinet.train.programme as training
    from verinet.encode import encode_query
    from verinet.model import Domain, dense_network
    from verinet.train import Specification, TrainingData
    from verinet.train.programme import build_programme

    assert training.relu is encodings.relu
    assert training.variable_affine is encodings.variable_affine
    calls = []

    def counted(*arguments: object) -> object:
        calls.append(arguments[1])
        return original(*arguments)

    original = encodings.relu
    monkeypatch.setattr(encodings, "relu", counted)
    monkeypatch.setattr(training, "relu", counted)
    network = dense_network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    encode_query(network, Domain.from_box([-1], [1]))
    assert calls == ["relu"]
    data = TrainingData.prepare(np.array([[0.0], [1.0]]), np.array([-1.0, 1.0]), classes=True)
    build_programme(Specification(1, 1), data)
    assert calls == ["relu", "h0", "h1"]
