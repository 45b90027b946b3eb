"""NNet files: the network as stored, its units on record, and no damage that is not named."""

from fractions import Fraction

import numpy as np
import pytest

from verinet.errors import FileFormatError
from verinet.io import read_network
from verinet.io.nnet import read_nnet
from verinet.model import evaluate_exact

TEXT = """// a comment
2,2,1,2,
2,2,1,
0,
-1.0,0.0,
1.0,10.0,
0.5,5.0,-2.0,
2.0,10.0,4.0,
1.0,-0.5,
0.25,2.0,
0.125,
-1.0,
1.5,-1.0,
0.5,
"""


def test_the_network_is_the_stored_function(tmp_path):
    path = tmp_path / "n.nnet"
    path.write_text(TEXT)
    file = read_nnet(path)
    assert file.means == (Fraction(1, 2), 5, -2)
    assert file.ranges == (2, 10, 4)
    assert (file.minima, file.maxima) == ((-1, 0), (1, 10))
    x = [Fraction(3, 4), Fraction(1, 3)]
    first = max(Fraction(0), x[0] - x[1] / 2 + Fraction(1, 8))
    second = max(Fraction(0), x[0] / 4 + 2 * x[1] - 1)
    assert evaluate_exact(read_network(path), x) == (Fraction(3, 2) * first - second + Fraction(1, 2),)
    (note,) = file.network.notes
    assert "(raw - 0.5) / 2" in note
    assert "Y * 4 + -2" in note


def test_decimals_that_no_float_equals_leave_a_note(tmp_path):
    path = tmp_path / "n.nnet"
    path.write_text(TEXT.replace("0.125", "0.1"))
    network = read_nnet(path).network
    assert len(network.notes) == 2
    assert np.isclose(network.by_name["affine_1"].op.bias[0], 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("2,2,1,2,", "x,2,1,2,"), "line 2: expected whole numbers"),
        (("\n2,2,1,\n", "\n2,2,\n"), "line 3: expected 3 sizes"),
        (("2,2,1,2,\n2,2,1,", "2,2,1,2,\n2,999999999,1,"), "at most"),
        (("\n1.0,-0.5,", "\n1.0,"), "line 9: expected 2 numbers"),
        (("0.25,2.0,", "0.25,two,"), "line 10: expected a decimal number"),
        (("2.0,10.0,4.0", "2.0,0.0,4.0"), "ranges other than 0"),
        (("1.5,-1.0,\n0.5,\n", "1.5,-1.0,\n"), "end of the file"),
        (("-1.0,\n0.5,\n", "-1.0,\n0.5,\n7,\n"), "more lines"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, change, message):
    text = TEXT.replace(*change)
    assert text != TEXT
    path = tmp_path / "n.nnet"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_nnet(path)
