"""The pictures that a page shares with files of their own: drawn once."""

from collections.abc import Sequence
from dataclasses import dataclass

from verinet.audit.filters_picture import draw_filters
from verinet.audit.graph_picture import draw_network
from verinet.audit.progress_picture import draw_progress
from verinet.audit.stages import network_stages, too_large
from verinet.audit.trained import Trained, training_records
from verinet.audit.units_picture import draw_all_units
from verinet.model import Network
from verinet.numeric import FloatArray
from verinet.train import FilterParameters, TrainedOutputs

__all__ = ["Drawings", "draw_all"]


@dataclass(frozen=True)
class Drawings:
    """SVG documents about a network.

    Parameters
    ----------
    network : str
        Empty of a network that is too large to be read unit by unit.
    filters : tuple of str
        What trained filters look for; of other networks empty.
    units : tuple of str
        For each output of a network of one hidden layer of ReLUs what its units contribute; of other networks empty.
    progress : tuple of str
        How objective and bound closed, for each training.
    """

    network: str
    filters: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    progress: tuple[str, ...] = ()


def draw_all(
    network: Network,
    features: Sequence[str],
    outputs: Sequence[str],
    x: FloatArray | None = None,
    trained: "Trained | None" = None,
) -> Drawings:
    """Draw what there is to draw of a network.

    Parameters
    ----------
    network : Network
    features, outputs : sequence of str
        Names.
    x : ndarray, shape (rows, features), or None
        Data, over whose range contributions are drawn.
    trained : TrainedOutputs, LayeredResult or None
        What the network comes from.
    """
    filters: tuple[str, ...] = ()
    if isinstance(trained, TrainedOutputs) and isinstance(trained.parameters, FilterParameters):
        filters = (draw_filters(trained.parameters, outputs),)
    progress = () if trained is None else tuple(draw_progress(record) for record in training_records(trained))
    if too_large(network):
        return Drawings("", filters, (), progress)
    stages = network_stages(network, features, outputs)
    return Drawings(draw_network(stages), filters, () if x is None else draw_all_units(stages, x), progress)
