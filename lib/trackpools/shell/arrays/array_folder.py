"""Store arrays in a folder so that processes can map them into memory and share their pages.

A folder holds one `.npy` file for each array, and `manifest.json` with the size and the SHA-256 of each file.
Files of a folder never change after `write_folder` has returned.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.errors import ContractError, InputError
from trackpools.shell.resilience.atomic_file import atomic_file

MANIFEST = "manifest.json"
READ_BYTES = 2**20

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ArrayFile:
    """One file of a folder.

    Attributes:
        bytes: the size of the file.
        sha256: the SHA-256 of the file, in hexadecimal digits.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ArraysManifest:
    """The contents of a folder of arrays.

    Attributes:
        labels: texts that belong to the arrays, for example the names of markets, in the order of the arrays.
        files: name of the array → its file.
    """

    labels: tuple[str, ...]
    files: Mapping[str, ArrayFile]


def write_folder(folder: Path, arrays: Arrays, labels: tuple[str, ...] = ()) -> None:
    """Write arrays into a folder. The manifest is written last, so a folder with one is complete.

    Args:
        folder: the path of the folder; it and its parent are created if they do not exist.
        arrays: name → array of numbers. Names must be usable as names of files.
        labels: see `ArraysManifest`.

    Raises:
        InputError: if the disk is full or cannot be written; the incomplete folder is deleted.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: _write(folder / f"{name}.npy", array) for name, array in arrays.items()}
        told = {"labels": labels, "files": {name: asdict(file) for name, file in files.items()}}
        with atomic_file(folder / MANIFEST) as draft:
            draft.write_text(json.dumps(told, indent=1), encoding="utf-8")
    except OSError as error:
        if not is_complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise InputError(
            f"the arrays cannot be written to {folder}: {error}. Free space or mend the permissions, and run again"
        ) from error


def _write(path: Path, array: NDArray[Any]) -> ArrayFile:
    whole = np.ascontiguousarray(array)
    with atomic_file(path) as draft:
        with draft.open("xb") as file:
            # `np.save` would hide why a write failed, for example that the disk is full
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
            file.write(whole.reshape(-1).view(np.uint8).data)
        return ArrayFile(draft.stat().st_size, file_hash(draft))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(folder: Path) -> bool:
    """Return whether the folder has its manifest, which `write_folder` writes last."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> ArraysManifest:
    """Read the manifest of a folder.

    Raises:
        ContractError: if it is missing or cannot be parsed.
    """
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): ArrayFile(**file) for name, file in told["files"].items()}
        return ArraysManifest(tuple(told["labels"]), files)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ContractError(
            f"the arrays in {folder} have no readable {MANIFEST} ({error}). Delete the folder; the next run builds it again"
        ) from error


def damaged_files(folder: Path) -> list[str]:
    """Return one sentence for each file that is not as it was written. This reads all files.

    Raises:
        ContractError: if the manifest cannot be read.
    """
    found = []
    for name, file in read_manifest(folder).files.items():
        path = folder / f"{name}.npy"
        if not path.is_file():
            found.append(f"{path.name} is missing")
        elif path.stat().st_size != file.bytes:
            found.append(f"{path.name} has {path.stat().st_size} bytes instead of {file.bytes}")
        elif file_hash(path) != file.sha256:
            found.append(f"{path.name} has other bytes than were written")
    return found


def map_folder(folder: Path) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Map the arrays of a folder into memory; a page is read from disk when it is first used.

    The arrays are mapped copy-on-write. So they count as writable, and numba compiles no second version of a
    kernel for read-only arrays. Nobody writes to them, so all processes of a machine share their pages.

    Returns:
        (name → array; the labels of the manifest).

    Raises:
        ContractError: if a file is missing, has another size than the manifest says, or is not an array.
    """
    manifest, arrays = read_manifest(folder), {}
    for name, file in manifest.files.items():
        path = folder / f"{name}.npy"
        try:
            if path.stat().st_size != file.bytes:
                raise ValueError(f"it has {path.stat().st_size} bytes instead of {file.bytes}")
            arrays[name] = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise ContractError(
                f"the array {path} cannot be used: {error}. Delete the folder {folder}; the next run builds it again"
            ) from error
    return arrays, manifest.labels
