"""The record of a sweep: made from outcomes, written, read, refused."""

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from sweep_records import FOUR, entry, failed, judged, sweep, timed
from test_variant_summary import VERIFY, manifest

from tflbuild.core.objective import Objective
from tflbuild.core.step_result import StepResult
from tflbuild.core.verdict import LINTED, PROVEN, Verdict
from tflbuild.errors import GateError, UsageError
from tflbuild.report.sweeps.sweep_record import (
    CSV_COLUMNS,
    SweepRecord,
    make_entry,
    rank_entries,
    read_record,
    write_csv,
    write_record,
)
from tflbuild.report.variant_summary import SweepRow

STEPS = {"convert": StepResult(step_id="i", status="ran", key="k", elapsed=1.23456, facts={"bytes": 1})}
HOST = {"host": "this cpu", "runs": 10, "p10_ms": 1.0, "p50_ms": 2.0, "p90_ms": 3.0}


def built(**metrics):
    made = manifest(**metrics)
    made["artifact"]["gzip_bytes"] = 143560
    return {**made, "recipe": {"quantization": {"scheme": "int8"}}, "optimized": None}


def test_an_entry_has_all_that_was_measured():
    row = SweepRow("a=1", "ok", built(verify=VERIFY, benchmark=HOST), ("+recipe=net", "a=1"))
    made = make_entry(row, "net", Path("outputs/net/a=1/model.tflite"), STEPS, None)
    assert made.passed and made.scheme == "int8" and made.samples == 2000 and made.latency_host == "this cpu"
    assert made.figures["top1"] == 0.93 and made.figures["snr_db"] == 34.8 == made.figures["outputs.p.snr_db"]
    assert (made.figures["latency_ms"], made.figures["latency_p90_ms"]) == (2.0, 3.0)
    assert (made.artifact.bytes, made.artifact.float_bytes, made.artifact.zeros) == (187464, 550704, None)
    assert asdict(made.steps["convert"]) == {"id": "i", "key": "k", "status": "ran", "seconds": 1.235}


def test_an_entry_has_what_its_targets_measured_and_on_what():
    verdicts = (
        Verdict(
            target="tflm", proof=PROVEN, how="run", device="here", ops=3, on_delegate=3, figures={"arena_bytes": 9.0}
        ),
        Verdict(target="gpu", proof=LINTED, how="rules", ops=3, unknown=("A: ?",)),
    )
    manifest = {**built(verify=VERIFY), "targets": {one.target: one.as_json() for one in verdicts}}
    made = make_entry(SweepRow("a=1", "ok", manifest), "net", Path("m"), STEPS, None)
    of_targets = {name: value for name, value in made.figures.items() if name.startswith(("tflm.", "gpu."))}
    counts = {"tflm.unknown_ops": 0.0, "tflm.fallback_ops": 0.0, "tflm.on_delegate": 3.0, "gpu.unknown_ops": 1.0}
    assert of_targets == {"tflm.arena_bytes": 9.0, **counts}
    assert made.devices == {"tflm": "here"} and made.targets == "tflm 3/3, gpu ?/3 linted"


def test_how_it_is_judged_is_no_part_of_a_variant():
    row = SweepRow("a=1", "failed", None, ("+recipe=net", "a=1", "sweep.objectives=[bytes:min]"))
    assert make_entry(row, "net", None, {}, GateError("too low")).overrides == ("+recipe=net", "a=1")


def test_an_entry_of_what_failed_has_the_reason_and_no_figures():
    error = GateError("too low", where="verify.gates.top1", why="0.1", next_step="think")
    made = make_entry(SweepRow("a=1", "failed in verify", None), "net", None, STEPS, error)
    assert not made.passed and made.artifact is None and made.figures == {}
    assert asdict(made.trouble) == {
        "kind": "gate", "what": "too low", "where": "verify.gates.top1", "why": "0.1", "next_step": "think",
    }  # fmt: skip


def test_what_missed_its_gate_was_built_and_did_not_pass():
    made = make_entry(SweepRow("a", "gate failed", built(verify=VERIFY)), "net", Path("m"), STEPS, GateError("too low"))
    assert made.artifact is not None and not made.passed


@pytest.fixture
def kept(tmp_path):
    def keep(text):
        (tmp_path / "sweep.json").write_text(text)
        return tmp_path / "sweep.json"

    return keep


def test_a_record_is_read_as_it_was_written(kept):
    whole = sweep(*FOUR, failed("a=1"), timed(entry("b=2"), 1.0), objectives=(Objective("bytes", "min"),))
    assert read_record(kept(write_record(whole))) == whole
    assert read_record(kept(write_record(replace(whole, git=None, variants=())))).git is None


def damaged(change):
    told = json.loads(write_record(sweep(*FOUR)))
    change(told)
    return json.dumps(told)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("[1]", "it is not a JSON object"),
        ("{}", "id is missing"),
        (damaged(lambda told: told.pop("variants")), "variants is missing"),
        (damaged(lambda told: told["variants"][1].update(figures=[])), "variants[1].figures is [], of the wrong type"),
        (damaged(lambda told: told["variants"][0]["artifact"].update(bytes="1")), "bytes is '1', of the wrong type"),
        (damaged(lambda told: told["variants"][0]["figures"].update(top1=True)), "figures.top1 is True"),
        (damaged(lambda told: told.update(git={"commit": 3, "dirty": False})), "git.commit is 3"),
        (damaged(lambda told: told.update(format="1")), "format is '1'"),
    ],
)
def test_a_damaged_record_is_refused_with_what_is_wrong(kept, text, why):
    with pytest.raises(UsageError) as caught:
        read_record(kept(text))
    assert "is not a record of a sweep" in caught.value.what and why in caught.value.why


def test_a_record_of_a_newer_tflbuild_is_refused_by_its_format(kept):
    with pytest.raises(UsageError) as caught:
        read_record(kept('{"format": 2, "tflbuild": "9.9", "variants": "something else"}'))
    assert "was written by a newer tflbuild" in caught.value.what and "9.9" in caught.value.next_step


def test_a_record_may_know_more_than_we_do(kept):
    text = damaged(lambda told: told.update(mood="good"))
    assert isinstance(read_record(kept(text)), SweepRecord)


def lines_of(*variants, **changes):
    return list(csv.DictReader(io.StringIO(write_csv([sweep(*variants, **changes)]))))


def test_the_columns_of_the_csv_stay_whatever_was_measured():
    expected = (
        "sweep,created,commit,recipe,variant,overrides,result,pareto,bytes,gzip_bytes,top1,top1_source,top1_drop,topk,"
        "topk_source,agreement,max_abs_error,rmse,cosine,snr_db,latency_ms,latency_p10_ms,latency_p90_ms,float_bytes,"
        "samples,latency_host,targets,devices,sha256,path,error_kind,error,"
        "warnings,top1_margin,top1_drop_margin,topk_margin,agreement_margin,snr_db_margin,tied_to_cpu"
    )
    assert ",".join(CSV_COLUMNS) == expected
    for variants in (FOUR, (failed("a=1"),), ()):
        assert write_csv([sweep(*variants)]).splitlines()[0] == expected
    more = replace(FOUR[0], figures={**FOUR[0].figures, "metrics.iou": 0.5, "outputs.y.rmse": 0.25})
    assert write_csv([sweep(more)]).splitlines()[0] == f"{expected},metrics.iou,outputs.y.rmse"


def test_the_csv_has_the_figures_as_they_are():
    first, second, *_ = lines_of(*FOUR)
    assert (first["top1"], first["bytes"], first["pareto"], second["pareto"]) == ("0.932", "550704", "0", "1")
    assert first["overrides"] == "recipe=net quantization=none" and first["latency_ms"] == ""


def test_the_csv_says_where_figures_of_targets_were_had():
    (line,) = lines_of(judged(entry("a=1"), {"ethos_u55": "estimate by Vela", "cpu": "this host"}, cpu__peak_bytes=9))
    assert line["devices"] == "ethos_u55: estimate by Vela; cpu: this host" and line["cpu.peak_bytes"] == "9"


def test_what_stands_in_a_csv_cannot_break_it():
    nasty = failed('a="b,c"', replace(FOUR[3].trouble, what='line one\nline "two", three'))
    (line,) = lines_of(nasty)
    assert line["variant"] == 'a="b,c"' and line["error"] == 'line one\nline "two", three'


def test_of_equals_the_smaller_is_first_and_then_by_name():
    entries = [entry("b", size=9), entry("c", size=8), entry("a", size=9), entry("d", size=99, top1=0.94)]
    assert [entries[place].name for place in rank_entries(entries, (Objective("top1", "max"),))] == ["d", "c", "a", "b"]
