"""Which operators lie in a delegate's piece, told from lists as the runtime gives them."""

from tflbuild.tflite.delegate_partitions import place


def op(index, name, inputs, outputs):
    return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}


CHAIN = [op(0, "LOGISTIC", [0], [1]), op(1, "SIGN", [1], [2]), op(2, "ABS", [2], [3]), op(3, "NEG", [3], [4])]


def test_members_are_what_lies_between_outputs_and_inputs():
    found = place([*CHAIN, op(4, "DELEGATE", [0], [1]), op(5, "DELEGATE", [2], [4])], [4])
    assert found.pieces == ((0,), (2, 3))
    assert found.left == (1,)
    assert found.unknown == ()
    assert found.taken == 3


def test_without_a_delegate_all_are_left():
    assert place(CHAIN, [4]).left == (0, 1, 2, 3)


def test_branches_within_a_piece_belong_to_it():
    diamond = [
        op(0, "RELU", [0], [1]),
        op(1, "ABS", [1], [2]),
        op(2, "NEG", [1], [3]),
        op(3, "ADD", [2, 3, 9], [4]),
    ]
    assert place([*diamond, op(4, "DELEGATE", [0, 9], [4])], [4]).pieces == ((0, 1, 2, 3),)


def test_optional_inputs_lead_nowhere():
    found = place([op(0, "FULLY_CONNECTED", [0, 5, -1], [1]), op(1, "DELEGATE", [0, 5], [1])], [1])
    assert found.pieces == ((0,),)


def test_what_nothing_uses_is_unknown():
    dead = [*CHAIN, op(4, "EXP", [1], [7]), op(5, "LOG", [7], [8])]
    found = place([*dead, op(6, "DELEGATE", [0], [1]), op(7, "DELEGATE", [2], [4])], [4])
    assert found.unknown == (4, 5)
    assert found.left == (1,)


def test_an_output_that_is_not_used_does_not_hide_its_operator():
    split = [op(0, "SPLIT", [0], [1, 2]), op(1, "SIGN", [2], [3])]
    found = place([*split, op(2, "DELEGATE", [0], [2])], [3])
    assert found.pieces == ((0,),)
    assert found.left == (1,)
