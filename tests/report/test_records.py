"""Recorded results: loading all seeds, and recording new ones all or nothing."""

import json
from pathlib import Path

import pytest

from echobook.report.errors import ClaimsError, ReportError, ResultsError
from echobook.report.record import record
from echobook.report.records import declared_seeds, load_recorded, load_seeds, same_shape
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


def test_all_changed_parameters_are_named_in_order(checkout, make, head):
    first = {"seed": 0, "width": 3, "epochs": 3, "rate": 0.5, "added": 1}
    place(checkout, make(seed=0, commit=head, parameters=first))
    place(checkout, make(seed=1, commit=head, parameters={"seed": 1, "width": 4, "epochs": 5, "rate": 0.5}))
    with pytest.raises(ResultsError, match=r"differ in parameters: added, epochs, width$"):
        load_recorded(checkout, "small-talk")


def test_runs_of_one_shape_differ_in_nothing_but_the_seed(make):
    base = make(parameters={"seed": 0, "epochs": 3})
    assert same_shape(base, make({"score/new": 9.0, "score/old": 0.0}, parameters={"seed": 1, "epochs": 3}))
    assert not same_shape(base, make(parameters={"seed": 0, "epochs": 4}))
    assert not same_shape(base, make(parameters={"seed": 0}))
    assert not same_shape(base, make({"score/new": 0.6}, parameters={"seed": 0, "epochs": 3}))


@pytest.mark.parametrize("keep_share", [0.0, 0.5, 0.99])
def test_a_half_written_record_is_named_and_shown_nowhere(checkout, make, head, keep_share):
    place(checkout, make(seed=0, commit=head))
    path = place(checkout, make(seed=1, commit=head))
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: int(len(text) * keep_share)], encoding="utf-8")
    with pytest.raises(ResultsError, match=r"seed-1\.json: not a results file"):
        load_recorded(checkout, "small-talk")


def test_an_unfinished_file_of_a_killed_writer_is_not_a_record(checkout, make, head):
    path = place(checkout, make(commit=head))
    path.with_name(".seed-0.json.x1.part").write_text('{"seed"', encoding="utf-8")
    assert [result.seed for result in load_recorded(checkout, "small-talk")] == [0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("public: {seeds: [4, 2]}", [4, 2]),
        ("public: {seeds: []}", None),
        ("public: {minutes: 3}", None),
        ("public:", None),
        ("smoke: {seeds: [0]}", None),
        ("", None),
    ],
)
def test_seeds_of_a_parameter_file(checkout, text, expected):
    declare(checkout, text)
    assert declared_seeds(checkout, "small-talk", "public") == expected


def test_a_missing_seed_is_not_excused_by_an_extra_one(checkout, make, head):
    declare(checkout, "public: {seeds: [0, 1, 2]}")
    for seed in (0, 2, 5):
        place(checkout, make(seed=seed, commit=head))
    with pytest.raises(ResultsError, match=r"missing \[1\], not listed \[5\]"):
        load_recorded(checkout, "small-talk")


def test_seeds_and_figures_that_do_not_fit_are_named_in_order(checkout, make, head):
    declare(checkout, "public: {seeds: [9, 0, 16]}")
    for seed in (0, 8, 1, 33):
        place(checkout, make(seed=seed, commit=head))
    with pytest.raises(ResultsError, match=r"missing \[9, 16\], not listed \[1, 8, 33\]"):
        load_recorded(checkout, "small-talk")
    folder = checkout / "elsewhere"
    names = [f"m{k}" for k in range(9)]
    write_results(make(dict.fromkeys(["m0", "a1"], 1.0), commit=head), folder / "seed-0.json")
    write_results(make(dict.fromkeys(names, 1.0), seed=1, commit=head), folder / "seed-1.json")
    with pytest.raises(ResultsError, match=r"same metrics: a1, m1, m2, m3, m4, m5$"):
        load_seeds(folder, "small-talk", "public")


def test_the_largest_lists_of_scores_are_named_first(checkout, make, head):
    sizes = {"few": 3, "most": 20_000, "many": 9_000, "none-at-all": 0, "some": 10}
    items = {name: [0.1] * size for name, size in sizes.items() if size}
    items["most"] = [0.123456] * (RECORDED_BYTES // 9)
    values = dict.fromkeys(sizes, 0.123456)
    place(checkout, make(values, items=items, commit=head))
    with pytest.raises(ResultsError, match=r"most per-item scores: most, many, some$"):
        load_recorded(checkout, "small-talk")


def test_a_record_of_exactly_the_largest_size_is_kept(checkout, make, head):
    assert RECORDED_BYTES == 204_800
    path = place(checkout, make(commit=head, parameters={"note": ""}))
    room = RECORDED_BYTES - path.stat().st_size
    path = place(checkout, make(commit=head, parameters={"note": "x" * room}))
    assert path.stat().st_size == RECORDED_BYTES
    assert len(load_recorded(checkout, "small-talk")) == 1
    place(checkout, make(commit=head, parameters={"note": "x" * (room + 1)}))
    with pytest.raises(ResultsError, match=f"{RECORDED_BYTES + 1} bytes, expected at most"):
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


def test_files_are_returned_by_seed_and_readable_by_all(checkout, make, head):
    for seed in (10, 2):
        built(checkout, make(seed=seed, commit=head))
    written = keep(checkout, (10, 2))
    assert [path.name for path in written] == ["seed-2.json", "seed-10.json"]
    assert [path.stat().st_mode & 0o777 for path in (written[0].parent, *written)] == [0o755, 0o644, 0o644]


def test_seeds_of_different_sources_are_not_one_record(checkout, make, head):
    one, other = make(seed=0, commit=head), make(seed=1, commit=head)
    other.environment.closure_sha256 = "c" * 64
    built(checkout, one), built(checkout, other)
    with pytest.raises(ResultsError, match="the seeds ran on 2 different states of the sources"):
        keep(checkout)
    assert load_recorded(checkout, "small-talk") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"size": 4}}, "seeds 0 and 1 differ in parameters: size"),
        ({"values": {"score/new": 1.0, "score/old": 0.5, "third": 1.0}}, "same metrics: third"),
    ],
)
def test_seeds_that_are_no_repetition_are_not_recorded(checkout, make, head, changes, message):
    place(checkout, make({"score/new": 9.0, "score/old": 0.0}, commit=head))
    built(checkout, make(seed=0, commit=head))
    built(checkout, make(seed=1, commit=head, **changes))
    with pytest.raises(ResultsError, match=message):
        keep(checkout)
    [old] = load_recorded(checkout, "small-talk")
    assert old.value("score/new") == 9.0
    assert [entry.name for entry in (checkout / "data" / "recorded" / "public").iterdir()] == ["small-talk"]


def test_too_large_a_run_is_refused_before_anything_is_written(checkout, make, head):
    built(checkout, make({"score/new": 0.5, "score/old": 0.5}, commit=head, parameters={"x": "y" * 300_000}))
    with pytest.raises(ResultsError, match=f"expected at most {RECORDED_BYTES}"):
        keep(checkout, (0,))
    assert not (checkout / "data" / "recorded").exists()


def test_the_rest_of_an_interrupted_recording_does_not_stand_in_the_way(checkout, make, head):
    folder = checkout / "data" / "recorded" / "public"
    (folder / ".small-talk.old").mkdir(parents=True)
    (folder / ".small-talk.old" / "seed-9.json").write_text("{", encoding="utf-8")
    place(checkout, make({"score/new": 9.0, "score/old": 0.0}, commit=head))
    built(checkout, make(commit=head))
    keep(checkout, (0,))
    assert load_recorded(checkout, "small-talk") == [make(commit=head)]
    assert [entry.name for entry in folder.iterdir()] == ["small-talk"]


def test_recording_one_profile_leaves_the_others(checkout, make, head):
    place(checkout, make({"score/new": 9.0, "score/old": 0.0}, commit=head))
    built(checkout, make(profile="paper", commit=head))
    keep(checkout, (0,), profile="paper")
    assert load_recorded(checkout, "small-talk")[0].value("score/new") == 9.0
    assert load_recorded(checkout, "small-talk", "paper")[0].value("score/new") == 0.6


def test_a_default_run_is_recorded_although_claims_name_other_metrics(checkout, make, head):
    built(checkout, make({"score/generated": 1.0}, profile="default", commit=head))
    keep(checkout, (0,), profile="default")
    assert load_recorded(checkout, "small-talk", "default")[0].value("score/generated") == 1.0
    built(checkout, make({"score/generated": 1.0}, profile="paper", commit=head))
    with pytest.raises(ResultsError, match="no metric"):
        keep(checkout, (0,), profile="paper")


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


def test_pilot_runs_are_never_recorded(checkout, make, head):
    for seed in (999, 1000):
        built(checkout, make(seed=seed, commit=head))
    with pytest.raises(ResultsError, match="small-talk: seed 1000: seeds from 1000 on are for pilot runs"):
        keep(checkout, (999, 1000))
    [path] = keep(checkout, (999,))
    assert path.name == "seed-999.json"
