"""The step `prove_npu`: LiteRT compiles the artifact ahead of time, with a vendor's plugin and SDK.

LiteRT contains a compiler plugin for each vendor, which selects the supported operators, and the program that runs it
(`apply_plugin_main`). The SDK that compiles them is the vendor's. If the SDK is incomplete, the plugin may still select
operators. Then the supported operators are known, but not whether they compile.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ai_edge_litert.aot.core import aot_types, common, components
from ai_edge_litert.aot.vendors import import_vendor

from tflbuild.core.verdict import PROVEN, UNPROVEN, Fallback, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError, end_with_parent
from tflbuild.targets.common.cpu_comparison import write_verdict
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.targets.npu.profile import VENDORS, NpuVendor
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_model

PROGRAM = Path("tools/apply_plugin_main")
# The operator by which LiteRT's compiler replaces a partition.
DISPATCH = "DISPATCH_OP"
NPU = "npu"
TIMEOUT_S = 600
_TROUBLE = re.compile(r"(?:ERROR|Error|Exception|cannot open shared object|Could not load)")
_FOLDERS = re.compile(r"/(?:[^/\s:\"]+/)+")
_PREFIX = re.compile(r"^\W*(?:(?:ERROR|WARNING|INFO): )?(?:\[[^\]]*\] ?)?")


@dataclass(frozen=True)
class PluginSelection:
    """The operators of a model that a plugin left to the CPU, and the number of its partitions."""

    left: tuple[OperatorView, ...]
    partitions: int


class Plugin(components.ApplyPluginT):  # type: ignore[misc]
    """LiteRT's program as a component of its ahead-of-time compiler. `said` is its output.

    With the command `apply` it selects and compiles, with `partition` it only selects. Unlike LiteRT's own component it
    has a time limit and keeps the output.
    """

    def __init__(self, command: str, folder: Path, target: Mapping[str, Any]) -> None:
        self.command, self.folder, self.name = command, folder, str(target["name"])
        self.options, self.seconds = _options(target), int(target.get("timeout_s", TIMEOUT_S))
        self.said, self.done = "", False

    def __call__(
        self,
        input_model: Any,
        output_model: Any,
        soc_manufacturer: str,
        soc_model: str,
        sdk_libs_path: str | None = None,
        **flags: Any,
    ) -> None:
        """Run the program. LiteRT's backend for the vendor provides the libraries."""
        options = {"cmd": self.command, "model": input_model.path, "o": output_model.path, "err": "--"}
        options |= {"soc_manufacturer": soc_manufacturer, "soc_model": soc_model, **flags, **self.options}
        paths = [path for path in (sdk_libs_path, common.construct_ld_library_path()) if path]
        try:
            done = subprocess.run(
                [str(common.get_resource(PROGRAM)), *(f"--{name}={value}" for name, value in options.items())],
                cwd=self.folder,
                env={**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(paths)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=self.seconds,
                preexec_fn=end_with_parent,
            )
        except subprocess.TimeoutExpired as late:
            raise WorkerError(
                f"the NPU's compiler was not done in {self.seconds} s",
                kind="build",
                next_step=f"more time: target.{self.name}.timeout_s; or a smaller model",
            ) from late
        self.said = done.stdout
        path = output_model.path
        self.done = done.returncode == 0 and path.is_file() and path.stat().st_size > 0
        print(self.said)


def run(request: StepRequest) -> Facts:
    """Compile the artifact, and write verdict.json, and in compiled/ one model for each SoC.

    Args:
        request: `params.target` has the `name`, `vendor` and `soc` ("" for every SoC of the vendor), and optionally
            `options` (flags of the vendor's plugin by name) and `timeout_s`. `params.tool` has `sdk`, the versions of
            the vendor's installed packages by name.

    Returns:
        The fact `verdict`.

    Raises:
        WorkerError: The compiler exceeded its time limit.
    """
    target, sdk = request.params["target"], request.params["tool"].get("sdk", {})
    vendor = VENDORS[target["vendor"]]
    (request.outputs / "compiled").mkdir()
    model = read_model(request.inputs["model"])
    verdict = Verdict(
        target=target["name"],
        proof=UNPROVEN,
        how=f"{vendor.title} publishes no list of operators, and its SDK is not installed",
        device=f"{vendor.title} {target['soc']}".strip(),
        ops=sum(len(graph.ops) for graph in model.subgraphs),
        to_prove=vendor.to_prove(),
    )
    if not sdk:
        return write_verdict(request, verdict)
    socs = (target["soc"],) if target["soc"] else vendor.socs
    tried = [try_soc(request, vendor, soc, model, replace(verdict, device=f"{vendor.title} {soc}")) for soc in socs]
    return write_verdict(request, least(tried))


def least(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict that is valid for all SoCs: the weakest one. Its `notes` mention all of them."""
    worst = min(
        verdicts,
        key=lambda verdict: (verdict.proof == PROVEN, -1 if verdict.on_delegate is None else verdict.on_delegate),
    )
    if len(verdicts) == 1:
        return worst
    return replace(worst, notes=(*worst.notes, *(f"{verdict.device}: {_counted(verdict)}" for verdict in verdicts)))


def _counted(verdict: Verdict) -> str:
    taken = "unknown" if verdict.on_delegate is None else str(verdict.on_delegate)
    return f"{verdict.proof}, {taken} of {verdict.ops} operators"


def try_soc(request: StepRequest, vendor: NpuVendor, soc: str, model: Model, verdict: Verdict) -> Verdict:
    """Return the verdict for one SoC: of the vendor's compiler, or else of its plugin."""
    by = _versions(request.params["tool"]["sdk"])
    applied, path = _call(request, vendor, soc, "apply")
    if path is not None:
        shutil.copyfile(path, request.outputs / "compiled" / f"model_{soc}.tflite")
        elsewhere = str(_options(request.params["target"]).get(vendor.elsewhere, NPU)) if vendor.elsewhere else NPU
        made = "compiled for it" if elsewhere == NPU else f"compiled for {elsewhere}, not for the NPU,"
        done = replace(
            verdict,
            proof=PROVEN if elsewhere == NPU else UNPROVEN,
            how=f"{made} by LiteRT's ahead-of-time compiler ({by}); not run there",
            runs=True if elsewhere == NPU else None,
            figures={"compiled_bytes": float(path.stat().st_size)},
            to_prove="" if elsewhere == NPU else f"leave out {vendor.elsewhere} of target.{verdict.target}.options",
        )
        return _selected(done, vendor, select(model, read_model(path)))
    why = explain(applied.said)
    _, path = _call(request, vendor, soc, "partition")
    if path is None:
        return replace(verdict, how=f"{vendor.title}'s compiler cannot be loaded ({by}): {why}")
    told = replace(verdict, how=f"{vendor.title}'s plugin selected operators ({by}); not compiled: {why}")
    return _selected(told, vendor, select(model, read_model(path)))


def select(model: Model, compiled: Model) -> PluginSelection:
    """Return the operators of a model that are still in the compiled model. New subgraphs follow the model's own."""
    left: list[OperatorView] = []
    partitions = 0
    for number, graph in enumerate(model.subgraphs):
        stays = {(view.op.name, view.layer) for view in each_view(compiled) if view.subgraph == number}
        left += [view for view in each_view(model) if view.subgraph == number and (view.op.name, view.layer) in stays]
        partitions += sum(1 for op in compiled.subgraphs[number].ops if op.name == DISPATCH) if graph.ops else 0
    return PluginSelection(tuple(left), partitions)


def explain(said: str) -> str:
    """Return the first error message of the program, without folders of this machine."""
    lines = [line for line in said.splitlines() if _TROUBLE.search(line)]
    deepest = [line for line in lines if "cannot open" in line or "annot load" in line] or lines
    return _FOLDERS.sub("", _PREFIX.sub("", deepest[0].strip())) if deepest else "it gave no reason"


def _selected(verdict: Verdict, vendor: NpuVendor, selection: PluginSelection) -> Verdict:
    return replace(
        verdict,
        on_delegate=verdict.ops - len(selection.left),
        partitions=selection.partitions,
        fallbacks=tuple(
            Fallback(
                op=view.op.name,
                layer=view.layer,
                reason=f"{vendor.title}'s compiler plugin does not take it, and gives no reason",
                index=view.index,
                subgraph=view.subgraph,
            )
            for view in selection.left
        ),
    )


def _call(request: StepRequest, vendor: NpuVendor, soc: str, command: str) -> tuple[Plugin, Path | None]:
    """Run the program, and return it with the path of its model, None if it wrote none."""
    folder = request.folder / f"{command}_{soc}"
    folder.mkdir()
    shutil.copyfile(request.inputs["model"], folder / "model.tflite")
    plugin, path = Plugin(command, folder, request.params["target"]), folder / "out.tflite"
    _backend(vendor, soc).call_component(
        aot_types.Model.create_from_path(folder / "model.tflite"), aot_types.Model.create_from_path(path), plugin
    )
    return plugin, path if plugin.done else None


def _options(target: Mapping[str, Any]) -> Mapping[str, str]:
    options: Mapping[str, str] = target.get("options", {})
    return options


def _backend(vendor: NpuVendor, soc: str) -> Any:
    place = f"ai_edge_litert.aot.vendors.{vendor.backend}"
    importlib.import_module(f"{place}.{vendor.backend}_backend")
    names = importlib.import_module(f"{place}.target")
    config = aot_types.CompilationConfig(target=names.Target(names.SocModel(soc))).to_dict()
    return import_vendor.import_vendor(config["backend_id"]).create(config)


def _versions(sdk: Mapping[str, str]) -> str:
    packages = {"ai-edge-litert": metadata.version("ai-edge-litert"), **sdk}
    return ", ".join(f"{name} {version}" for name, version in packages.items())
