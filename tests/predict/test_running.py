"""Files, folders and videos through the whole of it: what is written, counted, kept."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from predict.fakes import BrightSquares
from selfcure.data.readers.base import Reject
from selfcure.errors import SelfcureError
from selfcure.predict.predictor import Predictor
from selfcure.predict.running import Counts, read_items
from selfcure.predict.sources import find_items
from selfcure.predict.video import VideoWriter, count_frames, frame_rate, read_video
from selfcure.predict.writers import ResultsFolder

NUM_FRAMES = 45


@pytest.fixture(scope="module")
def predictor(exported):
    return Predictor(exported, detector=BrightSquares())


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A red square wanders to the right for 1.8 s; in the middle third there is a blue one below it."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    writer = VideoWriter(path, 25.0)
    for index in range(NUM_FRAMES):
        frame = np.full((96, 160, 3), 60, np.uint8)
        frame[10:40, 2 * index : 2 * index + 30] = (255, 60, 60)
        if 15 <= index < 30:
            frame[55:90, 100:135] = (60, 60, 255)
        writer.write(index / 25, frame)
    writer.close()
    return path


def photo(path, squares=1):
    pixels = np.full((60, 90, 3), 50, np.uint8)
    for channel in range(squares):
        pixels[10:40, 5 + 30 * channel : 30 + 30 * channel, channel] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def read(predictor, sources, out, **options):
    items, skipped = find_items(sources)
    counts = Counts(skipped=skipped)
    folder = ResultsFolder(out, predictor.info.class_names, rows=True, lines=True, annotated=True)
    try:
        read_items(predictor, items, [folder], counts=counts, **options)
    finally:
        folder.close(counts.skipped)
    return counts


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_all_kinds(predictor, tmp_path):
    place = tmp_path / "in"
    photo(place / "one.jpg")
    photo(place / "day" / "two.png", squares=2)
    photo(place / "day" / "none.png", squares=0)
    photo(place / ".hidden" / "x.png")
    (place / "cut.jpg").write_bytes((place / "one.jpg").read_bytes()[:300])
    (place / "zero.png").touch()
    (place / "text.txt").write_text("hello")
    (place / "fake.png").write_text("hello")
    (place / "fake.mp4").write_text("hello")
    counts = read(predictor, [place], tmp_path / "out")
    assert (counts.num_images, counts.num_faces, counts.num_without_face) == (3, 3, 1)
    assert sum(counts.expressions.values()) == 3
    assert {
        (row["path"].split("/")[-1], row["reason"]) for row in rows(tmp_path / "out" / "skipped.csv")
    } == {
        ("cut.jpg", "truncated image"),
        ("zero.png", "empty file"),
        ("text.txt", "not an image or video"),
        ("fake.png", "not an image"),
        ("fake.mp4", "not a readable video"),
    }
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    assert [(line["source"].split("/")[-1], len(line["faces"])) for line in lines] == [
        ("one.jpg", 1),
        ("none.png", 0),
        ("two.png", 2),
    ]
    table = rows(tmp_path / "out" / "predictions.csv")
    assert [(row["source"].split("/")[-1], row["face"]) for row in table] == [
        ("one.jpg", "0"),
        ("two.png", "0"),
        ("two.png", "1"),
    ]
    for row, line in zip(table[1:], lines[2]["faces"], strict=True):
        assert float(row["probability"]) == line["probability"] == max(line["probabilities"].values())
        assert float(row["importance"]) == line["importance"]
        assert [float(row[side]) for side in ("left", "top", "right", "bottom")] == line["box"]
    drawn = sorted(
        str(p.relative_to(tmp_path / "out" / "annotated")) for p in tmp_path.glob("out/annotated/**/*.*")
    )
    assert drawn == ["day/none.png", "day/two.png", "one.jpg"]


def test_a_video_is_followed_drawn_and_tabulated(predictor, film, tmp_path):
    seen = []
    counts = read(
        predictor, [film], tmp_path / "out", progress=lambda item, done, total: seen.append((done, total))
    )
    (video,) = counts.videos
    assert (video.num_frames, video.num_tracks, counts.num_faces) == (NUM_FRAMES, 2, NUM_FRAMES + 15)
    assert seen[-1] == (NUM_FRAMES, NUM_FRAMES)
    assert video.frames_per_sec > 0
    table = rows(tmp_path / "out" / "predictions.csv")
    assert [int(row["frame"]) for row in table if row["track"] == "1"] == list(range(NUM_FRAMES))
    assert [int(row["frame"]) for row in table if row["track"] == "2"] == list(range(15, 30))
    assert [float(row["time_sec"]) for row in table[:3]] == pytest.approx([0, 0.04, 0.08])
    # The probabilities are the smoothed ones of the faces alone.
    raw = [
        np.array(list(predictor(image).faces[0].probabilities.values()))
        for (_, image), _ in zip(read_video(film), range(5), strict=False)
    ]
    smooth, keep = raw[0], math.exp(-0.04 / 0.3)
    for frame in raw[1:]:
        smooth = keep * smooth + (1 - keep) * frame
    found = [float(value) for name, value in table[4].items() if name.startswith("p_")]
    np.testing.assert_allclose(found, smooth, atol=1e-4)  # batches and single images round differently
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == NUM_FRAMES
    first, second = rows(tmp_path / "out" / "tracks.csv")
    assert (first["track"], first["num_frames"], second["num_frames"]) == ("1", "45", "15")
    assert (float(second["first_sec"]), float(second["last_sec"])) == pytest.approx((0.6, 1.16))
    assert (tmp_path / "out" / "film-timeline.png").exists()
    drawn = list(read_video(tmp_path / "out" / "annotated" / "film.mp4"))
    assert len(drawn) == NUM_FRAMES
    assert [time for time, _ in drawn] == pytest.approx([i / 25 for i in range(NUM_FRAMES)], abs=1e-3)
    assert drawn[0][1].shape == (96 * 3, 160 * 3, 3)  # small ones are enlarged
    assert not list(tmp_path.rglob("*.partial"))


def test_stopped_in_the_middle_everything_read_is_there(predictor, film, tmp_path):
    asked = iter([False, True])
    counts = read(predictor, [film], tmp_path / "out", stop=lambda: next(asked))
    assert counts.stopped
    num = counts.videos[0].num_frames
    assert 0 < num < NUM_FRAMES
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == num
    assert len(list(read_video(tmp_path / "out" / "annotated" / "film.mp4"))) == num
    assert rows(tmp_path / "out" / "tracks.csv")[0]["num_frames"]


def test_an_error_in_the_middle_leaves_whole_files(predictor, film, tmp_path):
    def broken(item, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(predictor, [film], tmp_path / "out", progress=broken)
    num = len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines())
    assert num > 0
    assert len(list(read_video(tmp_path / "out" / "annotated" / "film.mp4"))) == num


def test_a_damaged_video_gives_what_is_whole(predictor, film, tmp_path):
    import av

    whole = tmp_path / "whole.ts"  # a container that can be cut
    with av.open(str(film)) as source, av.open(str(whole), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    data = whole.read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2])
    counts = read(predictor, [tmp_path / "cut.ts"], tmp_path / "out")
    assert 0 < counts.videos[0].num_frames < NUM_FRAMES


def test_videos_without_a_picture(predictor, tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    counts = read(predictor, [tmp_path / "sound.mp4"], tmp_path / "out")
    assert [skip.reason for skip in counts.skipped] == ["video without a video stream"]
    assert not counts.videos


def test_a_camera_that_is_not_there(predictor, tmp_path):
    counts = read(predictor, ["97"], tmp_path / "out")
    (skip,) = counts.skipped
    assert skip.path == "camera 97"
    assert skip.reason.startswith("no such camera (")


def test_frames_come_one_at_a_time(film, monkeypatch):
    """No more than a batch of frames is decoded ahead of what is read."""
    from selfcure.predict import running

    decoded = 0

    def counted(path):
        nonlocal decoded
        for frame in read_video(path):
            decoded += 1
            yield frame

    batches = running._batches(counted(film), live=False)
    assert len(next(batches)) == running._GROUP == decoded
    monkeypatch.setattr(running, "_GROUP_PIXELS", 96 * 160 * 2)
    assert len(next(batches)) == 3
    assert len(next(running._batches(counted(film), live=True))) == 1


def test_written_videos_keep_time_and_turns(film):
    assert count_frames(film) == NUM_FRAMES
    assert frame_rate(film) == 25
    with pytest.raises(Reject):
        list(read_video(film.parent / "film.txt") if (film.parent / "film.txt").write_text("x") else [])


def test_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "b/x.png", "b/y.jpg", "b/film.mp4", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    items, skipped = find_items(["a/x.png", "b", "b/x.png", "b/*.jpg", "odd", "3", "nowhere"])
    assert [(i.kind, str(i.path), i.name) for i in items] == [
        ("image", "a/x.png", "x.png"),
        ("video", "b/film.mp4", "film.mp4"),
        ("image", "b/x.png", "x-2.png"),
        ("image", "b/y.jpg", "y.jpg"),
        ("image", "odd", "odd"),
        ("camera", "3", "camera-3"),
    ]
    assert [(s.path, s.reason) for s in skipped] == [("nowhere", "does not exist")]
    (tmp_path / "texts").mkdir()
    for sources, message in (
        (["texts"], "folder texts is empty"),
        (["nowhere"], "nowhere does not exist"),
        (["*.gif"], r"\*.gif does not exist"),
        ([], "name something to look at"),
        (["nowhere", "texts"], "no image or video in nowhere, texts"),
    ):
        with pytest.raises(SelfcureError, match=message):
            find_items(sources)
    (tmp_path / "texts" / "a.txt").touch()
    with pytest.raises(SelfcureError, match=r"folder texts has no image or video in it \(1 other files\)"):
        find_items(["texts"])
