from tflbuild.report.questions.sensitivity_text import sensitivity_text
from tflbuild.report.text_table import shorten

FOUND = {
    "scheme": "int8",
    "samples": 1200,
    "operators": [
        {"name": "block/conv (1);fused", "operator": "CONV_2D", "snr_db": 20.0, "rmse": 0.1, "share": 0.8},
        {"name": "out", "operator": "SOFTMAX", "snr_db": 40.0, "rmse": 0.05, "share": 0.2},
    ],
    "left": [{"name": "neg", "operator": "NEG"}],
}


def test_the_worst_comes_first_with_a_bar_and_the_rule_that_spares_it():
    assert sensitivity_text(FOUND).splitlines() == [
        "SNR dB  RMSE  share                        operator  name",
        "  20.0   0.1  80.0%  ####################  CONV_2D   block/conv (1)",
        "  40.0  0.05  20.0%  #####                 SOFTMAX   out",
        "each of 2 operators alone as int8, 1,200 samples",
        "left in float, the scheme has nothing for them: NEG",
        "to spare the worst: 'quantization.rules=[{match: \"block/conv\\ \\(1\\)\", scheme: float32}]'",
    ]


def test_nothing_to_quantize_is_said_so():
    assert sensitivity_text(FOUND | {"operators": []}).splitlines()[1].startswith("each of 0 operators")


def test_a_long_name_keeps_its_ends():
    name = "a" * 50 + "/" + "b" * 50
    assert len(shorten(name)) <= 60
    assert shorten(name).startswith("aaa") and shorten(name).endswith("bbb") and "..." in shorten(name)
