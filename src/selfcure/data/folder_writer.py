"""Writing a dataset folder: shard by shard, so that an interrupted run goes on, and complete or not there at all."""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfcure.data.folder import MANIFEST, ROW_GROUP, SKIPPED, Dataset
from selfcure.data.schema import folder_schema, leaf_columns
from selfcure.errors import SelfcureError

_PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class Skip:
    """One thing an import left out: its path (as the source names it) and why."""

    path: str
    reason: str


class FolderWriter:
    """Writes a dataset folder shard by shard; run again with the same ``plan`` it goes on where it stopped.

    Args:
        out: the folder to make. It must not exist, or be empty.
        class_names: label ``k`` means ``class_names[k]``.
        plan: what is being written, as plain JSON. A rerun must bring the same plan, classes, shards and columns.
        num_shards: shards of each split.
        extra: Arrow fields of the columns beyond the core ones.

    Raises:
        SelfcureError: ``out`` holds something else, or ``out.partial`` is the unfinished work of another plan.
    """

    def __init__(
        self,
        out: Path,
        *,
        class_names: Sequence[str],
        plan: Mapping[str, Any],
        num_shards: Mapping[str, int],
        extra: Iterable[pa.Field] = (),
    ):
        self.out = out = out if out.name.strip(".") else Path(os.path.abspath(out))  # "." has no name
        self.work = out.with_name(out.name + ".partial")
        self.class_names = tuple(class_names)
        self.num_shards = dict(num_shards)
        self.schema = folder_schema(class_names, extra)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise SelfcureError(f"{out} already exists; choose another --out or delete it")
        columns = [(field.name, str(field.type)) for field in self.schema]
        full_plan = {**plan, "class_names": class_names, "num_shards": self.num_shards, "columns": columns}
        try:
            self._start(json.dumps(full_plan, sort_keys=True))
        except OSError as error:
            raise _cannot_write(self.work, error) from error

    def _start(self, plan: str) -> None:
        """Make the work folder, or take up the one that an interrupted run with the same plan left."""
        plan_file = self.work / _PLAN
        if plan_file.is_file():
            if plan_file.read_text() != plan:
                raise SelfcureError(
                    f"{self.work} holds unfinished work with other settings or from a changed source; delete it to "
                    "start over, or repeat the earlier command to finish it"
                )
            return
        if (self.work / MANIFEST).is_file():
            # Killed between the last clean-up and the rename: with the plan gone nobody can say whose work it was.
            shutil.rmtree(self.work)
        elif self.work.exists() and any(f.name != _PLAN + ".tmp" for f in self.work.iterdir()):
            raise SelfcureError(
                f"{self.work} is in the way; it is not unfinished work of this program, so move it"
            )
        self.work.mkdir(parents=True, exist_ok=True)
        _write_atomically(plan_file, plan)

    def has(self, split: str, index: int) -> bool:
        """Whether an earlier run has finished this shard."""
        return self._shard(split, index).exists()

    def write(
        self, split: str, index: int, rows: pa.Table | Iterable[pa.Table], skipped: Sequence[Skip] = ()
    ) -> None:
        """Write one shard, and what was left out of it, so that both are there or neither counts.

        ``rows`` may come in parts, so that a shard of large images need not fit in memory; ``skipped`` is read when
        the last part is written.
        """
        target = self._shard(split, index)
        partial = target.with_suffix(".tmp")
        searchable = [leaf for field in self.schema if field.name != "image" for leaf in leaf_columns(field)]
        try:
            # Encoded images do not compress further; small row groups keep random reads cheap.
            with pq.ParquetWriter(
                partial,
                self.schema,
                compression=dict.fromkeys(searchable, "zstd") | {"image.path": "zstd"},
                use_dictionary=searchable,
                write_statistics=searchable,
            ) as file:
                for part in [rows] if isinstance(rows, pa.Table) else rows:
                    file.write_table(part.cast(self.schema), row_group_size=ROW_GROUP)
            sidecar = self.work / f"skipped-{split}-{index:05d}.json"
            _write_atomically(sidecar, json.dumps([(s.path, s.reason) for s in skipped]))
            os.replace(partial, target)
        except OSError as error:
            raise _cannot_write(target, error) from error

    def finish(self, manifest: Mapping[str, Any], skipped: Sequence[Skip] = ()) -> Dataset:
        """Write the manifest and ``skipped.csv``, move the folder into place, and open it.

        Raises:
            SelfcureError: not one usable image was found, or the disk does not take it.
        """
        try:
            # The manifest is the last thing written: where it is, only the clean-up was interrupted.
            if not (self.work / MANIFEST).is_file():
                self._write_manifest(manifest, skipped)
            for sidecar in self.work.glob("skipped-*.json"):
                sidecar.unlink()
            (self.work / _PLAN).unlink()
            os.replace(self.work, self.out)
        except OSError as error:
            raise _cannot_write(self.out, error) from error
        return Dataset(self.out)

    def _write_manifest(self, manifest: Mapping[str, Any], skipped: Sequence[Skip]) -> None:
        everything = list(skipped)
        for sidecar in sorted(self.work.glob("skipped-*.json")):
            everything += [Skip(path, reason) for path, reason in json.loads(sidecar.read_text())]
        counts = {
            split: sum(pq.read_metadata(self._shard(split, i)).num_rows for i in range(num))
            for split, num in self.num_shards.items()
        }
        reasons = Counter(skip.reason for skip in everything)
        if not sum(counts.values()):
            shutil.rmtree(self.work)
            listing = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common(5))
            more = f"; {len(reasons) - 5} further reasons" if len(reasons) > 5 else ""
            source = manifest.get("source", self.out)
            raise SelfcureError(f"no usable image in {source}: {listing or 'nothing was found'}{more}")
        with open(self.work / SKIPPED, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "reason"), *((s.path, s.reason) for s in everything)])
        document = {
            "format": 1,
            **manifest,
            "class_names": list(self.class_names),
            "splits": counts,
            "num_read": sum(counts.values()),
            "num_skipped": len(everything),
            "skipped": dict(reasons.most_common()),
        }
        _write_atomically(self.work / MANIFEST, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def _shard(self, split: str, index: int) -> Path:
        return self.work / f"{split}-{index:05d}-of-{self.num_shards[split]:05d}.parquet"


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".tmp")
    partial.write_text(text)
    os.replace(partial, path)


def _cannot_write(path: Path, error: OSError) -> SelfcureError:
    return SelfcureError(
        f"cannot write {path}: {error.strerror or error}; mend that and repeat the command, finished parts are kept"
    )
