"""What each package and module offers: `__all__` is honest, and what it names is documented."""

import ast
import dataclasses
import importlib
import inspect
from enum import Enum
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[1] / "verinet"
FILES = sorted(path.relative_to(LIBRARY.parent) for path in LIBRARY.rglob("*.py") if path.name != "__main__.py")
NAMES = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES]
PACKAGES = [name for path, name in zip(FILES, NAMES, strict=True) if path.name == "__init__.py" and name != "verinet"]


def reading_order(name):
    """Order names as ruff does: constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def tree_of(module):
    return ast.parse(inspect.getsource(module))


@pytest.mark.parametrize("name", NAMES)
def test_all_names_exist_and_stand_in_order(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    assert names is not None, f"{name} needs __all__"
    assert list(names) == sorted(set(names), key=reading_order)
    missing = [n for n in names if not hasattr(module, n)]
    assert not missing
    assert not [n for n in names if n.startswith("_") and n != "__version__"]


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_imports_from_its_modules_it_uses_or_exports(name):
    package = importlib.import_module(name)
    used = {node.id for node in ast.walk(tree_of(package)) if isinstance(node, ast.Name)}
    imported = {
        alias.asname or alias.name
        for node in tree_of(package).body
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("verinet"))
        for alias in node.names
    }
    exported = set(package.__all__)
    assert {n for n in imported if not n.startswith("_")} <= exported | used
    assert exported <= imported | locally_defined(package)


def locally_defined(module):
    return {n.name for n in tree_of(module).body if isinstance(n, ast.ClassDef | ast.FunctionDef)}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_exports_its_module_exports(name):
    package = importlib.import_module(name)
    for node in tree_of(package).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("verinet"):
            offered = importlib.import_module(node.module).__all__
            assert {alias.name for alias in node.names} <= set(offered), node.module


@pytest.mark.parametrize("name", NAMES)
def test_every_module_says_what_it_is_for(name):
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert (thing.__doc__ or "").strip(), f"{name}.{public} needs a docstring"
            assert not thing.__doc__.startswith(f"{public}("), f"{name}.{public} has only the generated docstring"


@pytest.mark.parametrize("name", PACKAGES)
def test_parameters_of_exported_names_are_described(name):
    package = importlib.import_module(name)
    for public in package.__all__:
        thing = getattr(package, public)
        names = parameters_of(thing)
        # One parameter is described by the first line, which names what is done to it.
        if len(names) >= 2:
            _, heading, section = thing.__doc__.partition("Parameters\n")
            assert heading, f"{name}.{public} needs a Parameters section for {names}"
            missing = [n for n in names if n not in section]
            assert not missing, f"{name}.{public} does not describe {missing}"


def parameters_of(thing):
    """List the parameters that a caller passes: those of a function, or a plain class's or dataclass's fields."""
    if dataclasses.is_dataclass(thing):
        return [f.name for f in dataclasses.fields(thing) if f.init and not f.name.startswith("_")]
    if inspect.isfunction(thing) or (inspect.isclass(thing) and "__init__" in vars(thing)):
        if inspect.isclass(thing) and issubclass(thing, Enum | Exception):
            return []
        return [n for n in inspect.signature(thing).parameters if n not in {"self", "args", "kwargs"}]
    return []
