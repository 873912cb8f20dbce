"""The NPUs for which LiteRT compiles ahead of time: vendors, their SoCs by LiteRT's names, and what each needs.

No vendor publishes the operators that its compiler supports, so there is no support table. What is known of an artifact
comes from the vendor's compiler plugin, which LiteRT contains, and from its SDK, which must be installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

NIGHTLY = "-nightly"


@dataclass(frozen=True)
class NpuVendor:
    """A vendor of NPUs.

    Attributes:
        name: The name in recipes.
        title: The name in texts.
        backend: LiteRT's module for the vendor.
        socs: Its SoCs.
        sdk: The package with the vendor's compiler. Nightly releases have another name.
        needs: Other packages without which LiteRT's plugin cannot be loaded.
        elsewhere: The option with which the plugin compiles for something else than the NPU.
    """

    name: str
    title: str
    backend: str
    socs: tuple[str, ...]
    sdk: str
    needs: tuple[str, ...] = ()
    elsewhere: str = ""

    def to_prove(self) -> str:
        """Return what to install for a proof."""
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
    """Return the versions of the installed packages that the vendor's compiler needs. None is imported.

    An installed package does not imply that its files exist: it downloads them during the installation, or fails to.
    """
    base = vendor.sdk.removesuffix(NIGHTLY)
    found = {}
    for name in (base, f"{base}{NIGHTLY}", *vendor.needs):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
