"""Reading and writing whole files: one clear sentence when a file is missing, and no half-written file ever."""

import gzip
import io
import os
import tempfile
import zlib
from pathlib import Path

from verinet.errors import FileFormatError, MissingFileError

__all__ = ["decompressed", "read_bytes", "write_atomically"]

MOST_BYTES = 1 << 30
"""A compressed file that grows beyond this is refused; the largest published ones have about 100 MB."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the contents of a file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bytes

    Raises
    ------
    MissingFileError
        If there is no such file, or it cannot be read.
    """
    place = Path(path)
    try:
        return place.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"the file {str(place)!r} does not exist; check its path") from None
    except IsADirectoryError:
        raise MissingFileError(f"expected a file, found the folder {str(place)!r}; name a file in it") from None
    except (OSError, ValueError) as error:
        raise MissingFileError(f"the file {str(place)!r} cannot be read ({_reason(error)}); check its path") from None


def decompressed(data: bytes, file: str) -> bytes:
    """Return the contents of a file, unpacked if it is compressed by gzip.

    Parameters
    ----------
    data : bytes
    file : str
        Its name.

    Raises
    ------
    FileFormatError
        If compressed data are damaged, or unpack to more than a gigabyte.
    """
    if not (file.endswith(".gz") or data.startswith(b"\x1f\x8b")):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{file}: expected a gzip file, found damaged data ({error}); fetch it again") from None
    if len(content) > MOST_BYTES:
        raise FileFormatError(
            f"{file}: expected at most {MOST_BYTES} bytes once decompressed, found more; split the file"
        )
    return content


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file so that a reader sees the old contents or the new ones, never a part.

    The content goes to a temporary name in the same folder, reaches the disk, and then takes the place of the file in
    one step; an interrupted program leaves the old file as it was.

    Parameters
    ----------
    path : path-like
    content : bytes or str
        Text is written as UTF-8, line ends as they are.

    Raises
    ------
    MissingFileError
        If the folder does not exist or cannot be written to.
    """
    place = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".tmp", dir=place.parent)
    except (OSError, ValueError) as error:
        raise _unwritable(place, error) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        # A temporary file is private to its owner; the result has the permissions any new file has.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, place)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise _unwritable(place, error) from None
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _unwritable(place: Path, error: Exception) -> MissingFileError:
    return MissingFileError(
        f"the file {str(place)!r} cannot be written ({_reason(error)}); check that its folder exists and may be "
        "written to"
    )
