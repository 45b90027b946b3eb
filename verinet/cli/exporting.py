"""``verinet export``: the questions of a property file as VNN-LIB 2 files."""

import re
from pathlib import Path

from verinet.cli.exits import Exit
from verinet.cli.output import result
from verinet.cli.questions import is_vnnlib, only_network, read_questions
from verinet.errors import InputError, MissingFileError
from verinet.io import NamedPath, VnnlibQuery, format_query, read_vnnlib, tensor_shapes, write_atomically

__all__ = ["export_file"]


def export_file(property_file: Path, networks: tuple[NamedPath, ...], only: str | None, out: Path) -> Exit:
    """Write one VNN-LIB 2 file for each property and print their names.

    Parameters
    ----------
    property_file : Path
    networks : tuple of NamedPath
    only : str or None
        The name of one property.
    out : Path
        Folder for the files.

    Raises
    ------
    InputError
        If something cannot be read, expressed or written.
    """
    if is_vnnlib(property_file) and isinstance(read_vnnlib(property_file), VnnlibQuery):
        raise InputError(f"{property_file} is VNN-LIB 2 already; nothing needs to be exported")
    network = only_network(networks)
    file = read_questions(property_file, networks, only)
    inputs, outputs = tensor_shapes(network)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingFileError(f"the folder {str(out)!r} cannot be made ({error.strerror}); choose another") from None
    for number, subject in enumerate(file.subjects, start=1):
        text = format_query(subject.reduction, inputs, outputs, f"{subject.name}\nof {property_file.name}")
        stem = re.sub(r"[^a-z0-9]+", "-", subject.name.removesuffix(".vnnlib").lower()).strip("-")[:60]
        path = out / f"{number:02d}-{stem or 'property'}.vnnlib"
        write_atomically(path, text)
        result(str(path))
    return Exit.DONE
