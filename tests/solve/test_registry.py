import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from tests.conformance.programmes import linear
from verinet.errors import InputError, ModelTooLargeError, SolverUnavailableError, UnsupportedModelError
from verinet.program import Programme, SolveOptions, Status
from verinet.solve import Availability, Capability, GurobiBackend, Limits, backends, choose, get


def wide(variables: int) -> Programme:
    return linear([1.0] * variables, integer=True)


def tall(rows: int, two_sided: bool = False) -> Programme:
    return linear([1.0], np.ones((rows, 1)), lower=1.0, upper=2.0 if two_sided else np.inf)


@pytest.fixture
def restricted_gurobi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gurobi as it comes from pip, whatever licence or lack of one this machine has."""
    limited = Availability(True, "restricted", Limits(2000, 2000, 200))
    monkeypatch.setattr(GurobiBackend, "is_installed", classmethod(lambda cls: True))
    monkeypatch.setattr(GurobiBackend, "probe", lambda self: limited)


@pytest.fixture
def no_gurobi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gurobipy", None)


def test_names_are_unique_and_found() -> None:
    names = [backend.name for backend in backends()]
    assert names == ["gurobi", "highs", "scip", "cpsat", "z3"]
    assert [get(name).name for name in names] == names


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="gurobi, highs, scip, cpsat, z3 or auto, found 'cplex'"):
        get("cplex")
    with pytest.raises(InputError, match="cplex"):
        choose(wide(1), "cplex")


def test_capabilities() -> None:
    for backend in backends():
        assert {Capability.LINEAR, Capability.INTEGER} <= backend.capabilities
    assert Capability.EXACT in get("z3").capabilities
    assert Capability.SEMANTIC not in get("highs").capabilities


def test_looking_imports_nothing() -> None:
    script = (
        "import sys\n"
        "from verinet.solve import backends\n"
        "for backend in backends():\n"
        "    backend.is_installed(), backend.version()\n"
        "sys.exit(len({'gurobipy', 'highspy', 'pyscipopt', 'ortools', 'z3'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.usefixtures("restricted_gurobi")
def test_auto_prefers_gurobi_within_its_limits() -> None:
    for programme in (wide(2000), tall(2000), tall(1000, two_sided=True)):
        assert choose(programme).backend.name == "gurobi"


@pytest.mark.usefixtures("restricted_gurobi")
@pytest.mark.parametrize("programme", [wide(2001), tall(2001), tall(1001, two_sided=True)])
def test_auto_goes_to_highs_beyond_the_licence(programme: Programme) -> None:
    choice = choose(programme)
    assert choice.backend.name == "highs"
    assert "licence allows 2000" in choice.reason
    assert choice.reason.endswith("highs")
    assert choice.backend.solve(programme, SolveOptions(time_limit=20.0)).status is Status.OPTIMAL
    with pytest.raises(ModelTooLargeError, match=r"200[12] rows|2001 variables|solver highs"):
        choose(programme, "gurobi")
    with pytest.raises(ModelTooLargeError):
        get("gurobi").solve(programme, SolveOptions())


def test_the_real_licence_is_recognised_before_solving() -> None:
    gurobi = get("gurobi")
    availability = gurobi.probe()
    if not availability.usable:
        pytest.skip(availability.reason)
    if availability.limits == Limits():
        assert gurobi.solve(wide(2001), SolveOptions()).status is Status.OPTIMAL
        return
    with pytest.raises(ModelTooLargeError, match="2001 variables"):
        gurobi.check(wide(2001))
    assert gurobi.solve(wide(2000), SolveOptions()).status is Status.OPTIMAL


def test_a_limit_that_only_the_library_knows_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    gurobi = GurobiBackend()
    if not gurobi.probe().usable or gurobi.probe().limits == Limits():
        pytest.skip("needs a restricted licence")
    monkeypatch.setattr(GurobiBackend, "probe", lambda self: Availability(True))
    with pytest.raises(ModelTooLargeError, match="install a larger"):
        gurobi.solve(wide(2001), SolveOptions())


@pytest.mark.usefixtures("no_gurobi")
def test_everything_works_without_gurobi() -> None:
    assert importlib.util.find_spec("gurobipy") is None
    gurobi = get("gurobi")
    assert not gurobi.is_installed()
    assert gurobi.version() == ""
    assert gurobi.probe() == Availability(False, "gurobipy is not installed")
    choice = choose(wide(3))
    assert choice.backend.name == "highs"
    assert "not installed" in choice.reason
    assert choice.backend.solve(wide(3), SolveOptions()).status is Status.OPTIMAL
    with pytest.raises(SolverUnavailableError, match="pip install gurobipy"):
        gurobi.solve(wide(3), SolveOptions())
    with pytest.raises(SolverUnavailableError, match="not installed"):
        choose(wide(3), "gurobi")


def test_a_missing_licence_is_unavailable() -> None:
    if not get("gurobi").is_installed():
        pytest.skip("gurobipy is not installed")
    script = (
        "import os\n"
        "os.environ['GRB_LICENSE_FILE'] = '/nowhere/gurobi.lic'\n"
        "from tests.conformance.programmes import linear\n"
        "from verinet.errors import SolverUnavailableError\n"
        "from verinet.program import SolveOptions\n"
        "from verinet.solve import choose, get\n"
        "assert not get('gurobi').probe().usable\n"
        "assert choose(linear([1.0])).backend.name == 'highs'\n"
        "try:\n"
        "    get('gurobi').solve(linear([1.0]), SolveOptions())\n"
        "except SolverUnavailableError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "licence" in run.stdout


def test_no_candidate_left_raises_the_reason() -> None:
    programme = linear([1, 1], [[1e10, 1.0]], lower=[1.0])
    with pytest.raises(UnsupportedModelError, match="ratio 1e\\+10"):
        choose(programme)
    assert choose(programme, "z3").backend.name == "z3"
