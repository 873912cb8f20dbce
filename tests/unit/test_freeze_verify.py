"""What gates may be told, and what they refuse."""

from dataclasses import fields

import pytest
from freezing import frozen, refused

from tflbuild.config.freezing.freeze_verify import POSSIBLE
from tflbuild.config.schema import schema_verify

PARITY = ("source.path=net.keras", "verify=parity", "verify.dataset.path=test.npz")
LABELLED = ("source.path=net.keras", "verify=classification", "verify.dataset.path=t.npz", "verify.dataset.label=l")

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.mark.parametrize("gate", ["top1=0.9", "top1_drop=0.01", "agreement=0.9"])
def test_a_confidence_applies_to_any_gate_on_an_accuracy(gate):
    verify = frozen(*LABELLED, f"verify.gates.{gate}", "verify.gates.confidence=0.95").verify
    assert verify.confidence == 0.95 and [name for name, _ in verify.gates] == [gate.partition("=")[0]]
    assert frozen(*LABELLED, f"verify.gates.{gate}").verify.confidence is None


@pytest.mark.parametrize(("recipe", "gates"), [(PARITY, ["snr_db=20"]), (LABELLED, ["bytes=9000"]), (LABELLED, [])])
def test_a_confidence_without_a_gate_on_an_accuracy_is_refused(recipe, gates):
    error = refused(*recipe, *(f"verify.gates.{gate}" for gate in gates), "verify.gates.confidence=0.95")
    assert error.what == "'verify.gates.confidence' has no gate that it applies to"
    assert "top1_drop" in error.why and error.where.startswith("command line: verify.gates.confidence")


@pytest.mark.parametrize("value", ["0.4", "1", "95"])
def test_a_confidence_is_a_share(value):
    error = refused(*LABELLED, "verify.gates.top1=0.9", f"verify.gates.confidence={value}")
    assert "verify.gates.confidence" in error.where and "from 0.5 to less than 1" in str(error)


def test_every_gate_has_a_range() -> None:
    """A gate that any number is accepted for would always or never be met."""
    names = {field.name for field in fields(schema_verify.Gates)} - {"outputs", "at_least", "at_most", "confidence"}
    assert names - POSSIBLE.keys() == {"snr_db"}  # a ratio in dB has no bounds
