"""Files to model and back: ONNX, NNet, VNN-LIB, property and training TOML, CSV.

Conventions: decimals are read as exact rationals; every complaint names the file, the place and the remedy; files are
written under a temporary name and renamed, so that nothing half-written is ever left. This room imports `model` only.
"""

from verinet.io.files import read_bytes, write_atomically
from verinet.io.network_file import read_network, replay_of, tensor_shapes
from verinet.io.onnx_reader import OperatorReport, inspect_onnx, read_onnx
from verinet.io.onnx_reader import Outcome as OperatorOutcome
from verinet.io.onnx_replay import Replayer, replay
from verinet.io.onnx_writer import write_onnx
from verinet.io.property_file import read_property_file
from verinet.io.property_schema import property_schema
from verinet.io.property_writer import write_property_file
from verinet.io.table import Dataset, read_columns, read_csv
from verinet.io.training_file import FiltersSection, TrainingFile, read_training_file, training_schema
from verinet.io.vnnlib import VnnlibProperty, read_vnnlib
from verinet.io.vnnlib_assignment import format_declared_assignment, write_declared_assignment
from verinet.io.vnnlib_binding import BoundQuery, NamedPath, bind
from verinet.io.vnnlib_export import format_query
from verinet.io.vnnlib_query import VnnlibQuery
from verinet.io.vnnlib_writer import format_assignment, write_vnnlib

__all__ = [
    "BoundQuery",
    "Dataset",
    "FiltersSection",
    "NamedPath",
    "OperatorOutcome",
    "OperatorReport",
    "Replayer",
    "TrainingFile",
    "VnnlibProperty",
    "VnnlibQuery",
    "bind",
    "format_assignment",
    "format_declared_assignment",
    "format_query",
    "inspect_onnx",
    "property_schema",
    "read_bytes",
    "read_columns",
    "read_csv",
    "read_network",
    "read_onnx",
    "read_property_file",
    "read_training_file",
    "read_vnnlib",
    "replay",
    "replay_of",
    "tensor_shapes",
    "training_schema",
    "write_atomically",
    "write_declared_assignment",
    "write_onnx",
    "write_property_file",
    "write_vnnlib",
]
