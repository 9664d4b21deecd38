"""Every mistake: exit code 2, one line on stderr that says what is wrong, nothing on stdout."""

import errno
import re
import shlex
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcure.cli import run
from selfcure.cli.mistakes import explain
from selfcure.training import checkpoint

TRAIN = "train data --out new"

MISTAKES = {
    # commands, options and values with a slip in them
    "traim": "unknown command .traim.. Did you mean .train.",
    "data imprt folder x --out y": "Did you mean .import.*see 'selfcure data --help'",
    "--verison": "unknown .*--verison",
    f"{TRAIN} --epoch 3": "unknown option: --epoch. Did you mean --epochs.*see 'selfcure train --help'",
    f"{TRAIN} --method snc": "unknown method 'snc'; did you mean 'scn'",
    f"{TRAIN} --recipe papr": "unknown recipe 'papr'; did you mean 'paper'",
    f"{TRAIN} --backbone resnet19": "unknown backbone 'resnet19'; did you mean",
    f"{TRAIN} --set learing_rate=1": "unknown field 'learing_rate'; did you mean 'learning_rate'",
    f"{TRAIN} --set learning_rate": "--set takes field=value, not 'learning_rate'",
    f"{TRAIN} --set =1": "--set takes field=value, not '=1'",
    f"{TRAIN} --set learning_rate=x": "learning_rate takes a number, not 'x'",
    f"{TRAIN} --set num_epochs=2 --epochs 3": "num_epochs is set twice, to 3 and to 2",
    f"{TRAIN} --epochs x": 'invalid value for --epochs.*"x"',
    f"{TRAIN} --epochs 0": "num_epochs must be at least 1, not 0",
    f"{TRAIN} --set learning_rate=inf": "learning_rate must be at least 0, not inf",
    f"{TRAIN} --set micro_batch_size=1": "micro_batch_size must be 0 or at least 2, not 1",
    f"{TRAIN} --set num_threads=99999": "num_threads must be at most",
    f"{TRAIN} --set lr_milestones=-3": "lr_milestones must be epochs from 1 on",
    f"{TRAIN} --device gpu": "device must be auto, cpu or cuda, not 'gpu'",
    f"{TRAIN} --weights nowhere.pth": "nowhere.pth",
    "train": "DATA is missing",
    "train data": "--out is missing; see 'selfcure train --help'",
    "train data --out": "--out needs a value",
    "train data more and --out new": "too many: more and",
    # datasets
    "train nowhere --out new": "dataset folder nowhere does not exist",
    "train empty --out new": "dataset folder empty is empty",
    "train something --out new": "something is not a dataset folder",
    "train text.txt --out new": "text.txt is a file, not a dataset folder",
    "data info run": "run is not a dataset folder",
    "data info .": ". is not a dataset folder",
    "data info ''": ". is not a dataset folder",
    "data info /": "/ is not a dataset folder",
    "data info": "DATA is missing",
    # run folders
    "train data --out run": "run already exists; go on with --resume, or choose another --out",
    "train data --out text.txt": "text.txt already exists; choose another --out",
    "train data --out something": "something already exists; choose another --out",
    "train data --out text.txt/run": "text.txt",
    "train data --out nowhere --resume": "run folder nowhere does not exist",
    "train data --out something --resume": "something is not a run folder",
    "train 'other classes' --out run --resume": "was begun on the classes stripe 0, .*; other classes has",
    "train data --out run --resume --epochs 9": "other settings .num_epochs: 2 there, 9 here",
    "evaluate run": "DATA is missing",
    "evaluate something data": "something is not a run folder",
    "evaluate data data": "data is not a run folder",
    "evaluate run run": "run is not a dataset folder",
    "evaluate unfinished data": "unfinished is not finished: 2 of 2 epochs; go on with 'selfcure train",
    "evaluate run 'other classes'": "trained on the classes stripe 0, .*; other classes has stripe 0, .*stripe 4",
    "evaluate run 'no validation'": "no samples in split 'validation'; it has: train",
    "evaluate run data --split test": "no samples in split 'test'; it has: train, validation",
    "evaluate run data --split valdation": "unknown split 'valdation'; did you mean 'validation'",
    "evaluate run data --split test --json": "no samples in split 'test'",
    "labels export run": "--out is missing",
    "labels export run --out l.txt": "--out must end in .parquet or .csv, not 'l.txt'",
    "labels export data --out l.csv": "data is not a run folder",
    "labels export run --out text.txt/l.csv": "text.txt",
    # imports
    "data import foldr something --out new": "unknown layout 'foldr'; did you mean 'folder'",
    "data import folder nowhere --out new": "source nowhere does not exist",
    "data import folder empty --out new": "source folder empty is empty",
    "data import folder something --out new": "something is not a tree of class folders",
    "data import folder classes --out new": "classes is not a tree of class folders",
    "data import folder text.txt --out new": "text.txt is neither a folder nor a readable zip",
    "data import folder something --out something/new": "something/new is inside the source",
    "data import folder something --out new --convention majority": "'folder' has no options, so not 'convention'",
    "data import ferplus something --out new": "something is not FERPlus",
    "data import ferplus something --out new --convention majorty": "did you mean 'majority'",
    "data import ferplus something --out new --id-column id": "unknown option of layout 'ferplus': 'id_column'",
    "data import ferplus something --out new --given-column label": "give that too",
    "data import fer2013 numbers.csv --out new": "not FER2013: .* missing: pixels",
    "data import table empty.csv --out new": "empty.csv is empty",
    "data import table numbers.csv --out new": "numbers.csv has no column path .* emotion, foo",
    "data import table missing.csv --out new": "no usable image in missing.csv: 1 × file is missing",
    "data import table missing.csv --out new --id-column nam": "unknown column 'nam'",
    # other datasets from datasets
    "data noise data --out new": "symmetric noise needs a rate",
    "data noise data --out new --rate 1.5": "rate must be at least 0 and below 1, not 1.5",
    "data noise data --out new --kind symetric --rate .1": "did you mean 'symmetric'",
    "data noise data --out new --kind annotator": "annotator noise needs labels",
    "data noise data --out new --kind annotator --labels nam": "'nam' is neither a column of data",
    "data noise data --out run --rate 0.1": "run already exists",
    "data sample data --out new --num 1000": "num must be between 1 and the 120 samples",
    "data sample data --out new --num 3 --seed -1": "seed must not be negative, it is -1",
    "data sample data --out new --num 3 --split test": "no samples in split 'test'",
    "data synth --out new --num 0": "number of train images must be positive, not 0",
    "data synth --out new --wrong 2": "wrong is 2.0; give a number from 0 to 1",
    "data synth --out new --size 5": "size_px is 5; give a whole number from 16",
    "data synth --out data": "data already exists",
    "demo --out something": "something exists and is no demo's folder",
}


def assert_one_line(err: str, message: str) -> None:
    assert err.count("\n") == 1, err
    assert err.startswith("selfcure: "), err
    assert err.endswith("\n"), err
    assert re.search(message, err), err


@pytest.fixture(scope="module")
def untouched(filled):
    """Mistakes change nothing, so one folder does for all of them."""
    before = sorted(filled.rglob("*"))
    yield filled
    left = {path.relative_to(filled).as_posix() for path in filled.rglob("*")} - {
        path.relative_to(filled).as_posix() for path in before
    }
    # Nothing is made where nothing could be done, except what tells a repeated import where it was.
    assert not [name for name in left if not name.split("/")[0].endswith(".partial")], left


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_one_line_and_exit_code_2(line, untouched, monkeypatch, capsys):

    monkeypatch.chdir(untouched)
    shutil.rmtree("new.partial", ignore_errors=True)
    assert run(shlex.split(line)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert_one_line(captured.err, MISTAKES[line])


def set_label(folder, value):
    file = next(folder.glob("train-*.parquet"))
    rows = pq.read_table(file)
    labels = rows["label"].to_pylist()
    labels[5] = value
    column = rows.column_names.index("label")
    pq.write_table(rows.set_column(column, rows.schema.field("label"), [pa.array(labels)]), file)


@pytest.mark.parametrize(
    "line", ["train data --out new", "data info data", "data noise data --rate .1 --out new"]
)
def test_label_outside_the_classes(line, command, place):
    set_label(place / "data", 9)
    result = command(line)
    assert result.code == 2
    assert_one_line(result.err, "row 5 has label 9, outside the 3 classes .0–2.; 1 such rows")


def full_disk(*arguments, **keywords):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_disk_full_while_training_says_how_to_go_on_and_loses_nothing(command, place, monkeypatch):
    settings = "--backbone compact --size 16 --epochs 3 --set batch_size=40"
    assert command(f"train data --out whole {settings}").code == 0
    fsync, calls = checkpoint.os.fsync, []

    def full_at_the_second(descriptor):
        calls.append(descriptor)
        return full_disk() if len(calls) == 2 else fsync(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", full_at_the_second)
    result = command(f"train data --out 'my run' {settings}")
    assert result.code == 2
    last = result.err.splitlines()[-1]
    assert_one_line(last + "\n", "no space left on the disk; mend that, then go on with: selfcure train")
    again = last.split("go on with: selfcure ")[1]
    assert again == "train data --out 'my run' --resume"
    assert command(again).code == 0
    assert (place / "my run/model.safetensors").read_bytes() == (
        place / "whole/model.safetensors"
    ).read_bytes()


def test_disk_full_before_anything_is_there_says_to_repeat(command, monkeypatch):
    monkeypatch.setattr("selfcure.training.api.train", full_disk)
    result = command("train data --out new")
    assert result.code == 2
    assert_one_line(result.err, "no space left on the disk; mend that and repeat the command")


@pytest.mark.parametrize(
    "line",
    ["data synth --num 20 --num-validation 4 --size 16 --out new", "data noise data --rate 0.2 --out new"],
)
def test_disk_full_while_writing_a_dataset(line, command, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", full_disk)
        result = command(line)
    assert result.code == 2
    assert_one_line(result.err, "new.*No space left on device; mend that and repeat the command")
    assert command(line).code == 0


def test_disk_full_while_exporting_keeps_the_older_file(command, place, monkeypatch):
    (place / "labels.parquet").write_text("older")
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full_disk)
        result = command("labels export run --out labels.parquet")
    assert result.code == 2
    assert_one_line(result.err, "cannot write labels.parquet: No space left on device")
    assert (place / "labels.parquet").read_text() == "older"
    assert command("labels export run --out labels.parquet").code == 0


@pytest.mark.parametrize("line", ["data info data", "train data --out new"])
def test_damaged_shard(line, command, place):
    file = next((place / "data").glob("train-*.parquet"))
    file.write_bytes(file.read_bytes()[:1000])
    result = command(line)
    assert result.code == 2
    assert_one_line(result.err, "train-.*.parquet is damaged .*; make the dataset again")


def test_training_that_diverges_in_its_last_step(command):
    result = command("train data --out new $TINY --set learning_rate=1e30")
    assert result.code == 2
    assert_one_line(result.err.splitlines()[-1] + "\n", "try a smaller --set learning_rate")


def test_out_of_memory_says_what_helps(command, monkeypatch):
    def hungry(*arguments, **keywords):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("selfcure.training.api.train", hungry)
    result = command("train data --out new")
    assert result.code == 2
    assert_one_line(result.err, "out of memory; .*micro_batch_size")


def test_our_own_bugs_are_not_explained_away():
    assert explain(KeyError("x")) is None
    assert explain(RuntimeError("shape mismatch")) is None
    assert explain(SystemExit(0)) is None


def test_message_stays_one_line_whatever_the_name(command, place):
    (place / "two\nlines \x1b[31m").mkdir()
    result = command("data info 'two\nlines \x1b[31m'")
    assert_one_line(result.err, re.escape(r"two lines \x1b[31m is empty"))


def test_unwritable_output(command, monkeypatch, place):
    def refuse(path, *arguments, **keywords):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    result = command("train data --out /locked/run")
    assert result.code == 2
    assert_one_line(result.err, "/locked/run.*: Permission denied")
