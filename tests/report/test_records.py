"""Recorded results: loading all seeds, and recording new ones all or nothing."""

import json
from pathlib import Path

import pytest

from echobook.report.errors import ClaimsError, ReportError, ResultsError
from echobook.report.record import record
from echobook.report.records import declared_seeds, load_recorded, load_seeds
from echobook.report.results import RECORDED_BYTES, read_results, write_results


def place(root, results, *, profile="public", name=None):
    folder = root / "data" / "recorded" / profile / "small-talk"
    return write_results(results, folder / (name or f"seed-{results.seed}.json"))


def built(root, results):
    folder = root / "_build" / results.profile / "results" / results.slug
    return write_results(results, folder / f"seed-{results.seed}.json")


def declare(root, text="public: {seeds: [0, 1]}"):
    path = root / "workflow" / "parameters" / "small-talk.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def test_nothing_recorded_is_an_empty_list(checkout):
    assert load_recorded(checkout, "small-talk") == []


def test_seeds_come_in_numeric_order(checkout, make, head):
    for seed in (10, 2, 0):
        place(checkout, make(seed=seed, commit=head))
    assert [result.seed for result in load_recorded(checkout, "small-talk")] == [0, 2, 10]


def test_declared_seeds_must_be_there_neither_fewer_nor_more(checkout, make, head):
    declare(checkout)
    assert declared_seeds(checkout, "small-talk", "public") == [0, 1]
    assert declared_seeds(checkout, "small-talk", "paper") is None
    place(checkout, make(seed=0, commit=head))
    with pytest.raises(ResultsError, match=r"expected seeds \[0, 1\], missing \[1\], not listed none"):
        load_recorded(checkout, "small-talk")
    place(checkout, make(seed=1, commit=head))
    assert len(load_recorded(checkout, "small-talk")) == 2
    place(checkout, make(seed=2, commit=head))
    with pytest.raises(ResultsError, match=r"missing none, not listed \[2\]"):
        load_recorded(checkout, "small-talk")


def test_smoke_is_never_a_record(checkout, make, head):
    with pytest.raises(ResultsError, match="a smoke run is a test of the code"):
        load_recorded(checkout, "small-talk", "smoke")
    place(checkout, make(profile="smoke", commit=head))  # a smoke file put among the public ones
    with pytest.raises(ResultsError, match=r"seed-0\.json: profile: expected 'public', found 'smoke'"):
        load_recorded(checkout, "small-talk")


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"commit": "unknown"}, None, "environment.commit: expected 40 hex digits, found 'unknown'"),
        ({"commit": "0" * 40}, None, "environment.commit: 0{40} is not a commit of this repository"),
        ({"slug": "big-talk"}, None, "slug: expected 'small-talk', found 'big-talk'"),
        ({"seed": 1}, "seed-0.json", "seed: expected 0, found 1"),
        ({}, "seed-00.json", "expected a name like seed-0.json"),
        ({}, "copy of seed-0.json", "expected a name like seed-0.json"),
    ],
)
def test_foreign_records_are_refused(checkout, make, head, changes, name, message):
    place(checkout, make(**{"commit": head, **changes}), name=name)
    with pytest.raises(ResultsError, match=message) as caught:
        load_recorded(checkout, "small-talk")
    assert (name or "seed-") in str(caught.value)


def test_record_without_a_commit_is_refused(checkout, make, head):
    path = place(checkout, make(commit=head))
    plain = json.loads(path.read_text(encoding="utf-8"))
    del plain["environment"]["commit"]
    path.write_text(json.dumps(plain), encoding="utf-8")
    with pytest.raises(ResultsError, match=r"seed-0\.json: environment\.commit: Field required"):
        load_recorded(checkout, "small-talk")


def test_too_large_a_record_is_refused(checkout, make, head):
    items = [0.123456] * (RECORDED_BYTES // 9 + 1)
    place(checkout, make({"a": 0.123456}, items={"a": items}, commit=head))
    with pytest.raises(ResultsError, match=f"expected at most {RECORDED_BYTES}; most per-item scores: a"):
        load_recorded(checkout, "small-talk")


def test_twenty_thousand_scores_fit(checkout, make, head):
    path = place(checkout, make({"a": 0.123456}, items={"a": [0.123456] * 20_000}, commit=head))
    assert path.stat().st_size < RECORDED_BYTES


def test_seeds_must_hold_the_same_figures(checkout, make, head):
    place(checkout, make({"a": 1.0, "b": 1.0}, seed=0, commit=head))
    place(checkout, make({"a": 1.0}, seed=1, commit=head))
    with pytest.raises(ResultsError, match="seeds 0 and 1 do not hold the same metrics: b"):
        load_recorded(checkout, "small-talk")


def test_seeds_must_have_run_with_the_same_parameters(checkout, make, head):
    place(checkout, make(seed=0, commit=head, parameters={"seed": 0, "epochs": 3}))
    place(checkout, make(seed=1, commit=head, parameters={"seed": 1, "epochs": 3}))
    assert len(load_recorded(checkout, "small-talk")) == 2
    place(checkout, make(seed=2, commit=head, parameters={"seed": 2, "epochs": 4}))
    with pytest.raises(ResultsError, match="seeds 0 and 2 differ in parameters: epochs"):
        load_recorded(checkout, "small-talk")


def test_where_git_cannot_tell_commits_pass(tmp_path, make):
    root = tmp_path / "archive"
    place(root, make(commit="3" * 40))
    assert len(load_seeds(root / "data" / "recorded" / "public" / "small-talk", "small-talk", "public")) == 1


def keep(root, seeds=(0, 1), **options):
    return record(
        "small-talk",
        options.pop("profile", "public"),
        list(seeds),
        root / "_build",
        root / "data" / "recorded",
        root=root,
        **options,
    )


def test_recording_copies_all_seeds(checkout, make, head):
    for seed in (0, 1):
        built(checkout, make(seed=seed, commit=head))
    written = keep(checkout)
    assert [path.relative_to(checkout).as_posix() for path in written] == [
        "data/recorded/public/small-talk/seed-0.json",
        "data/recorded/public/small-talk/seed-1.json",
    ]
    assert load_recorded(checkout, "small-talk") == [make(seed=seed, commit=head) for seed in (0, 1)]
    assert [entry.name for entry in (checkout / "data" / "recorded" / "public").iterdir()] == ["small-talk"]


def test_recording_again_replaces_the_old_seeds(checkout, make, head):
    for seed in (0, 1, 7):
        place(checkout, make({"old": 1.0}, seed=seed, commit=head))
        built(checkout, make(seed=seed, commit=head))
    keep(checkout)
    assert [result.seed for result in load_recorded(checkout, "small-talk")] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "seeds", "error", "message"),
    [
        ({"dirty": True}, (0, 1), ResultsError, "environment.dirty: the sources were not committed"),
        ({"commit": "1" * 40}, (0, 1), ResultsError, "is not a commit of this repository"),
        ({"values": {"score/new": 1.0}}, (0, 1), ResultsError, "no metric 'score/old'"),
        ({}, (0, 1, 2), ResultsError, r"seed-2\.json: cannot be read"),
        ({}, (0, 0), ResultsError, "at least one, each once"),
        ({}, (), ResultsError, "at least one, each once"),
    ],
)
def test_refused_recording_leaves_the_old_record(checkout, make, head, changes, seeds, error, message):
    place(checkout, make({"score/new": 9.0, "score/old": 0.0}, commit=head))
    for seed in (0, 1):
        built(checkout, make(**{"seed": seed, "commit": head, **changes}))
    with pytest.raises(error, match=message):
        keep(checkout, seeds)
    [old] = load_recorded(checkout, "small-talk")
    assert old.value("score/new") == 9.0
    assert [entry.name for entry in (checkout / "data" / "recorded" / "public").iterdir()] == ["small-talk"]


def test_failed_swap_puts_the_old_record_back(checkout, make, head, monkeypatch):
    place(checkout, make({"score/new": 9.0, "score/old": 0.0}, commit=head))
    built(checkout, make(commit=head))
    rename = Path.rename

    def fail_for_the_new_folder(path, target):
        if path.name.endswith(".part"):
            raise OSError("Read-only file system")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_folder)
    with pytest.raises(OSError, match="Read-only"):
        keep(checkout, (0,))
    [old] = load_recorded(checkout, "small-talk")
    assert old.value("score/new") == 9.0


def test_uncommitted_sources_can_be_recorded_on_demand(checkout, make, head):
    built(checkout, make(commit=head, dirty=True))
    [path] = keep(checkout, (0,), allow_dirty=True)
    assert read_results(path).environment.dirty


def test_only_declared_seeds_are_recorded(checkout, make, head):
    declare(checkout)
    built(checkout, make(commit=head))
    with pytest.raises(
        ResultsError, match=r"seeds \[0\]: expected \[0, 1\], as workflow/parameters/small-talk\.yml"
    ):
        keep(checkout, (0,))


def test_smoke_and_unknown_profiles_are_not_recorded(checkout, make, head):
    built(checkout, make(profile="smoke", commit=head))
    with pytest.raises(ResultsError, match="a smoke run is a test of the code"):
        keep(checkout, (0,), profile="smoke")
    with pytest.raises(ReportError, match="profile 'best': expected one of smoke, default, public, paper"):
        keep(checkout, (0,), profile="best")


def test_a_chapter_without_claims_is_not_recorded(checkout, make, head):
    built(checkout, make(commit=head))
    (checkout / "data" / "claims" / "small-talk.yml").unlink()
    with pytest.raises(ClaimsError, match="claims are written before results"):
        keep(checkout, (0,))
