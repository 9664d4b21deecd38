"""Several dataset folders as one, with their classes matched by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selfcure.data.folder import SPLITS, UNKNOWN, Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.data.rewrite import Change, changed, extra_fields, write_shards
from selfcure.data.schema import folder_schema
from selfcure.data.vocabulary import EXPRESSIONS, ClassIndex, canonical
from selfcure.errors import SelfcureError


def joined_classes(sets: Sequence[Sequence[str]]) -> list[str]:
    """The classes of a joined dataset.

    Sets with the same classes in the same order keep it. Else expressions come first, by their canonical names and in
    their order, then all other classes as they occur.

    >>> joined_classes([["sad", "happy"], ["sadness", "happiness"]])
    ['sadness', 'happiness']
    >>> joined_classes([["sad", "awe"], ["happy", "neutral", "Awe"]])
    ['neutral', 'happiness', 'sadness', 'awe']
    """
    if all(list(names) == list(sets[0]) for names in sets):
        return list(sets[0])
    common = [[canonical(name) or name for name in names] for names in sets]
    if all(names == common[0] for names in common):
        return common[0]
    present = {name for names in common for name in names}
    union = [name for name in EXPRESSIONS if name in present]
    for names in common:
        index = ClassIndex(union)
        union += [name for name in names if index(name) is None]
    return union


@dataclass(frozen=True)
class _Source:
    """One of the datasets, its name in the ids, and the number in the union of each of its classes."""

    dataset: Dataset
    name: str
    classes: np.ndarray
    columns: dict[str, str]
    """Extra column → its name in the union."""


def join(
    *dataset_folders: str | Path,
    out: str | Path,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Make one dataset folder of several: the twin of ``selfcure data join``.

    Each sample keeps its split, and its id gets its source's name and a slash before it (``rafdb/train_00001.jpg``).
    Classes are matched by name (see :func:`joined_classes`). All extra columns are there, null where a source has no
    such; one that is of several types is kept once for each source, as ``column_source``. The parents are recorded in
    ``dataset.json``. Interrupted, the same call finishes the work.

    Args:
        names: what the sources are called, by default the names of their folders.
        progress: called with (done, total) samples after every shard.

    Raises:
        SelfcureError: fewer than two folders, names that are not different, two classes of one folder that would
            become one, or ``out`` is in the way.
    """
    if len(dataset_folders) < 2:
        raise SelfcureError("join needs at least two dataset folders")
    datasets = [Dataset(folder) for folder in dataset_folders]
    chosen = list(names) if names is not None else [d.path.resolve().name for d in datasets]
    _check_names(chosen, len(datasets))
    class_names = joined_classes([dataset.class_names for dataset in datasets])
    extra, columns = _united_columns(datasets, chosen)
    united = folder_schema(class_names, extra)
    sources = [
        _Source(dataset, name, _class_numbers(dataset, class_names), renamed)
        for dataset, name, renamed in zip(datasets, chosen, columns, strict=True)
    ]
    splits = {(s.name, split): s.dataset.split(split) for s in sources for split in s.dataset.splits}
    parents = [
        {
            "name": s.name,
            "path": str(s.dataset.path),
            "fingerprint": {split: splits[s.name, split].fingerprint() for split in s.dataset.splits},
            "classes": {a: class_names[k] for a, k in zip(s.dataset.class_names, s.classes, strict=True)},
            **{
                k: s.dataset.manifest[k]
                for k in ("layout", "source", "options", "noise")
                if k in s.dataset.manifest
            },
        }
        for s in sources
    ]
    shards = {
        split: [
            shard
            for s in sources
            if split in s.dataset.splits
            for shard in changed(splits[s.name, split], _in_union(s, united))
        ]
        for split in SPLITS
        if any(split in s.dataset.splits for s in sources)
    }
    writer = FolderWriter(
        Path(out),
        class_names=class_names,
        plan={"join": parents},
        num_shards={split: len(groups) for split, groups in shards.items()},
        extra=extra,
    )
    write_shards(writer, shards, progress)
    manifest = {"layout": "join", "source": ", ".join(str(d.path) for d in datasets), "parents": parents}
    return writer.finish(manifest)


def _check_names(names: Sequence[str], num: int) -> None:
    if len(names) != num:
        raise SelfcureError(f"names has {len(names)} names for {num} dataset folders")
    if len(set(names)) < num:
        raise SelfcureError(
            f"the sources need different names, not {', '.join(names)}; choose them with names"
        )
    for name in names:
        if not name or "/" in name:
            raise SelfcureError(f"name {name!r} of a source is blank or has a slash in it")


def _class_numbers(dataset: Dataset, class_names: Sequence[str]) -> np.ndarray:
    """[K] each class's number in the union."""
    numbers = list(map(ClassIndex(class_names), dataset.class_names))
    first: dict[int | None, int] = {}
    for k, number in enumerate(numbers):
        if first.setdefault(number, k) != k:
            names = dataset.class_names[first[number]], dataset.class_names[k]
            raise SelfcureError(
                f"classes {names[0]!r} and {names[1]!r} of {dataset.path} mean the same expression"
            )
    return np.array(numbers, dtype=np.int64)


def _united_columns(
    datasets: Sequence[Dataset], names: Sequence[str]
) -> tuple[list[pa.Field], list[dict[str, str]]]:
    """The extra columns of all, and what each dataset's are called among them."""
    schemas = [extra_fields(dataset.split(next(iter(dataset.splits), SPLITS[0]))) for dataset in datasets]
    types: dict[str, set[pa.DataType]] = {}
    for fields in schemas:
        for field in fields:
            types.setdefault(field.name, set()).add(field.type)
    united: dict[str, pa.Field] = {}
    renamed = []
    for fields, name in zip(schemas, names, strict=True):
        own = {f.name: f.name if len(types[f.name]) == 1 else f"{f.name}_{name}" for f in fields}
        for field in fields:
            same = united.setdefault(own[field.name], pa.field(own[field.name], field.type))
            if same.type != field.type:
                raise SelfcureError(
                    f"column {same.name!r} is there in several types; choose other names for the sources"
                )
        renamed.append(own)
    return list(united.values()), renamed


def _in_union(source: _Source, schema: pa.Schema) -> Change:
    """Brings the rows of a source into the columns and classes of the union."""

    def change(table: pa.Table, _: slice) -> pa.Table:
        columns = {source.columns.get(name, name): table.column(name) for name in table.column_names}
        columns["id"] = pc.binary_join_element_wise(source.name, columns["id"], "/")
        for name in ("label", "true_label"):
            numbers = columns[name].fill_null(UNKNOWN).to_numpy().astype(np.int64)
            known = numbers != UNKNOWN
            mapped = source.classes[np.where(known, numbers, 0)]
            columns[name] = pa.array(mapped, mask=~known)
        return pa.table(
            [columns[f.name] if f.name in columns else pa.nulls(len(table), f.type) for f in schema],
            names=schema.names,
        )

    return change
