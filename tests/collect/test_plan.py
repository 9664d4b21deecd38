"""The WebEmotion plan, plans of others, and what is wrong with a plan."""

import pytest

from collect.conftest import WEB_PLAN
from selfcure.collect.plan import default_plan, parse_plan
from selfcure.collect.project import make_plan, open_project
from selfcure.errors import SelfcureError


def test_the_default_is_webemotion():
    plan = parse_plan(default_plan(), "default")
    queries = list(plan.queries())
    assert len(queries) == len({q.text for q in queries}) == 40 * 45 * 6 == 10_800
    assert sum(map(len, plan.classes.values())) == 40
    assert len(plan.classes) == 8
    assert plan.classes["happiness"] == ("happy", "funny", "ecstatic", "smug", "kawaii")
    assert len(plan.countries) == 45
    assert plan.ages == ("baby", "lady", "woman", "man", "old man", "old woman")
    assert (plan.search.results, plan.search.max_minutes, plan.clips.min_face_sec) == (20, 4, 5)
    assert queries[0].text == "neutral baby China"


def test_every_word_meets_every_age(project):
    folder = project(WEB_PLAN)
    with open_project(folder) as opened:
        rows = opened.ledger.rows("SELECT text, class FROM queries ORDER BY id")
    assert [(r["text"], r["class"]) for r in rows] == [
        (f"{age} {word}", label)
        for label, words in (("happiness", ("happy", "glad")), ("sadness", ("sad", "gloomy")))
        for word in words
        for age in ("man", "woman")
    ]


def test_planned_anew_what_was_asked_stays(project, tmp_path):
    folder = project(WEB_PLAN)
    with open_project(folder) as opened, opened.ledger.writing() as ledger:
        ledger.run("UPDATE queries SET state = 'done' WHERE text = 'man happy'")
    assert make_plan(folder)["num_new"] == 0
    (folder / "collect.yaml").write_text(WEB_PLAN.replace("happy, glad", "joyful"))
    facts = make_plan(folder)
    assert (facts["num_queries"], facts["num_new"], facts["num_gone"]) == (6, 2, 3)
    with open_project(folder) as opened:
        assert opened.ledger.value("SELECT state FROM queries WHERE text = 'man happy'") == "done"


def test_classes_alone_are_for_local_videos(project):
    assert make_plan(project("classes: [a, b]"))["num_queries"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "is no plan: it must have 'classes'"),
        ("classes: {a: [b", "is not YAML"),
        ("classes: {a: [b]}\nwords: [c]", "unknown key in .* 'words'"),
        ("classes: {a: [no]}", r"words of a has False, which is not a word; put it in quotes"),
        ("classes: {a: [b, b]}", "has 'b' twice"),
        ("classes: {a: b}", "words of a must be a list"),
        ("classes: {a: [b]}\nquery: '{age}'", r"must have \{word\}"),
        ("classes: {a: [b]}\nquery: '{word} {place}'", r"must have \{word\}"),
        ("classes: {a: [b]}\nquery: '{word.__class__}'", r"must have \{word\}"),
        ("classes: {a: [b]}\nquery: '{word'", "query '{word'"),
        ("classes: {a: [b]}\nquery: '{word}'\nages: [man]", "has no {age}"),
        ("classes: {a: [b]}\nclips: {fps: fast}", "clips: fps must be a number, not 'fast'"),
        ("classes: {a: [b]}\nclips: {fsp: 2}", "unknown setting of clips .* did you mean 'fps'"),
        ("classes: {a: [b]}\nclips: {fps: .nan}", "clips: fps must be above 0 to 100, not nan"),
        ("classes: {a: [b]}\nsearch: {results: true}", "search: results must be a whole number, not True"),
        ("classes: {a: [b]}\nsearch: {site: 'http://x/'}", "site must be a search prefix"),
        ("classes: {a: [b]}\ndownload: {license: mine}", "unknown download: license 'mine'"),
        ("classes: {a: [b]}\nframes: {validation: 1}", "validation must be at least 0 and below 1"),
        ("classes: {a: [b]}\nretry: 3", "retry must be a list of settings"),
        ("!!python/object/apply:os.system ['touch hacked']", "is not YAML"),
    ],
)
def test_mistakes(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(SelfcureError, match=message) as caught:
        make_plan(tmp_path / "project", file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [f.name for f in tmp_path.iterdir()] == ["plan.yaml"]


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(SelfcureError, match="is in the way"):
        make_plan(tmp_path)
    with pytest.raises(SelfcureError, match="is not a project of selfcure collect"), open_project(tmp_path):
        pass


def test_one_at_a_time(project):
    folder = project()
    with open_project(folder):
        with (
            pytest.raises(SelfcureError, match="another 'selfcure collect' is at work"),
            open_project(folder),
        ):
            pass
        with open_project(folder, read_only=True) as looked:
            assert looked.plan.name == "tests"
