"""The verbs. Each takes parsed options, prints, and gives an exit code."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tflbuild import interrupts
from tflbuild.commands.options import REPORT_USAGE, VERBS, make_parser, read_limits
from tflbuild.core.digest import Json
from tflbuild.errors import EXIT_DONE, EXIT_INTERRUPTED, TflbuildError, UsageError, nearest

INSPECT_USAGE = "tflbuild inspect MODEL [source.key=value ...] [--target NAMES] [--as-recipe]"
BENCHMARK_USAGE = "tflbuild benchmark +recipe=NAME [key=value ...], or benchmark MODEL.tflite"
TOLD_IN_FULL = 3  # variants whose verdicts are tables of their own


def run(arguments: Sequence[str]) -> int:
    """Parse, dispatch, report: the only place that turns an error into text and a code."""
    from tflbuild.terminal.redacted import redacted_output

    interrupts.listen()
    with redacted_output(arguments):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        options = make_parser().parse_intermixed_args(list(arguments))
        verb = parse_command(options)
        if options.trust_store:
            from tflbuild.config.freezing.freeze_store import confirm_store

            confirm_store(verb, options.overrides, multirun=options.multirun)
        return COMMANDS[verb](options, list(arguments))
    except TflbuildError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing half-written was left; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def parse_command(options: argparse.Namespace) -> str:
    """The verb that the words before the overrides name. A word that is neither is refused."""
    if options.shell_completion or options.hydra_help or options.help or options.info or options.cfg:
        options.overrides = [text for text in options.overrides if text not in VERBS]
        return "hydra"
    if options.overrides[:1] == ["report"]:
        return "report"
    if options.since is not None:
        raise UsageError("--since goes with report", where="command line", next_step=REPORT_USAGE)
    if options.overrides[:1] == ["inspect"]:
        return "inspect"
    if options.overrides[:1] == ["benchmark"] and any(text.endswith(".tflite") for text in options.overrides):
        options.overrides.pop(0)
        return "benchmark"
    words = [text for text in options.overrides if "=" not in text and not text.startswith("~")]
    options.overrides = [text for text in options.overrides if text not in words]
    if len(words) > 1 and all(word in VERBS for word in words):
        raise UsageError(f"two commands were given: {' and '.join(words)}", where="command line", next_step="give one")
    if words and (len(words) > 1 or words[0] not in VERBS):
        stray = next(word for word in words if word not in VERBS)
        raise UsageError(
            f"'{stray}' is neither a command nor an override",
            where="command line",
            why=nearest(stray, VERBS),
            next_step="tflbuild [build|plan|explain|doctor|sensitivity|advise|benchmark] +recipe=NAME [key=value ...],"
            " or inspect MODEL, or targets, or report [SWEEP ...], or cache",
        )
    verb = words[0] if words else "build"
    if verb == "report":
        raise UsageError("report stands first, and takes sweeps", where="command line", next_step=REPORT_USAGE)
    refuse_objectives_without_sweep(options)
    if options.clear and verb != "cache":
        raise UsageError("--clear goes with cache", where="command line", next_step="tflbuild cache --clear")
    if options.as_recipe:
        raise UsageError("--as-recipe goes with inspect", where="command line", next_step=INSPECT_USAGE)
    if options.target is not None:
        raise UsageError("--target goes with inspect", where="command line", next_step="a recipe has target=NAME")
    return verb


def refuse_objectives_without_sweep(options: argparse.Namespace) -> None:
    """Raises UsageError for objectives told of a single variant, which they would do nothing for."""
    told = [text for text in options.overrides if text.lstrip("+").startswith("sweep.")]
    if told and not options.multirun:
        raise UsageError(
            "there is nothing to hold one variant against",
            where=f"command line: {told[0]}",
            next_step="add -m to sweep, or leave it out",
        )


def build(options: argparse.Namespace, arguments: list[str]) -> int:
    """Build one variant or a sweep."""
    from tflbuild.pipeline import batches, sweeps
    from tflbuild.pipeline import build as pipeline
    from tflbuild.report.benchmark import latency_line
    from tflbuild.report.columns import screen_width
    from tflbuild.report.quality_warnings import warning_text
    from tflbuild.report.search import search_text
    from tflbuild.report.summary import label_variants, show_path
    from tflbuild.report.sweeps.standings import sweep_table
    from tflbuild.report.targets import targets_table

    built = batches.build(options.overrides, read_limits(options), multirun=options.multirun)
    prepared, outcomes = built.prepared, built.outcomes
    errors = [error for error in (*(outcome.error for outcome in outcomes), built.stopped) if error]
    ran = any(outcome.ran for outcome in outcomes)
    several = options.multirun or len(outcomes) > 1  # targets that want different artifacts are a sweep of them
    swept = sweeps.write_sweep(arguments, prepared, outcomes) if several else None
    if options.json:
        more = [{}] * len(outcomes) if swept is None else sweeps.variants_json(swept)
        rows_json = [{**_outcome_json(outcome), **told} for outcome, told in zip(outcomes, more, strict=True)]
        print(json.dumps(rows_json, indent=2))
    rows = [outcome.row for outcome in outcomes]
    table = ""
    for outcome, label in zip(outcomes, label_variants(rows), strict=True):
        if outcome.found is not None:
            table += f"search  {label}\n" if several else ""
            table += search_text(outcome.found) + ("\n\n" if several else "\n")
    for outcome, label in zip(outcomes, label_variants(rows), strict=True) if len(rows) <= TOLD_IN_FULL else ():
        judged = targets_table(outcome.row.manifest or {}, screen_width())
        judged += "" if several else latency_line(outcome.row.manifest or {})
        table += (f"{label}\n" if several and judged else "") + judged
    table += sweep_table(swept.sweep) + "\n" if swept is not None else ""
    if not options.json:
        print(table, end="")
    for error in _distinct(errors):
        print(error, file=sys.stderr)
    answer = _last_line(outcomes, several)
    if answer and not options.json:
        print(("built  " if ran else "up to date  ") + answer, flush=True)
    last = "" if swept is None else f"report  {show_path(swept.files[-1])}"
    if last and not options.json:
        print(last, flush=True)
    warnings = warning_text(rows)  # last, where they are seen
    print(warnings, end="", file=sys.stderr)
    if errors:
        return _exit_code(errors)
    if not options.json and built.repeatable:
        files = () if swept is None else swept.files
        told = f"{table}up to date  {answer}" + (f"\n{last}" if last else "")
        pipeline.remember_build(arguments, prepared, outcomes, files, told, warnings)
    return EXIT_DONE


def _distinct(errors: Sequence[TflbuildError]) -> list[TflbuildError]:
    """One of each reason: variants that share a failed step share its error."""
    return list({(error.what, error.why): error for error in reversed(errors)}.values())[::-1]


def _exit_code(errors: list[TflbuildError]) -> int:
    """The variants' own, where they agree; 1 where they failed in different ways."""
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else 1


def _last_line(outcomes: Sequence[Json], multirun: bool) -> str:
    if not multirun:
        return str(outcomes[0].line) if outcomes[0].error is None else ""
    good = [outcome for outcome in outcomes if outcome.error is None]
    if not good:
        return ""
    root = good[0].files[0].parent.parent
    bad = len(outcomes) - len(good)
    return f"{len(good)} of {len(outcomes)} variants in {root}/" + (f", {bad} failed" if bad else "")


def _outcome_json(outcome: Json) -> Json:
    from tflbuild.report.search import search_json

    manifest = outcome.row.manifest
    return {
        "variant": outcome.row.name,
        "result": outcome.row.verdict,
        "ran": outcome.ran,
        "files": [str(file) for file in outcome.files],
        "artifact": None if manifest is None else {k: v for k, v in manifest["artifact"].items() if k != "contents"},
        "metrics": None if manifest is None else manifest["metrics"],
        "targets": None if manifest is None else manifest["targets"],
        "tied_to_cpu": None if manifest is None else manifest["tied_to_cpu"],
        "search": None if outcome.found is None else search_json(outcome.found),
        "error": None if outcome.error is None else str(outcome.error),
    }


def plan(options: argparse.Namespace, _: list[str]) -> int:
    """Print what a build would do."""
    from tflbuild.report.questions.foresight import plan_text

    return _foresee(options, plan_text)


def explain(options: argparse.Namespace, _: list[str]) -> int:
    """Print, for every step that would run, the leaves that changed."""
    from tflbuild.report.questions.foresight import explain_text

    return _foresee(options, explain_text)


def _foresee(options: argparse.Namespace, text: Callable[..., str]) -> int:
    from tflbuild.pipeline import build as pipeline
    from tflbuild.report.questions import foresight

    prepared, previews, store = pipeline.preview_build(options.overrides, multirun=options.multirun)
    reasons = foresight.find_changes(prepared.resolved, prepared.plan, previews, store)
    print(foresight.plan_json(previews, reasons) if options.json else text(previews, reasons))
    searches = [one.recipe.search for one in prepared.resolved if one.recipe.search is not None]
    for search in [] if options.json else searches:
        print(f"then a search: at most {search.trials} artifacts, built one after another and measured")
    errors = _distinct([refused.error for refused in prepared.refused.values()])
    print("".join(f"{line}\n" for line in (*prepared.notes, *errors)), end="", file=sys.stderr)
    return _exit_code(errors) if errors else EXIT_DONE


def require_one_variant(options: argparse.Namespace, verb: str) -> None:
    """Raises UsageError for -m where it has no meaning."""
    if options.multirun:
        raise UsageError(f"{verb} takes one variant", where="command line", next_step="leave out -m")


def doctor(options: argparse.Namespace, arguments: list[str]) -> int:
    """Try what may help a build that fails, and say what works."""
    from tflbuild.commands import doctor as clinic
    from tflbuild.report.questions import diagnosis

    require_one_variant(options, "doctor")
    found = clinic.diagnose(options.overrides, read_limits(options))
    chosen = diagnosis.choose_fix(found.trials)
    if options.json:
        print(diagnosis.as_json(found.problem, found.trials))
    elif not found.problem:
        print("nothing is wrong: the recipe builds as it is, and passes its gates")
    else:
        print(found.problem, file=sys.stderr)
        print(
            diagnosis.make_trial_table(found.trials) if found.trials else "no automatic fix is known for this failure"
        )
        if chosen is not None:
            kept = diagnosis.without_replaced(arguments, chosen)
            print(f"{'works' if chosen.works else 'builds'}  {_as_build(kept, 'doctor')} {chosen.command}")
        elif found.trials:
            print("none of these passes")
    return EXIT_DONE if chosen is not None or not found.problem else 1


def sensitivity(options: argparse.Namespace, _: list[str]) -> int:
    """Say which operators lose most when they are quantized."""
    from tflbuild.commands import inquiry
    from tflbuild.report.outputs import variant_folder, write_page
    from tflbuild.report.questions.charts import sensitivity_page
    from tflbuild.report.questions.sensitivity import sensitivity_text

    require_one_variant(options, "sensitivity")
    answer = inquiry.sensitivity(options.overrides, read_limits(options))
    text = sensitivity_page(answer.found, answer.recipe)
    page = write_page(variant_folder(answer.recipe), "sensitivity.html", text)
    _print_answer(options, answer.found, sensitivity_text(answer.found), page)
    return EXIT_DONE


def advise(options: argparse.Namespace, arguments: list[str]) -> int:
    """Say whether the calibration samples are enough."""
    from tflbuild.commands import inquiry
    from tflbuild.report.outputs import variant_folder, write_page
    from tflbuild.report.questions.advice import advice_text, evaluate_samples
    from tflbuild.report.questions.charts import advice_page

    require_one_variant(options, "advise")
    answer = inquiry.advise(options.overrides, read_limits(options))
    verdict = evaluate_samples(answer.found, answer.recipe, _as_build(arguments, "advise"))
    text = advice_page(answer.found, verdict, answer.recipe)
    page = write_page(variant_folder(answer.recipe), "advice.html", text)
    told = {"enough": verdict.enough, "verdict": verdict.text, "next": verdict.next_step}
    _print_answer(options, {**told, **answer.found}, advice_text(answer.found, verdict), page)
    return EXIT_DONE


def benchmark(options: argparse.Namespace, _: list[str]) -> int:
    """Time the artifact anew."""
    from tflbuild.commands import inquiry
    from tflbuild.report.benchmark import benchmark_text

    require_one_variant(options, "benchmark")
    words = [text for text in options.overrides if "=" not in text and not text.startswith("~")]
    if len(words) > 1:
        raise UsageError("benchmark takes one model", where="command line", next_step=BENCHMARK_USAGE)
    answer = inquiry.benchmark(options.overrides, read_limits(options))
    print(json.dumps(answer.found, indent=2) if options.json else benchmark_text(answer.found))
    return EXIT_DONE


def _print_answer(options: argparse.Namespace, found: Mapping[str, Json], text: str, page: Path) -> None:
    from tflbuild.report.summary import show_path

    print(json.dumps({**found, "page": str(page)}, indent=2) if options.json else f"{text}\nchart  {show_path(page)}")


def _as_build(arguments: Sequence[str], verb: str) -> str:
    """The command line that builds what a verb was asked of."""
    return "tflbuild " + " ".join(shlex.quote(text) for text in arguments if text not in (verb, "--json"))


def inspect(options: argparse.Namespace, _: list[str]) -> int:
    """Say what a model takes and gives, or write its recipe."""
    from tflbuild.commands import inquiry
    from tflbuild.report.columns import screen_width
    from tflbuild.report.questions.model_inspection import inspection_text, proposed_recipe
    from tflbuild.report.targets import targets_text, verdicts_json

    words = [text for text in options.overrides[1:] if not text.startswith("source.")]
    if len(words) != 1:
        raise UsageError("inspect takes one model", where="command line", next_step=INSPECT_USAGE)
    path = words[0]
    overrides = [text for text in options.overrides[1:] if text != path]
    targets = [name for name in (options.target or "").strip("[] ").split(",") if name]
    found = inquiry.inspect(path, overrides, read_limits(options), targets)
    if options.as_recipe:
        print(proposed_recipe(path, found.kind, found.signature, found.contents))
    elif options.json:
        told = {"path": path} | {name: getattr(found, name) for name in ("kind", "signature", "contents", "asks")}
        print(json.dumps(told | ({"targets": verdicts_json(found.verdicts)} if targets else {}), indent=2))
    else:
        print(inspection_text(path, found.kind, found.signature, found.contents, found.asks))
        print("\n" + targets_text(found.verdicts, screen_width()) if targets else "", end="\n" if targets else "")
    return EXIT_DONE


def targets(options: argparse.Namespace, _: list[str]) -> int:
    """List the targets that a recipe may have, and how each is judged on this machine."""
    from tflbuild.commands import inquiry
    from tflbuild.report.targets import listing_json, listing_text

    if options.overrides:
        raise UsageError("targets takes no overrides", where=f"command line: {options.overrides[0]}")
    found = inquiry.list_targets()
    print(json.dumps(listing_json(found), indent=2) if options.json else listing_text(found))
    return EXIT_DONE


def report(options: argparse.Namespace, _: list[str]) -> int:
    """Make the page of sweeps again."""
    from tflbuild.commands.reporting import show_report

    show_report(options)
    return EXIT_DONE


def cache(options: argparse.Namespace, _: list[str]) -> int:
    """Say what the store holds, or empty it."""
    from tflbuild.core.sizes import show_bytes
    from tflbuild.locations import store_root
    from tflbuild.storage.stat_cache import walk_files
    from tflbuild.storage.store import Store, clear

    if options.overrides:
        raise UsageError("cache takes no overrides", where=f"command line: {options.overrides[0]}")
    root = store_root()
    actions = sum(1 for _ in Store(root).records())
    size = sum(file.stat().st_size for file in walk_files(root / "cas"))
    if options.clear:
        clear(root)
    if options.json:
        print(json.dumps({"path": str(root), "results": actions, "bytes": size, "cleared": options.clear}))
    else:
        print(f"{'cleared' if options.clear else 'store'}  {root}  {actions} results, {show_bytes(size)}")
    return EXIT_DONE


def hydra(options: argparse.Namespace, _: list[str]) -> int:
    """Hydra's own views of the configuration: help, config, info, completion."""
    from tflbuild.config.reference import inspection

    inspection.print_view(options, make_parser(), VERBS)
    return EXIT_DONE


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "build": build,
    "plan": plan,
    "explain": explain,
    "doctor": doctor,
    "sensitivity": sensitivity,
    "advise": advise,
    "benchmark": benchmark,
    "inspect": inspect,
    "targets": targets,
    "report": report,
    "cache": cache,
    "hydra": hydra,
}
