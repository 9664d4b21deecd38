"""Tables of very many classes stay short."""

import json

import numpy as np
import pyarrow as pa
import pytest

from selfcure import metrics
from selfcure.cli import app
from selfcure.cli.output import console
from selfcure.cli.tables import classes
from selfcure.data.folder_writer import FolderWriter


def printed(table) -> str:
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_the_most_confused_of_many_classes():
    labels = np.arange(1000)
    probs = np.full((1000, 1000), 1e-6)
    probs[labels, np.where(labels < 3, 7, labels)] = 0.9
    measured = metrics.classification(labels, probs)
    names = [f"person {k}" for k in range(1000)]
    text = printed(classes(names, measured, label="given", width=80))
    assert [line.split() for line in text.splitlines()[1:]] == [
        ["person", str(k), "person", "7", "1"] for k in range(3)
    ]


def test_few_classes_have_their_matrix():
    measured = metrics.classification(np.array([0, 1]), np.eye(2))
    text = printed(classes(["a", "b"], measured, label="given", width=80))
    assert "given ↓" in text


@pytest.fixture
def many(tmp_path):
    """200 classes, class k with 300 − k images."""
    names = [f"person {k}" for k in range(200)]
    labels = np.repeat(np.arange(200), 300 - np.arange(200))
    writer = FolderWriter(tmp_path / "many", class_names=names, plan={}, num_shards={"train": 1})
    pixel = b"P5 1 1 255 x"
    ids = [str(k) for k in range(len(labels))]
    images = [{"bytes": pixel, "path": name} for name in ids]
    columns = {"image": images, "id": ids, "label": labels, "true_label": labels}
    writer.write("train", 0, pa.table(columns))
    writer.finish({"layout": "made", "source": "here"})
    return tmp_path / "many"


def test_info_shows_the_largest_and_smallest_classes(many, capsys):
    app(["data", "info", str(many)], result_action="return_value")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:4]] == [["person", "0", "300"], ["person", "1", "299"]]
    assert "… 180 more" in lines[12]
    assert lines[22].split() == ["person", "199", "101"]
    assert len(lines) < 30
    app(["data", "info", str(many), "--json"], result_action="return_value")
    assert len(json.loads(capsys.readouterr().out)["splits"]["train"]["given"]) == 200
