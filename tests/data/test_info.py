"""``describe``: the facts of a dataset folder as plain JSON."""

import json
from pathlib import Path

from sources import png, write_files

from selfcure.data.importing import import_dataset
from selfcure.data.info import describe
from selfcure.data.noise import add_noise


def test_facts_of_an_import(ferplus: Path, tmp_path: Path) -> None:
    (ferplus / "FER2013Train" / "fer0000001.png").write_bytes(png(0, 60))
    facts = describe(import_dataset("ferplus", ferplus, out=tmp_path / "d"))
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["layout"], facts["options"], facts["parent"]) == (
        "ferplus",
        {"convention": "majority"},
        None,
    )
    assert facts["columns"][0] == "votes_neutral"
    assert (facts["num_samples"], facts["num_skipped"]) == (7, 3)
    train = facts["splits"]["train"]
    assert train["given"] == {
        **dict.fromkeys(facts["class_names"], 0),
        **dict.fromkeys(("neutral", "happiness", "anger", "surprise"), 1),
    }
    assert (train["num_samples"], train["num_true"], train["true"], train["noise_rate"]) == (4, 0, None, None)
    assert train["image_size_px"] == {"width": [48, 60], "height": [48, 60], "num_sampled": 4}
    assert train["num_bytes"] == sum(f.stat().st_size for f in (tmp_path / "d").glob("train-*"))


def test_facts_of_a_noisy_folder(classes, tmp_path: Path) -> None:
    parent = import_dataset("folder", classes(10), out=tmp_path / "d")
    facts = describe(add_noise(parent.path, out=tmp_path / "n", rate=0.3))
    train = facts["splits"]["train"]
    assert train["noise_rate"] == 0.3
    assert train["true"] == {"anger": 10, "fear": 10, "happiness": 10}
    assert sum(train["given"].values()) == train["num_true"] == 30
    assert facts["parent"]["path"] == str(parent.path)
    assert facts["noise"]["results"]["train"]["num_changed"] == 9


def test_sizes_are_sampled_over_row_groups_with_gaps(tmp_path: Path) -> None:
    """A shard that noise has emptied has no images to look at."""
    source = write_files(tmp_path / "s", {f"{c}/{i}.png": png(i, 4 + i) for c in "ab" for i in range(3)})
    parent = import_dataset("folder", source, out=tmp_path / "d")
    (tmp_path / "l.csv").write_text("id,label\na/2.png,b\n")
    facts = describe(add_noise(parent.path, out=tmp_path / "n", kind="annotator", labels=tmp_path / "l.csv"))
    assert facts["splits"]["train"]["image_size_px"] == {"width": [6, 6], "height": [6, 6], "num_sampled": 1}
