"""The encoded images of a split, read one by one from wherever they lie in its shards.

Parquet is read a row group at a time, a thousand images for the one that was asked for. But encoded images are stored as
they are (:class:`~selfcure.data.folder_writer.FolderWriter` compresses only other columns), so it is enough to know where each
begins. That is found once, by reading the shards through and looking for every image's bytes in its row group.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.errors import SelfcureError

_KEEP_BYTES = 1 << 30
"""Of shards larger than this together, the places are kept in the user's cache folder: finding them reads it all."""

_ELSEWHERE = -1


class EncodedImages:
    """Encoded images by row, 0 … N-1 in the order of the shards. Threads may share it; no file is held open.

    In memory stay 16 bytes an image, and all images of a shard that another program wrote compressed.

    Args:
        files: the shards of a split, in order.
        progress: called with (done, total) images while they are looked up.

    Raises:
        SelfcureError: a shard is missing or damaged.
    """

    def __init__(self, files: Sequence[Path], *, progress: Callable[[int, int], None] | None = None):
        self._files = list(files)
        try:
            sizes = [pq.read_metadata(file).num_rows for file in self._files]
            self._ends = np.cumsum(sizes)  # [S] first row after each shard
            kept_in = _kept_in(self._files)
            places = _load(kept_in, int(self._ends[-1])) if kept_in else None
            self._places = (
                self._find(progress) if places is None else places
            )  # [N, 2] int64 offset and length
            if kept_in and places is None:
                _keep(kept_in, self._places)
            self._held = {s: _images(file) for s, file in enumerate(self._files) if self._is_elsewhere(s)}
        except (OSError, pa.ArrowException) as error:
            raise SelfcureError(
                f"{self._files[0].parent}: images cannot be read: {error}; make the dataset again"
            ) from error

    def __len__(self) -> int:
        return len(self._places)

    def read(self, rows: Sequence[int]) -> list[bytes]:
        """The encoded images of ``rows``, in their order.

        Raises:
            SelfcureError: a shard is missing or was cut short.
        """
        shards = self._ends.searchsorted(rows, side="right")
        by_shard = shards.argsort(kind="stable").tolist()
        result = [b""] * len(rows)
        for shard, positions in groupby(by_shard, key=shards.tolist().__getitem__):
            if shard in self._held:
                first = self._first(shard)
                for position in positions:
                    result[position] = self._held[shard][rows[position] - first].as_py() or b""
                continue
            try:
                with open(self._files[shard], "rb", buffering=0) as file:
                    for position in positions:
                        place, length = self._places[rows[position]].tolist()
                        result[position] = os.pread(file.fileno(), length, place)
                        if len(result[position]) < length:
                            raise OSError("it was cut short")
            except OSError as error:
                raise SelfcureError(
                    f"{self._files[shard]} cannot be read: {error.strerror or error}; make the dataset again"
                ) from error
        return result

    def name(self, row: int) -> str:
        """What the source called an image; for messages, since it reads a row group."""
        shard = int(self._ends.searchsorted(row, side="right"))
        position = row - self._first(shard)
        parquet = pq.ParquetFile(self._files[shard])
        for group in range(parquet.num_row_groups):
            num_rows = parquet.metadata.row_group(group).num_rows
            if position < num_rows:
                image = parquet.read_row_group(group, columns=["image.path"]).column(0)[position]
                return str(image["path"].as_py())
            position -= num_rows
        raise IndexError(row)

    def _first(self, shard: int) -> int:
        return int(self._ends[shard - 1]) if shard else 0

    def _is_elsewhere(self, shard: int) -> bool:
        return bool((self._places[self._first(shard) : self._ends[shard], 0] == _ELSEWHERE).any())

    def _find(self, progress: Callable[[int, int], None] | None) -> np.ndarray:
        places = np.empty((int(self._ends[-1]), 2), np.int64)
        for shard, file in enumerate(self._files):
            places[self._first(shard) : self._ends[shard]] = _places(file)
            if progress:
                progress(int(self._ends[shard]), len(places))
        return places


def _places(file: Path) -> np.ndarray:
    """[n, 2] where each image of a shard begins and how long it is."""
    parquet = pq.ParquetFile(file)
    found: list[tuple[int, int]] = []
    with open(file, "rb", buffering=0) as raw:
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            columns = (group.column(k) for k in range(group.num_columns))
            column = next(c for c in columns if c.path_in_schema == "image.bytes")
            start = column.data_page_offset
            stored = os.pread(raw.fileno(), column.total_compressed_size, start)
            table = parquet.read_row_group(number, columns=["image.bytes"])
            found += _places_in(stored, start, table.column(0))
    return np.array(found, np.int64).reshape(-1, 2)


def _places_in(stored: bytes, start: int, images: pa.ChunkedArray) -> list[tuple[int, int]]:
    """Where the images of a row group lie in its ``stored`` bytes, which begin at ``start`` of the file.

    Each has its length before it and the next one after it, unless a new page begins in between.
    """
    found = []
    place = 0
    for chunk in images.chunks:
        for data in chunk.field("bytes").to_pylist():
            if data is None:
                found.append((0, 0))
                continue
            record = len(data).to_bytes(4, "little") + data
            if stored[place : place + len(record)] != record:
                place = stored.find(record, place)
                if place < 0:
                    return [(_ELSEWHERE, 0)] * len(images)
            found.append((start + place + 4, len(data)))
            place += len(record)
    return found


def _images(file: Path) -> pa.ChunkedArray:
    column = pq.ParquetFile(file).read(columns=["image.bytes"]).column(0)
    return pa.chunked_array([chunk.field("bytes") for chunk in column.chunks], pa.binary())


def _kept_in(files: Sequence[Path]) -> Path | None:
    """Where the places in these very files are kept; None for files small enough to look again."""
    states = [(str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    if sum(size for _, size, _ in states) < _KEEP_BYTES:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "selfcure" / f"images-{hashlib.sha256(repr(states).encode()).hexdigest()[:32]}.npy"


def _load(path: Path, num: int) -> np.ndarray | None:
    try:
        places: np.ndarray = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return places if places.shape == (num, 2) and places.dtype == np.int64 else None


def _keep(path: Path, places: np.ndarray) -> None:
    """Save them for the next time; where that is not possible they are found again then."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "wb") as file:
                np.save(file, places)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
