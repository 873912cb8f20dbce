"""Where sweeps lie, and which of them a report is of."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from frozen import recipe
from sweep_records import FOUR, entry, sweep

from tflbuild.commands.report_command import report, report_json
from tflbuild.core.digest import hash_value
from tflbuild.errors import MachineError, UsageError
from tflbuild.pipeline.sweep_results import can_measure_sensitivity, find_layers, open_folder
from tflbuild.report.sweeps.sweep_record import RECORD, write_record
from tflbuild.storage.store import Store

NOW = datetime(2026, 11, 21, 13, 45, tzinfo=UTC)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory, with a store of its own, and sweeps `a` and `b` in outputs/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFLBUILD_STORE", str(tmp_path / "store"))
    for number, name in enumerate("ab"):
        keep(tmp_path / "outputs", name, created=f"2026-11-2{number}T00:00:00Z")
    return tmp_path


def keep(outputs, name, **changes):
    folder = outputs / "sweeps" / name
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(write_record(sweep(*FOUR, id=name, git=None, **changes)))
    return folder


def test_fifty_sweeps_that_start_at_once_have_fifty_folders(tmp_path):
    with ThreadPoolExecutor(50) as pool:
        folders = list(pool.map(lambda _: open_folder(tmp_path / "sweeps", NOW, ["-m", "a=1,2"]), range(50)))
    assert len(set(folders)) == 50 == len(list((tmp_path / "sweeps").iterdir()))
    first = f"20261121-134500-{hash_value('Sweep', ['-m', 'a=1,2'])[:6]}"
    assert {folder.name for folder in folders} == {first, *(f"{first}-{number}" for number in range(2, 51))}


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path):
    (tmp_path / "sweeps").write_text("")
    with pytest.raises(MachineError, match="cannot write to"):
        open_folder(tmp_path / "sweeps", NOW, [])


def test_without_a_name_it_is_the_newest(here):
    made = report([], None)
    assert [one.id for one in made.sweeps] == ["b"] and made.page.samefile(here / "outputs/sweeps/b/report.html")


@pytest.mark.parametrize("word", ["a", "outputs/sweeps/a", "outputs/sweeps/a/", "outputs/sweeps/a/sweep.json"])
def test_a_sweep_is_named_by_its_id_or_its_folder(here, word):
    made = report([word], None)
    assert [one.id for one in made.sweeps] == ["a"]
    assert (here / "outputs/sweeps/a/report.html").read_text().startswith("<!DOCTYPE html>")
    assert not (here / "outputs/sweeps/b/report.html").exists()


def test_a_page_that_would_be_the_same_is_not_touched(here):
    first = report([], None).page
    before = first.stat()
    after = report([], None).page.stat()  # it may be read, which changes another of its times
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    first.write_text("spoilt")
    assert report([], None).page.read_text().startswith("<!DOCTYPE html>")


def test_several_make_one_page_in_the_order_of_their_time_each_once(here):
    made = report(["b", "a", "outputs/sweeps/b"], None)
    assert [one.id for one in made.sweeps] == ["a", "b"]
    assert made.page.samefile(here / "outputs/sweeps/report.html")
    assert json.loads(json.dumps(report_json(made)))["sweeps"][0] == {"id": "a", "commit": None, "variants": 4}


def test_sweeps_may_lie_elsewhere(here):
    keep(here / "other", "c")
    assert [one.id for one in report(["output_root=other"], None).sweeps] == ["c"]
    assert [one.id for one in report(["other/sweeps/c"], None).sweeps] == ["c"]
    with pytest.raises(UsageError, match="there is no sweep below nowhere"):
        report(["output_root=nowhere"], None)


@pytest.mark.parametrize(
    ("words", "what", "why"),
    [
        (["bb"], "there is no sweep 'bb'", "did you mean: b"),
        (["outputs"], "'outputs' has no sweep.json", "known: a, b"),
        (["a", "quantization=int8"], "there is no sweep 'quantization=int8'", "known: a, b"),
    ],
)
def test_what_is_no_sweep_is_refused_with_the_nearest(here, words, what, why):
    with pytest.raises(UsageError) as caught:
        report(words, None)
    assert caught.value.what == what and why in caught.value.why


def test_an_error_by_layer_that_was_measured_since_is_found_in_the_store(tmp_path):
    store = Store(tmp_path / "store")
    (tmp_path / "log").write_text("")
    operators = [{"name": "conv", "operator": "CONV_2D", "snr_db": 20.0, "share": 1.0}]
    facts = {"scheme": "int8", "samples": 7, "operators": operators}
    key = "ab" * 32
    one = entry("a=1", sensitivity=key)
    assert find_layers(one, store) is None
    store.publish(key, {"kind": "sensitivity"}, {"log.txt": tmp_path / "log"}, facts, 1.0)
    found = find_layers(one, store)
    assert (found.samples, found.operators[0].snr_db, found.source) == (7, 20.0, "tflbuild sensitivity")
    assert find_layers(replace(one, sensitivity=""), store) is None


def test_only_what_is_quantized_and_verified_can_be_asked_for_its_layers():
    assert can_measure_sensitivity(recipe())
    assert not can_measure_sensitivity(recipe(verify=replace(recipe().verify, dataset=None)))
    assert not can_measure_sensitivity(recipe(quantization=replace(recipe().quantization, scheme="none")))
