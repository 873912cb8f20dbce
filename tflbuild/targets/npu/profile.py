"""The NPUs that LiteRT compiles for ahead of time: vendors, their SoCs as LiteRT names them, and what each needs.

No vendor publishes which operators its compiler takes: there is no table of them here. What is known of an artifact
comes from the vendor's own compiler plugin, which LiteRT brings, and from its SDK, which it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

NIGHTLY = "-nightly"


@dataclass(frozen=True)
class NpuVendor:
    """A maker of NPUs.

    `backend` is the name of LiteRT's module for it, `socs` its SoCs. `sdk` is the package that brings the vendor's
    compiler (its nightly releases are of another name), `needs` are packages that it brings along, without which
    LiteRT's plugin cannot be loaded. `elsewhere` is the option by which the plugin compiles for something else than
    the NPU.
    """

    name: str
    title: str
    backend: str
    socs: tuple[str, ...]
    sdk: str
    needs: tuple[str, ...] = ()
    elsewhere: str = ""

    def to_prove(self) -> str:
        """What to install, and what then happens."""
        return f"pip install {self.sdk} (its installation fetches {self.title}'s own files, under {self.title}'s terms)"


_MEDIATEK = (
    *("MT6853", "MT6877", "MT6878", "MT6879", "MT6886", "MT6893", "MT6895", "MT6897", "MT6983", "MT6985", "MT6989"),
    *("MT6991", "MT6993", "MT8171", "MT8188", "MT8189"),
)

VENDORS: dict[str, NpuVendor] = {
    vendor.name: vendor
    for vendor in (
        NpuVendor(
            "qualcomm",
            "Qualcomm",
            "qualcomm",
            ("SA8255", "SA8295", "SM8350", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8845", "SM8850"),
            "ai-edge-litert-sdk-qualcomm",
        ),
        NpuVendor("mediatek", "MediaTek", "mediatek", _MEDIATEK, "ai-edge-litert-sdk-mediatek"),
        NpuVendor(
            "google_tensor",
            "Google Tensor",
            "google_tensor",
            ("Tensor_G3", "Tensor_G4", "Tensor_G5", "Tensor_G6"),
            "ai-edge-litert-sdk-google-tensor",
        ),
        NpuVendor(
            "intel_openvino",
            "Intel",
            "intel_openvino",
            ("LNL", "PTL"),
            "ai-edge-litert-sdk-intel",
            needs=("openvino",),
            elsewhere="intel_openvino_graph_backends",
        ),
        NpuVendor("samsung", "Samsung", "samsung", ("E9965",), f"ai-edge-litert-sdk-samsung{NIGHTLY}"),
    )
}


def installed(vendor: NpuVendor) -> Mapping[str, str]:
    """Versions by package, of those that the vendor's compiler needs and that are installed; none is imported.

    That a package is there does not mean that its files are: it fetches them while it is installed, or does not.
    """
    base = vendor.sdk.removesuffix(NIGHTLY)
    found = {}
    for name in (base, f"{base}{NIGHTLY}", *vendor.needs):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
