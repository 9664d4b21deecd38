"""The columns of a dataset folder, described for Arrow and for Hugging Face ``datasets``."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

CORE_COLUMNS = ("image", "id", "label", "true_label")
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def folder_schema(class_names: Sequence[str], extra: Iterable[pa.Field] = ()) -> pa.Schema:
    """The Arrow schema of a shard, with the Hugging Face feature description in its metadata."""
    extra = list(extra)
    label = {"names": list(class_names), "_type": "ClassLabel"}
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "id": {"dtype": "string", "_type": "Value"},
        "label": label,
        "true_label": label,
    } | {field.name: _feature(field.type) for field in extra}
    core = [("image", _IMAGE), ("id", pa.string()), ("label", pa.int64()), ("true_label", pa.int64())]
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([*core, *extra], metadata=metadata)


def _feature(type_: pa.DataType) -> Any:
    """The Hugging Face description of an Arrow type."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "Sequence"}
    if pa.types.is_struct(type_):
        return {field.name: _feature(field.type) for field in type_}
    name = {"double": "float64", "float": "float32", "halffloat": "float16"}.get(str(type_), str(type_))
    return {"dtype": name.removesuffix("[day]"), "_type": "Value"}


def leaf_columns(field: pa.Field, prefix: str = "") -> list[str]:
    """Parquet's names of the columns that an Arrow field is stored as."""
    path = prefix + field.name
    if pa.types.is_struct(field.type):
        return [leaf for child in field.type for leaf in leaf_columns(child, f"{path}.")]
    if pa.types.is_nested(field.type):
        return leaf_columns(pa.field("element", field.type.value_type), f"{path}.list.")
    return [path]
