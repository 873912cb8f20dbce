"""Which scales before a SOFTMAX, and behind a SUM, lose what they should hold."""

import pytest

from tflbuild.steps.checking.unrepresentable_values import check_lost_values
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def findings(scores, step, kind="int8", mask="ADD"):
    """Of SOFTMAX(mask(scores, constant)), with the scales of the scores and of what SOFTMAX reads."""
    scales = (("scores", scores), ("mask", step), ("masked", step), ("y", 1 / 256))
    tensors = tuple(Tensor(name, kind, (1, 4), 4, name == "mask", (scale,), (0,), 0) for name, scale in scales)
    ops = (Operator(mask, 1, False, (0, 1), (2,)), Operator("SOFTMAX", 1, False, (2,), (3,)))
    return list(check_lost_values(Model(0, (Subgraph("main", tensors, ops, (0,), (3,)),), ())))


@pytest.mark.parametrize("step", [4e6, 39.0])
def test_scores_of_few_steps_beside_a_mask_are_lost(step):
    (finding,) = findings(0.08, step)
    assert "scores vanish beside 'mask'" in finding.text
    assert finding.operators == (("SOFTMAX", "y"), ("ADD", "masked"))


@pytest.mark.parametrize("step", [0.1, 0.45])
def test_a_mask_near_the_scores_is_fine(step):
    assert findings(0.08, step) == []


def test_scores_in_the_scale_of_a_selected_mask_are_lost():
    assert findings(4e6, 4e6, mask="SELECT_V2")
    assert findings(1.3e36, 1.3e36, kind="int16", mask="SELECT_V2")


def test_what_masks_nothing_is_left_alone():
    assert findings(0.08, 4e6, mask="FULLY_CONNECTED") == []
