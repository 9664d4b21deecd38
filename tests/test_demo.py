"""The demo on a few faces: what it leaves, that it is taken up, and what it refuses."""

import json

import matplotlib.image
import numpy as np
import pytest

from selfcure import demo as demo_module
from selfcure.data.folder import Dataset
from selfcure.demo import DATA, METHODS, SCHEDULE, draw_pictures, run_demo
from selfcure.errors import SelfcureError
from selfcure.labels import label_table
from selfcure.runs import RunFolder
from selfcure.training.api import train
from selfcure.training.interrupt import Interrupted
from selfcure.training.reporter import Reporter

FEW = {**DATA, "num": 40, "num_validation": 16, "size_px": 24}
SHORT = {**SCHEDULE, "image_size_px": 24, "num_epochs": 2, "num_threads": 1}
PICTURES = ("importance.png", "trust.png", "relabelled.png", "judged.png")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, run_demo(out, data=FEW, schedule=SHORT)


def test_result_says_how_all_did_and_is_json(demo):
    out, result = demo
    assert json.loads((out / "result.json").read_text()) == json.loads(json.dumps(result))
    assert tuple(result["methods"]) == METHODS == ("plain", "scn", "cure")
    for method, row in result["methods"].items():
        last = RunFolder(out / method).metrics()[-1]
        assert row["validation"]["num_samples"] == 16
        assert row["validation"]["accuracy"] == last["validation"]["accuracy"]
        assert row["cure"] == last["cure"]
        assert {"mean_given_prob", "last_given_prob"} <= row["detection"].keys()
    assert result["methods"]["plain"]["cure"]["num_changed"] == 0
    assert "importance" in result["methods"]["scn"]["detection"]


def test_all_methods_saw_the_same_data_and_schedule(demo):
    out, _ = demo
    plain, *others = (RunFolder(out / method).document for method in METHODS)
    for other in others:
        assert plain["dataset"] == other["dataset"]
        shared = plain["config"].keys() & other["config"].keys() - {"method"}
        assert all(plain["config"][name] == other["config"][name] for name in shared)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_show_something(demo, name):
    out, result = demo
    assert str(out / name) in result["pictures"]
    pixels = matplotlib.image.imread(out / name)
    assert pixels.shape[0] > 100
    assert pixels.shape[1] > 500
    assert (pixels[..., :3] == 1).all(-1).mean() < 0.99, "an empty sheet"
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


def test_a_second_call_reuses_what_is_there(demo):
    out, result = demo
    kept = [f for f in out.rglob("*") if f.is_file() and f.suffix in (".parquet", ".safetensors", ".jsonl")]
    before = {file: file.stat().st_mtime_ns for file in kept}
    again = run_demo(out, data=FEW, schedule=SHORT)
    assert again == result
    assert {file: file.stat().st_mtime_ns for file in kept} == before


def test_an_interrupted_demo_is_finished_with_the_same_result(demo, tmp_path):
    class Stop(Reporter):
        def step(self, epoch, samples_done, means):
            raise Interrupted("enough")

    _, result = demo
    reporters = {"plain": Reporter(), "scn": Stop()}
    with pytest.raises(Interrupted):
        run_demo(tmp_path / "demo", data=FEW, schedule=SHORT, reporter=reporters.get)
    again = run_demo(tmp_path / "demo", data=FEW, schedule=SHORT)
    assert again["methods"] == result["methods"]


def test_reporters_hear_of_drawing_and_of_each_method(tmp_path):
    drawn, asked = [], []

    def reporter(method):
        asked.append(method)
        return Reporter()

    run_demo(tmp_path / "d", data=FEW, schedule=SHORT, reporter=reporter, drawing=lambda *n: drawn.append(n))
    assert asked == ["plain", "scn", "cure"]
    assert drawn[-1] == (56, 56)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_foreign_folder_is_refused_and_left_alone(tmp_path, kind):
    out = tmp_path / "mine"
    mine = out
    if kind == "folder":
        out.mkdir()
        mine = out / "notes.txt"
    mine.write_text("precious")
    with pytest.raises(SelfcureError, match="mine exists and is no demo's folder; choose another --out"):
        run_demo(out, data=FEW, schedule=SHORT)
    assert mine.read_text() == "precious"
    assert sorted(f.name for f in tmp_path.rglob("*")) == (
        ["mine", "notes.txt"] if kind == "folder" else ["mine"]
    )


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "demo").mkdir()
    result = run_demo(tmp_path / "demo", data=FEW, schedule=SHORT)
    assert result["methods"].keys() == {"plain", "scn", "cure"}


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_relabelled_sheet_counts_what_the_cure_counts(demo, tmp_path, monkeypatch):
    out, _ = demo
    run = train(
        out / "data", out=tmp_path / "run", method="scn", **SHORT, relabel_epoch=1, relabel_margin=0.0
    )
    split = Dataset(out / "data").split("train")
    cure = run.metrics()[-1]["cure"]
    assert cure["num_changed"] > 8, "too few changes: the test would prove too little"
    figures = {}
    monkeypatch.setattr(
        demo_module, "save", lambda figure, path: figures.setdefault(path.name, figure) and path
    )
    assert [path.name for path in draw_pictures(run, split, tmp_path)] == list(PICTURES[:3])
    heading = texts(figures["relabelled.png"])[1]
    other = cure["num_changed"] - cure["num_repaired"] - cure["num_broken"]
    assert f"{cure['num_changed']} of 40 labels changed: {cure['num_repaired']} repaired" in heading
    assert f"{cure['num_broken']} broken, {other} from one wrong label to another" in heading
    importance = np.sort(label_table(run)["importance"].to_numpy())
    shown = [t for t in texts(figures["trust.png"]) if t.startswith("α")]
    expected = [*importance[:16], *importance[::-1][:16]]
    assert shown == [f"α {value:.3f}" for value in expected]


def test_pictures_without_a_relabelled_face_say_so(demo, tmp_path, monkeypatch):
    out, _ = demo
    run = train(out / "data", out=tmp_path / "run", method="scn", **{**SHORT, "num_epochs": 1}, relabel=False)
    figures = {}
    monkeypatch.setattr(
        demo_module, "save", lambda figure, path: figures.setdefault(path.name, figure) and path
    )
    draw_pictures(run, Dataset(out / "data").split("train"), tmp_path)
    assert "none" in texts(figures["relabelled.png"])
    assert "0 of 40 labels changed" in texts(figures["relabelled.png"])[1]
