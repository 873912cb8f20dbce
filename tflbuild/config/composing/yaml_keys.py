"""Find the lines and the values of dotted keys in YAML files, for error messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tflbuild.config.composing.yaml_files import compose_yaml, read_yaml_text


def find_line(file: Path, key: str) -> int | None:
    """Return the line (from 1) of a dotted key in a YAML file, or the line of its nearest parent."""
    line = None
    for name, _ in walk_key(file, key):
        line = name.start_mark.line + 1
    return line


def find_node(file: Path, key: str) -> yaml.Node | None:
    """Return the value of a dotted key in a YAML file."""
    pairs = list(walk_key(file, key))
    return pairs[-1][1] if len(pairs) == len(key.split(".")) else None


def walk_key(file: Path, key: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield (name, value) of each part of a dotted key, as far as the file has it."""
    try:
        node = compose_yaml(read_yaml_text(file), str(file))
    except yaml.YAMLError:
        return
    for part in key.split("."):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        match = next(((name, value) for name, value in pairs if name.value == part), None)
        if match is None:
            return
        yield match
        node = match[1]


def find_word(file: Path, word: str) -> int | None:
    """Return the first line (from 1) that contains a word, for names in a defaults list."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w.])")
    try:
        lines = read_yaml_text(file).splitlines()
    except yaml.YAMLError:
        return None
    return next((number for number, line in enumerate(lines, 1) if pattern.search(line.partition("#")[0])), None)
