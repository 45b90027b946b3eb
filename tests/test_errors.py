"""The exception tree is the one its docstring draws, and its messages reach the user unharmed."""

import pickle
import re

import pytest

from verinet import errors
from verinet.errors import InputError, MissingFileError, SolverError, VerinetError

CLASSES = {name: getattr(errors, name) for name in errors.__all__}


def drawn_tree():
    """Read parent and builtin of each class off the drawing in the docstring."""
    path, tree = {}, {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([|+\- ]*)(\w+Error)(?: \((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            path[depth] = match[2]
            tree[match[2]] = (path.get(depth - 1), match[3])
    return tree


def test_every_class_is_drawn():
    assert set(drawn_tree()) == set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_drawing_is_true(name):
    parent, builtin = drawn_tree()[name]
    bases = [base.__name__ for base in CLASSES[name].__bases__]
    assert bases == [base for base in (parent or "Exception", builtin) if base]


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_a_message_is_one_sentence_as_given(error):
    sentence = "net.onnx: expected 2 inputs, found 3; check the model"
    assert str(error(sentence)) == sentence


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_an_error_crosses_a_process_border(error):
    # Backends run in worker processes: what they raise must arrive as what it was.
    copy = pickle.loads(pickle.dumps(error("why")))
    assert type(copy) is error
    assert str(copy) == "why"


@pytest.mark.parametrize("error", CLASSES.values(), ids=CLASSES)
def test_one_clause_catches_them_all(error):
    assert issubclass(error, VerinetError)
    assert error is VerinetError or issubclass(error, InputError) != issubclass(error, SolverError)


def test_builtins_catch_them_too():
    with pytest.raises(FileNotFoundError):
        raise MissingFileError("no such file: net.onnx")
    with pytest.raises(ValueError, match="net"):
        raise MissingFileError("no such file: net.onnx")
