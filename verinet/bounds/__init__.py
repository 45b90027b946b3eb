"""Sound enclosures of every neuron over an input set.

Conventions: a bound is a float64 that holds for the exact real function of the stored parameters over the exact
domain; every function that returns one says how rounding is accounted for.
"""

from verinet.bounds.backward import NetworkBounds, bound_network, open_entries
from verinet.bounds.inputs import Ball, InputSet
from verinet.bounds.interval import Interval, interval_bounds
from verinet.bounds.relaxation import Line, Relaxation, relax
from verinet.bounds.rounding import FLOAT_FORMATS, FloatFormat, Rounded, rounding_bounds

__all__ = [
    "FLOAT_FORMATS",
    "Ball",
    "FloatFormat",
    "InputSet",
    "Interval",
    "Line",
    "NetworkBounds",
    "Relaxation",
    "Rounded",
    "bound_network",
    "interval_bounds",
    "open_entries",
    "relax",
    "rounding_bounds",
]
