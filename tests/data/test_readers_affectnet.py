"""AffectNet in its two layouts."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources import contents, jpeg, labels, png, reasons, write_files, zip_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.readers.affectnet import COLUMNS, read
from selfcure.errors import SelfcureError

POINTS = [10.0 + i for i in range(136)]
LANDMARKS = ";".join(map(str, POINTS))
LISTS, PHOTOS = "Manually_Annotated_file_lists", "Manually_Annotated_Images"


def row(name: str, expression: object, box: str = "10,20,30,40", landmarks: str = LANDMARKS) -> str:
    return f"{name},{box},{landmarks},{expression},0.785714,-0.055556\n"


def photo() -> bytes:
    """Red where the box (10, 20, 30 wide, 40 high) is, else blue."""
    image = Image.new("RGB", (100, 90), (0, 0, 255))
    image.paste((255, 0, 0), (10, 20, 40, 60))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    training = ",".join(COLUMNS) + "\n" + "".join(row(f"1/{e}.png", e) for e in range(11))
    files: dict[str, bytes | str] = {
        f"{LISTS}/training.csv": training,
        f"{LISTS}/validation.csv": row("2/a.png", 1) + row("2/b.png", 7),  # published without a header
    }
    files |= {f"{PHOTOS}/1/{e}.png": photo() for e in range(11)}
    files |= {f"{PHOTOS}/2/{name}.png": photo() for name in "ab"}
    return write_files(tmp_path / "AffectNet", files)


def npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value))
    return buffer.getvalue()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {}
    for number, (folder, expression) in enumerate([("train_set", 0), ("train_set", 6), ("val_set", 7)]):
        files[f"{folder}/images/{number}.jpg"] = jpeg(8, 8)
        stem = f"{folder}/annotations/{number}"
        files |= {
            f"{stem}_exp.npy": npy(str(expression)),
            f"{stem}_val.npy": npy("-0.25"),
            f"{stem}_aro.npy": npy("0.5"),
            f"{stem}_lnd.npy": npy(POINTS),
        }
    return write_files(tmp_path / "faces", files)


def pixels(dataset: Dataset, split: str = "train") -> np.ndarray:
    image = dataset.split(split).column("image")[0]["bytes"].as_py()
    return np.asarray(Image.open(io.BytesIO(image)))


def test_photographs(photographs: Path, tmp_path: Path) -> None:
    listing = read(photographs)
    assert labels(listing, "train") == [
        ("1/0.png", "neutral"),
        ("1/1.png", "happiness"),
        ("1/2.png", "sadness"),
        ("1/3.png", "surprise"),
        ("1/4.png", "fear"),
        ("1/5.png", "disgust"),
        ("1/6.png", "anger"),
        ("1/7.png", "contempt"),
    ]
    assert labels(listing, "validation") == [("2/a.png", "happiness"), ("2/b.png", "contempt")]
    assert reasons(listing) == {
        "expression 8: none": 1,
        "expression 9: uncertain": 1,
        "expression 10: no face": 1,
    }
    dataset = import_dataset("affectnet", photographs, out=tmp_path / "out")
    face = pixels(dataset)
    assert face.shape == (40, 30, 3)
    assert (face == [255, 0, 0]).all()
    first = {name: dataset.split("train").column(name)[0].as_py() for name in ("face_x", "face_height")}
    assert first == {"face_x": 10, "face_height": 40}
    assert dataset.split("train").column("valence")[0].as_py() == pytest.approx(0.785714)
    landmarks = dataset.split("train").column("facial_landmarks")[0].as_py()
    assert landmarks[:4] == [0.0, -9.0, 2.0, -7.0]  # x - 10, y - 20


def test_whole_photographs(photographs: Path, tmp_path: Path) -> None:
    dataset = import_dataset("affectnet", photographs, out=tmp_path / "out", crop=False)
    assert dataset.split("train").column("image")[0]["bytes"].as_py() == photo()
    assert dataset.split("train").column("facial_landmarks")[0].as_py() == POINTS


def test_seven_classes(photographs: Path) -> None:
    listing = read(photographs, num_classes=7)
    assert listing.class_names[-1] == "anger"
    assert reasons(listing)["contempt is not among the 7 classes"] == 2
    assert {e.label for e in listing.entries} == set(range(7))


@pytest.mark.parametrize("top", ["", "AffectNet/"])
def test_zip_and_other_folders(photographs: Path, tmp_path: Path, top: str) -> None:
    files = {
        name.replace(PHOTOS, f"Manually_Annotated/{PHOTOS}"): data
        for name, data in contents(photographs).items()
    }
    archive = zip_files(tmp_path / "a.zip", files, top)
    a = import_dataset("affectnet", photographs, out=tmp_path / "a")
    b = import_dataset("affectnet", archive, out=tmp_path / "b")
    assert a.split("train").fingerprint() == b.split("train").fingerprint()
    np.testing.assert_array_equal(pixels(a), pixels(b))


def test_broken_missing_and_extra_photographs_are_counted(photographs: Path, tmp_path: Path) -> None:
    (photographs / PHOTOS / "1" / "0.png").write_bytes(photo()[:60])
    (photographs / PHOTOS / "1" / "1.png").unlink()
    write_files(photographs / PHOTOS, {"3/x.png": photo(), "3/notes.txt": "x", ".DS_Store": "x"})
    with open(photographs / LISTS / "training.csv", "a") as file:
        file.write(row("3/far.png", 1, "100,20,5,5") + row("3/none.png", 1, "10,20,0,5"))
        file.write(row("3/text.png", 1, "NULL,20,5,5") + row("3/word.png", "happy"))
        file.write("3/short.png,1\n" + row("../../etc/x.png", 1) + row("1/2.png", 2))
        file.write(row("3/edge.png", 1, "-5,-5,10,10", "1;2"))
    files = {f"3/{name}.png": photo() for name in ("far", "none", "text", "word", "edge")}
    write_files(photographs / PHOTOS, files)
    dataset = import_dataset("affectnet", photographs, out=tmp_path / "out")
    assert dataset.manifest["skipped"] == {
        "face box is outside the image": 2,
        "expression 8: none": 1,
        "expression 9: uncertain": 1,
        "expression 10: no face": 1,
        "hidden file": 1,
        "image is missing": 1,
        "face box is not four whole numbers": 1,
        "expression 'happy' is not 0–10": 1,
        "row has not 9 fields": 1,
        "path leaves the source": 1,
        "image without a label": 1,
        "not an image": 1,
        "id occurs again": 1,
        "unreadable image (OSError)": 1,
    }
    train = dataset.split("train")
    assert dataset.splits == {"train": 7, "validation": 2}
    edge = train.ids.tolist().index("3/edge.png")
    assert Image.open(io.BytesIO(train.column("image")[edge]["bytes"].as_py())).size == (5, 5)
    assert train.column("facial_landmarks")[edge].as_py() is None


def test_a_jpeg_stays_one_and_is_turned_upright(photographs: Path, tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90°
    image.save(photographs / PHOTOS / "2" / "a.jpg", "jpeg", exif=exif)
    write_files(photographs, {f"{LISTS}/validation.csv": row("2/a.jpg", 1, "0,0,20,10")})
    dataset = import_dataset("affectnet", photographs, out=tmp_path / "out")
    face = Image.open(io.BytesIO(dataset.split("validation").column("image")[0]["bytes"].as_py()))
    assert (face.format, face.size, face.getexif().get(0x0112)) == ("JPEG", (10, 20), None)


def test_faces(faces: Path, tmp_path: Path) -> None:
    dataset = import_dataset("affectnet", faces, out=tmp_path / "out")
    assert dataset.splits == {"train": 2, "validation": 1}
    train = dataset.split("train")
    assert train.ids.tolist() == ["0.jpg", "1.jpg"]
    assert [dataset.class_names[k] for k in train.labels] == ["neutral", "anger"]
    assert train.column("image")[0]["bytes"].as_py() == jpeg(8, 8)
    assert train.column("valence").to_pylist() == [-0.25, -0.25]
    assert train.column("arousal").to_pylist() == [0.5, 0.5]
    assert train.column("facial_landmarks")[0].as_py() == POINTS
    assert dataset.manifest["skipped"] == {}


def test_broken_missing_and_extra_faces_are_counted(faces: Path, tmp_path: Path) -> None:
    annotations = "train_set/annotations"
    files: dict[str, bytes | str] = {f"train_set/images/{n}.jpg": jpeg(8, 8) for n in range(10, 20)}
    files |= {f"{annotations}/{n}_exp.npy": npy(n - 2) for n in (10, 11, 12)}  # 8, 9, 10 as numbers
    files[f"{annotations}/13_exp.npy"] = pickle.dumps("1")
    object_array = io.BytesIO()
    np.save(object_array, np.array([{"x": 1}], dtype=object), allow_pickle=True)
    files[f"{annotations}/14_exp.npy"] = object_array.getvalue()
    files[f"{annotations}/15_exp.npy"] = npy([1, 2])
    files[f"{annotations}/16_exp.npy"] = b""
    files[f"{annotations}/17_exp.npy"] = npy("11")
    files[f"{annotations}/18_exp.npy"] = npy(1)
    files[f"{annotations}/18_val.npy"] = b"broken"
    files[f"{annotations}/18_lnd.npy"] = npy([1.0, 2.0])
    files[f"{annotations}/77_exp.npy"] = npy(1)
    files[f"{annotations}/77_val.npy"] = npy(1)
    files[f"{annotations}/readme.txt"] = "x"
    files["train_set/images/list.txt"] = "x"
    files["train_set/images/0.jpg"] = jpeg(8, 8)[:50]
    write_files(faces, files)
    dataset = import_dataset("affectnet", faces, out=tmp_path / "out")
    assert dataset.splits == {"train": 2, "validation": 1}
    skipped = dataset.manifest["skipped"]
    unreadable = sum(n for reason, n in skipped.items() if reason.startswith("annotation cannot be read"))
    assert unreadable == 3
    assert {r: n for r, n in skipped.items() if not r.startswith("annotation cannot be read")} == {
        "expression 8: none": 1,
        "expression 9: uncertain": 1,
        "expression 10: no face": 1,
        "label is not one number": 1,
        "expression '11' is not 0–10": 1,
        "image without a label": 1,
        "annotation without an image": 1,
        "not an annotation": 1,
        "not an image": 1,
        "unreadable image (OSError)": 1,
    }
    train = dataset.split("train")
    assert train.ids.tolist() == ["1.jpg", "18.jpg"]
    assert train.column("valence").to_pylist() == [-0.25, None]
    assert train.column("facial_landmarks")[1].as_py() is None


def test_sets_in_folders_of_their_own(faces: Path, tmp_path: Path) -> None:
    files = {name.replace("val_set/", "val_set/val_set/"): data for name, data in contents(faces).items()}
    assert len(read(write_files(tmp_path / "kaggle", files)).entries) == 3


def test_errors(photographs: Path, faces: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match="num_classes of AffectNet is 7 or 8, not 6"):
        read(faces, num_classes=6)
    with pytest.raises(SelfcureError, match="has faces that are cut out already; leave crop out"):
        read(faces, crop=False)
    with pytest.raises(
        SelfcureError,
        match="is not AffectNet: it has no Manually_Annotated_file_lists or train_set/annotations or val_set/ann",
    ):
        read(write_files(tmp_path / "other", {"happy/1.png": png(0)}))
    with pytest.raises(SelfcureError, match=r"is not AffectNet: it has no Manually_Annotated_Images$"):
        read(write_files(tmp_path / "a", {f"{LISTS}/training.csv": row("1/0.png", 0)}))
    with pytest.raises(SelfcureError, match=r"has no training.csv or validation.csv"):
        read(write_files(tmp_path / "b", {f"{LISTS}/x.csv": "x"}))
    write_files(photographs, {f"{LISTS}/training.csv": '"' + "x" * 200_000})
    with pytest.raises(SelfcureError, match=r"training.csv in .* is not a CSV: field larger"):
        read(photographs)
    write_files(photographs, {f"{LISTS}/training.csv": "subDirectory_filePath,face_x,expression\n"})
    with pytest.raises(SelfcureError, match=r"training.csv has no column face_y, face_width"):
        read(photographs)
