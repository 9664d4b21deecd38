"""Any image dataset that Hugging Face ``datasets`` opens, on disk or by its name on the hub.

On disk that is a folder of Parquet files, an ``imagefolder``, or what ``save_to_disk`` wrote; a Parquet file; by name
for instance ``uoft-cs/cifar10``, downloaded if it is not in the cache yet
(https://huggingface.co/docs/datasets/loading, https://huggingface.co/docs/datasets/image_dataset). ``datasets`` keeps a
copy of what it prepares in its cache (``HF_HOME``).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import SPLIT_NAMES, Entry, Listing, Reject, shorten
from selfcure.data.readers.tabular import LABEL_COLUMNS
from selfcure.data.readers.tree import MAX_FILE_BYTES, natural_key, relative_name
from selfcure.data.schema import CORE_COLUMNS
from selfcure.errors import SelfcureError, check_choice

IMAGE_COLUMNS = ("image", "img", "picture", "pixel_values")
INSTALL = "reading Hugging Face datasets needs their library: pip install datasets"


def read(
    source: Path,
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    class_names: str | Sequence[str] | None = None,
    config: str | None = None,
) -> Listing:
    """List the rows of a dataset; the id is the split and the number of the row (``train/0000012``).

    Args:
        image_column, label_column: where they cannot be told from the types or names of the columns.
        class_names: the classes in order (or as one string, with commas), where labels are bare numbers.
        config: which configuration of a dataset that has several.

    Raises:
        SelfcureError: ``datasets`` is not installed, or the dataset cannot be loaded, or a column is missing.
    """
    splits, cache = _load(source, config)
    features = next(iter(splits.values())).features
    image = _image_column(source, features, image_column)
    label = _label_column(source, features, label_column, image)
    columns = {
        name: _stored_as(name) for name, f in features.items() if name not in (image, label) and _flat(f)
    }
    values = {split: rows.select_columns([label])[:][label] for split, rows in splits.items()}
    given = [name.strip() for name in class_names.split(",")] if isinstance(class_names, str) else class_names
    names, index = _classes(source, features[label], values, given)
    entries: list[Entry] = []
    skipped: list[Skip] = []
    rows_of: dict[str, tuple[str, int]] = {}
    for split, labels in values.items():
        for row, value in enumerate(labels):
            name = f"{split}/{row:07d}"
            try:
                if split.lower() not in SPLIT_NAMES:
                    raise Reject(f"unknown split {shorten(split)!r}")
                entries.append(Entry(name, SPLIT_NAMES[split.lower()], name, index(value)))
                rows_of[name] = (split, row)
            except Reject as reason:
                skipped.append(Skip(name, str(reason)))
    images, others = _columns_apart(splits, image, list(columns))

    def read_bytes(entry: Entry) -> bytes:
        split, row = rows_of[entry.id]
        return _encoded(images[split][row][image], cache)

    def read_extra(entry: Entry) -> Mapping[str, Any]:
        split, row = rows_of[entry.id]
        return {columns[name]: value for name, value in others[split][row].items()} if columns else {}

    schema = features.arrow_schema
    chosen = {"image_column": image_column, "label_column": label_column, "config": config}
    return Listing(
        layout="huggingface",
        source=source,
        class_names=names,
        entries=entries,
        skipped=skipped,
        read_bytes=read_bytes,
        extra_fields=[pa.field(new, schema.field(name).type) for name, new in columns.items()],
        options={k: v for k, v in chosen.items() if v is not None}
        | ({"class_names": list(given)} if given else {}),
        read_extra=read_extra,
    )


def _load(source: Path, config: str | None) -> tuple[dict[str, Any], Path]:
    """Split → rows, and the folder below which images that are files have to be."""
    try:
        import datasets
    except ImportError as error:
        raise SelfcureError(INSTALL) from error
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        if not source.exists():
            loaded = datasets.load_dataset(source.as_posix(), config)
        elif source.is_file():
            loaded = datasets.load_dataset("parquet", data_files=str(source))
        elif (source / "dataset_dict.json").is_file() or (source / "state.json").is_file():
            loaded = datasets.load_from_disk(str(source))
        else:
            loaded = datasets.load_dataset(str(source.absolute()), config)
    # Whatever of the network, the files or the library fails here: it cannot be loaded.
    except Exception as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise SelfcureError(f"{source} cannot be loaded as a Hugging Face dataset: {why}") from error
    finally:
        if not bars:
            datasets.enable_progress_bars()
    splits = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    features = [rows.features for rows in splits.values()]
    if not splits or any(other != features[0] for other in features):
        raise SelfcureError(
            f"{source}: its splits ({', '.join(splits) or 'none'}) do not have the same columns"
        )
    root = source.absolute() if source.exists() else Path(datasets.config.HF_CACHE_HOME)
    return splits, root


def _image_column(source: Path, features: Mapping[str, Any], wanted: str | None) -> str:
    if wanted is not None:
        check_choice("column", wanted, features)
        return wanted
    fitting = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    fitting = fitting or [name for name in features if name.lower() in IMAGE_COLUMNS]
    return _only(source, "images", fitting, features, "image_column")


def _label_column(source: Path, features: Mapping[str, Any], wanted: str | None, image: str) -> str:
    if wanted is not None:
        check_choice("column", wanted, features)
        return wanted
    others = {name: feature for name, feature in features.items() if name != image}
    fitting = [name for name, feature in others.items() if type(feature).__name__ == "ClassLabel"]
    usual = [name for name in (fitting or others) if name.lower() in LABEL_COLUMNS]
    return _only(source, "labels", fitting if len(fitting) == 1 else usual, features, "label_column")


def _only(source: Path, what: str, fitting: list[str], features: Mapping[str, Any], option: str) -> str:
    if len(fitting) == 1:
        return fitting[0]
    found = f"several columns ({', '.join(fitting)})" if fitting else "no column"
    raise SelfcureError(
        f"{source} has {found} of {what}; its columns are {', '.join(features)}; choose one with {option}"
    )


def _flat(feature: Any) -> bool:
    """Numbers, words and lists of them are kept; pictures, boxes in boxes and the like are not."""
    inner = getattr(feature, "feature", feature)
    return type(inner).__name__ in ("Value", "ClassLabel")


def _stored_as(name: str) -> str:
    return f"source_{name}" if name in CORE_COLUMNS else name


def _classes(
    source: Path, feature: Any, values: Mapping[str, Sequence[Any]], given: Sequence[str] | None
) -> tuple[Sequence[str], Callable[[Any], int]]:
    """The names of the classes, and the function from a label in the data to its number."""
    numbered = getattr(feature, "names", None)
    present = {value for labels in values.values() for value in labels if not isinstance(value, list | dict)}
    present -= {None, ""}
    if numbered is None and present and all(type(value) is int for value in present):
        numbered = given or ()
        if not given:
            names = [str(number) for number in sorted(present)]
            positions = {number: k for k, number in enumerate(sorted(present))}
            return names, _lookup(positions)
    if numbered is not None:
        if given and len(given) != len(numbered):
            raise SelfcureError(
                f"class_names has {len(given)} names for the {len(numbered)} classes of {source}"
            )
        return tuple(given or numbered), _lookup({k: k for k in range(len(numbered))})
    if not present or not all(isinstance(value, str) for value in present):
        raise SelfcureError(
            f"{source}: the labels are neither words nor whole numbers; choose another label_column"
        )
    words = list(given) if given else sorted(present, key=natural_key)
    return words, _lookup({word: k for k, word in enumerate(words)})


def _lookup(positions: Mapping[Any, int]) -> Callable[[Any], int]:
    def index(value: Any) -> int:
        if value is None or value in ("", -1):  # -1 is how the hub writes that a label is kept secret
            raise Reject("label is blank")
        if value not in positions:
            raise Reject(f"label {shorten(str(value))!r} is not a class")
        return positions[value]

    return index


def _columns_apart(
    splits: Mapping[str, Any], image: str, others: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The images, not decoded, and the other columns, so that reading one does not touch the other."""
    import datasets

    encoded = datasets.Image(decode=False)
    try:
        images = {s: rows.select_columns([image]).cast_column(image, encoded) for s, rows in splits.items()}
    except (TypeError, ValueError, pa.ArrowInvalid, NotImplementedError) as error:
        raise SelfcureError(f"column {image!r} does not hold images: {shorten(str(error), 100)}") from error
    return images, {split: rows.select_columns(others) for split, rows in splits.items()}


def _encoded(record: Mapping[str, Any] | None, root: Path) -> bytes:
    if not record or (record["bytes"] is None and not record["path"]):
        raise Reject("image is missing")
    if record["bytes"] is not None:
        data: bytes = record["bytes"]
        return data
    name = relative_name(re.sub(r"^file://", "", record["path"]), root)
    if name is None:
        raise Reject("path leaves the source")
    path = root / name
    if not path.is_file():
        raise Reject("image is missing")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Reject("file too large")
    return path.read_bytes()
