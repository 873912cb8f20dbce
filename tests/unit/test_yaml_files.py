import time

import pytest
import yaml

from tflbuild.config.composing.yaml_files import MOST_DEPTH, MOST_VALUES, compose_yaml, load_yaml, read_yaml_text


def aliases(levels, line):
    return "a0: &a0 [x]\n" + "".join(line.format(n=n + 1, m=n) for n in range(levels))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (aliases(40, "a{n}: &a{n} [*a{m}, *a{m}]\n"), "more than 10,000 values"),
        ("a0: &a0 {x: 1}\n" + aliases(40, "b{n}: &a{n} {{<<: [*a{m}, *a{m}], k{n}: 1}}\n")[12:], "more than 10,000"),
        ("a: &a [*a]", "is inside of the value that it names"),
        ("a: &a {b: {<<: *a}}", "is inside of the value that it names"),
        ("a: " + "[" * 5000 + "]" * 5000, "levels deep"),
        ("a: " + "{b: " * 100 + "}" * 100, "levels deep"),
        ("- " * 1000 + "x", "levels deep"),
        ("\n".join(" " * n + "k:" for n in range(100)), "levels deep"),
        ("a: [" + "1," * 2 * MOST_VALUES + "]", "more than 10,000 values"),
        ("a: !!python/object/apply:os.system [id]", "is a tag"),
        ("a: !!timestamp x", "is a tag"),
        ("a: !own x", "is a tag"),
        ("a: !!bool zz", "is a tag"),
        ("!!python/name:os.system a: 1", "is a tag"),
        ("a: " + "9" * 500, "500 digits"),
        ("a: 1" + ":1" * 50_000, "digits"),
        ("a: 99999999999999999999999", "64 bits"),
        ("a: 1e999", "float"),
        ("a: 0x_", "cannot be read"),
        ('a: "\\0"', "null character"),
        ("a: b\0", "U\\+0000"),
        ('a: "\\ud800"', "surrogate"),
        ('"\\udfff": a', "surrogate"),
        ("1: a", "a key must be text"),
        ("null: a", "a key must be text"),
        ("[a]: b", "a key must be text"),
        ("0x10", "must be a mapping.* the value '0x10'"),
        ("- a", "must be a mapping.* a list"),
        ("a: 1\na: 2", "duplicate key"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: *b", "undefined alias"),
        ("a: [", "expected the node content"),
    ],
)
def test_what_no_recipe_has_is_refused_at_once_with_its_line(tmp_path, text, why):
    start = time.monotonic()
    with pytest.raises(yaml.YAMLError, match=why) as refused:
        load_yaml(tmp_path / "x.yaml", text)
    assert time.monotonic() - start < 2
    assert refused.value.problem_mark.name == str(tmp_path / "x.yaml")


def test_what_a_recipe_has_is_read():
    text = "a: &a {b: [1, 2.5, true, null, .inf, 'x']}\nc: {<<: *a, d: !!str 5}\ne: *a\nf: \"\\e\U0001f600\"\n"
    inner = {"b": [1, 2.5, True, None, float("inf"), "x"]}
    assert load_yaml("x", text) == {"a": inner, "c": {**inner, "d": "5"}, "e": inner, "f": "\033\U0001f600"}
    assert load_yaml("x", "") == load_yaml("x", "# only a comment") == load_yaml("x", "null") == {}
    depth = MOST_DEPTH - 2
    assert load_yaml("x", "a: " + "[" * depth + "]" * depth)
    assert compose_yaml("", "x") is None


@pytest.mark.parametrize(
    ("content", "why"), [(b"a: \xff", "not UTF-8"), ("a: b".encode("utf-16"), "not UTF-8"), (b"a" * 300_000, "bytes")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, why):
    place = tmp_path / "x.yaml"
    place.write_bytes(content)
    with pytest.raises(yaml.YAMLError, match=why) as refused:
        read_yaml_text(place)
    assert refused.value.problem_mark.name == str(place)
