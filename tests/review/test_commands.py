"""The command line: what it prints, and what it says of mistakes."""

import json
import shlex
import socket
import urllib.error
import urllib.request

import pytest

import selfcure
from selfcure.cli import run as command
from selfcure.review import server
from selfcure.review.desk import Desk


@pytest.fixture
def reviewed(desk, run, monkeypatch, tmp_path):
    desk.decide(action="action-1", reviewer="ann", rows=[0, 1], kind="choose", weights={2: 1})
    desk.decide(action="action-2", reviewer="ann", rows=[2], kind="reject")
    desk.decide(action="action-3", reviewer="bob", rows=[1], kind="choose", weights={1: 1})
    monkeypatch.chdir(tmp_path)
    return desk


def test_export_and_diff(reviewed, capsys, stripes_folder):
    assert command(shlex.split("labels export run --reviewed --out new")) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "2 labels reviewed" in said
    assert "1 images rejected" in said
    assert "1 disputed, left as given" in said
    assert command(["labels", "diff", str(stripes_folder), "new", "--json", "--out", "diff.csv"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["num_only_a"], found["num_only_b"]) == (1, 0)
    assert command(["labels", "diff", str(stripes_folder), "new"]) == 0
    printed = capsys.readouterr().out
    assert f"{found['num_changed']} labels changed, {found['num_same']} the same" in printed
    assert "1 samples are in the first alone" in printed


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_format_follows_the_name(reviewed, capsys, tmp_path, name):
    assert command(["labels", "export", "run", "--reviewed", "--out", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decided"] == 2
    assert (tmp_path / name).is_file()


def test_exporting_what_a_run_says_is_as_before(reviewed, capsys, tmp_path):
    assert command(["labels", "export", "run", "--out", "l.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_samples"] == 120


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("review nowhere", "run folder nowhere does not exist"),
        ("review run --data new", "dataset folder new does not exist"),
        ("review run --port 99999 --no-browser", "--port must be from 0 to 65535"),
        ("review run --host 192.0.2.1 --no-browser", "cannot listen at 192.0.2.1"),
        ("review run --prepare --device tpu", "device must be auto, cpu or cuda"),
        ("labels export run --reviewed --out x --format jpeg", "unknown format 'jpeg'"),
        ("labels export run --out l.csv --format csv", "--format and --data go with --reviewed"),
        ("labels diff run nowhere", "dataset folder nowhere does not exist"),
        ("labels export run --reviewed --out run", "already exists"),
    ],
)
def test_mistakes(reviewed, capsys, line, message):
    assert command(shlex.split(line)) == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_a_port_that_is_taken_is_said(reviewed, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert command(["review", "run", "--port", str(taken.getsockname()[1]), "--no-browser"]) == 2
    assert "choose another --port" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("host", "asks"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_token_is_asked_for_beyond_this_machine(run, monkeypatch, host, asks):
    """The server as the command starts it; stopped from within, as by Ctrl-C."""
    import threading

    import uvicorn

    desk = Desk(selfcure.RunFolder(run))
    links, made = [], []
    monkeypatch.setattr(
        uvicorn, "Server", lambda config: made.append(uvicorn.server.Server(config)) or made[-1]
    )
    thread = threading.Thread(
        target=server.serve, args=(desk,), kwargs={"host": host, "port": 0, "ready": links.append}
    )
    thread.start()
    try:
        while not (made and made[0].started):
            thread.join(0.02)
        link = links[0]
        assert ("?token=" in link) == asks
        port = link.split("/")[2].rsplit(":", 1)[1]
        plain = f"http://127.0.0.1:{port}/api/about"
        if asks:
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(plain)
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            opener.open(f"http://127.0.0.1:{port}/?token={link.split('=')[1]}")
            assert json.load(opener.open(plain))["class_names"]
        else:
            assert json.load(urllib.request.urlopen(plain))["class_names"]
    finally:
        made[0].should_exit = True
        thread.join()
        desk.close()
