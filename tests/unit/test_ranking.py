"""The table at the end of a sweep: its order, its mark, its columns."""

from dataclasses import replace

import pytest
from sweep_records import FOUR, entry, failed, judged, sweep, timed

from tflbuild.core.objective import Objective
from tflbuild.report.figure_text import show_figure
from tflbuild.report.sweeps.ranking import (
    count_text,
    describe_front_mark,
    find_objectives,
    merge_similar_texts,
    rank_variants,
    sweep_table,
)
from tflbuild.report.sweeps.step_sharing import summarize_sharing


def first_words(table):
    return [line.split()[0] for line in table.splitlines()[1:]]


def test_the_best_is_first_and_what_did_not_pass_is_last():
    table = sweep_table(sweep(failed("quantization=int16x8"), *FOUR))
    schemes = ["float16", "none", "int8", "int4", "int16x8"]
    assert first_words(table) == [*(f"quantization={scheme}" for scheme in schemes), "*"]


def test_other_objectives_are_another_order_and_have_their_columns():
    wanted = (Objective("bytes", "min"), Objective("cosine", "max"))
    table = sweep_table(sweep(*FOUR, objectives=wanted))
    assert first_words(table)[:3] == ["quantization=int8", "quantization=float16", "quantization=none"]
    assert "cosine" in table.splitlines()[0] and "cosine" not in sweep_table(sweep(*FOUR)).splitlines()[0]
    assert table.splitlines()[-1].startswith("* Pareto front by least bytes and most cosine: ")


def test_what_was_not_measured_comes_after_what_was():
    unknown = entry("a=3", 5, None)
    assert first_words(sweep_table(sweep(unknown, failed("a=2"), entry("a=1"))))[:3] == ["a=1", "a=3", "a=2"]


def test_the_front_has_a_star_and_a_line_says_what_it_means():
    lines = sweep_table(sweep(*FOUR)).splitlines()
    column = lines[0].index("front")
    assert [line[column] for line in lines[1:5]] == ["*", " ", "*", " "]
    assert lines[5] == (
        "* Pareto front by most top-1 and least bytes: no other variant is at least as good in every objective and"
        " better in one; sorted by the first"
    )
    assert "*" not in sweep_table(sweep(failed("a=1")))


def test_columns_align_and_empty_ones_are_left_out():
    lines = sweep_table(sweep(entry("a=1"), failed("a=2"))).splitlines()
    assert " ".join(lines[0].split()) == "variant result front bytes of float top-1 drop SNR dB sha256"
    assert lines[1].index("ok") == lines[2].index("failed") == lines[0].index("result")
    assert sweep_table(sweep(failed("a=2"))).splitlines()[0].split() == ["variant", "result"]
    assert "34.0%  93.00 %  +0.20    34.8" in lines[1]


def test_packed_sizes_are_shown_of_all_variants_where_one_was_trained():
    plain, pruned = entry("optimize=none", 191000), entry("optimize=prune", 144828)
    pruned = replace(pruned, artifact=replace(pruned.artifact, optimized=True, zeros=0.5))
    head, *rows = sweep_table(sweep(plain, pruned)).splitlines()
    assert "gzip" in head and "zeros" in head
    assert any("143,250" in row for row in rows) and any("108,621  50.0%" in row for row in rows)
    assert "gzip" not in sweep_table(sweep(plain))


def test_latency_is_shown_where_it_was_measured_and_not_an_objective_over_several_hosts():
    one, other = timed(entry("a=1"), 5.0), timed(entry("a=2"), 1.25, "another cpu")
    assert "p50 ms" in sweep_table(sweep(one)).splitlines()[0]
    wanted = (Objective("latency_ms", "min"), Objective("top1", "max"))
    assert find_objectives([sweep(one, objectives=wanted)]) == wanted
    assert find_objectives([sweep(one, objectives=wanted), sweep(other, objectives=wanted)]) == wanted[1:]
    both = [sweep(one, objectives=wanted[:1]), sweep(other, objectives=wanted[:1])]
    assert [aim.text for aim in find_objectives(both)] == ["top1:max", "bytes:min"]


NPU = Objective("ethos_u55.inference_ms", "min")
ARENA = Objective("tflm.arena_bytes", "min")
VELA = {"ethos_u55": "estimate by Vela for ethos-u55-64, 500 MHz"}


def test_figures_of_targets_sort_and_mark_and_have_their_columns_and_what_is_unknown_comes_after():
    slow = judged(entry("a=1"), VELA, ethos_u55__inference_ms=2, tflm__arena_bytes=91000)
    fast = judged(entry("a=2"), VELA, ethos_u55__inference_ms=1, tflm__arena_bytes=92000)
    worse = judged(entry("a=3"), VELA, ethos_u55__inference_ms=3, tflm__arena_bytes=92000)
    unknown = judged(entry("a=4"), tflm__arena_bytes=10)
    head, *rows = sweep_table(sweep(unknown, worse, slow, fast, objectives=(NPU, ARENA))).splitlines()
    assert " ".join(head.split()).startswith("variant result front ethos_u55 inference ms tflm arena bytes bytes")
    assert [row.split()[0] for row in rows[:4]] == ["a=2", "a=1", "a=3", "a=4"]
    assert [row[head.index("front")] for row in rows[:4]] == ["*", "*", " ", " "]
    assert rows[0].split()[:5] == ["a=2", "ok", "*", "1", "92,000"]
    assert "by least ethos_u55 inference and least tflm arena: " in rows[4]
    assert rows[5:] == ["ethos_u55: estimate by Vela for ethos-u55-64, 500 MHz"]


def test_several_devices_are_told_together():
    other = {"ethos_u55": "estimate by Vela for ethos-u55-128, 500 MHz"}
    made = [judged(entry(f"a={n}"), told, ethos_u55__inference_ms=n) for n, told in enumerate((VELA, other))]
    last = sweep_table(sweep(*made, objectives=(NPU,))).splitlines()[-1]
    assert last == "ethos_u55: estimate by Vela for ethos-u55-64, / ethos-u55-128, 500 MHz".replace(", /", " /")
    assert merge_similar_texts(["a b", "c"]) == "a b; c"


def test_what_targets_say_is_a_column_where_it_differs_and_else_a_line():
    same = [replace(entry(f"a={n}"), targets="tflm 3/3") for n in range(2)]
    table = sweep_table(sweep(*same, failed("a=9")))
    assert "targets" not in table.splitlines()[0]
    assert table.splitlines()[-1] == "targets, the same for all variants that were built: tflm 3/3"
    table = sweep_table(sweep(*same, replace(entry("a=3"), targets="tflm cannot run")))
    assert "  targets  " in table.splitlines()[0] and "the same of all" not in table
    assert "targets" not in sweep_table(sweep(*FOUR))


def test_without_a_front_it_is_said_why():
    one, other = judged(entry("a=1"), tflm__arena_bytes=1), judged(entry("a=2"), ethos_u55__inference_ms=1)
    last = sweep_table(sweep(one, other, objectives=(NPU, ARENA))).splitlines()[-1]
    assert last == "no Pareto front: no variant that passed has all of ethos_u55.inference_ms, tflm.arena_bytes"
    assert "front" not in sweep_table(sweep(failed("a=1"), objectives=(NPU, ARENA)))


def test_a_targets_latency_is_no_objective_over_several_hosts_and_its_estimate_is():
    wanted = (Objective("cpu.latency_p50_ms", "min"), NPU, Objective("top1", "max"))
    here, there = ({"cpu": f"this host: {name}", "ethos_u55": "Vela"} for name in ("one", "another"))
    made = [
        sweep(judged(entry("a=1"), told, cpu__latency_p50_ms=1, ethos_u55__inference_ms=1), objectives=wanted)
        for told in (here, there)
    ]
    assert find_objectives(made) == wanted[1:] and find_objectives(made[:1]) == wanted


def test_several_sweeps_are_held_against_each_other_by_what_the_newest_wants():
    old = sweep(entry("a=1", 100, 0.95), id="old", created="2026-01-01T00:00:00Z", objectives=())
    new = sweep(entry("a=1", 90, 0.9), entry("a=2", 120, 0.9), id="new", objectives=(Objective("bytes", "min"),))
    assert [(one.sweep.id, one.label, one.best) for one in rank_variants([new, old])] == [
        ("new", "a=1", True),
        ("old", "a=1", False),
        ("new", "a=2", False),
    ]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("bytes", 187464.0, "187,464"),
        ("top1", 0.93, "93.00 %"),
        ("top1_drop", -0.0015, "-0.15"),
        ("outputs.y.snr_db", 34.84, "34.8"),
        ("rmse", 0.0123456, "0.01235"),
    ],
)
def test_figures_are_told_in_their_units(name, value, words):
    assert show_figure(name, value) == words


def test_one_objective_has_a_best_and_no_front():
    assert describe_front_mark((Objective("bytes", "min"),)) == "* the best: least bytes"


def test_results_are_counted_what_passed_first():
    assert count_text([failed("a=1"), *FOUR]) == "3 ok, 1 failed in calibrate, 1 gate failed"


def test_a_step_that_several_variants_asked_for_is_one_and_saved_the_others():
    rows = {one.role: one for one in summarize_sharing([*FOUR, failed("a=1")])}
    assert (rows["import"].asked, rows["import"].steps, rows["import"].ran) == (5, 1, 1)
    assert (rows["import"].spent, rows["import"].saved) == (1.0, 4.0)
    assert (rows["convert"].spent, rows["convert"].saved) == (2.5, 7.5)
    assert (rows["quantize"].asked, rows["quantize"].steps) == (4, 4)  # what was skipped was not asked for
    assert rows["quantize"].saved == pytest.approx(0.0)
    assert (rows["calibrate"].failed, rows["calibrate"].ran, rows["calibrate"].spent) == (1, 0, 0.5)


def test_a_step_from_the_store_took_nothing_and_saved_what_it_once_took():
    hit = {"convert": replace(FOUR[0].steps["convert"], status="hit")}
    (row,) = summarize_sharing([replace(FOUR[0], steps=hit), replace(FOUR[1], steps=hit)])
    assert (row.hits, row.spent, row.saved) == (1, 0.0, 5.0)
