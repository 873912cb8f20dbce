"""Read untrusted YAML in bounded time and memory: recipes and a project's own options.

PyYAML and OmegaConf have no limits of their own. Nested aliases can mean billions of values, and deep nesting exhausts
the stack. The loader below counts depth and values, including those that aliases repeat, before it makes a value.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf._utils import get_yaml_loader

from tflbuild.core.untrusted_files import BadContentError, find_invalid_value, read_text

# PyYAML reads about 200,000 bytes a second.
MOST_BYTES = 256 << 10
# OmegaConf makes about 3,000 values a second.
MOST_VALUES = 10_000
MOST_DEPTH = 30
# The maximum number of digits of a number. int() takes quadratic time.
MOST_DIGITS = 100
TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = {None, "", "!", TAG + "str"}
NUMBERS = {TAG + "int", TAG + "float"}


class NotYamlError(yaml.MarkedYAMLError):
    """A YAML text was refused. The mark has the line."""

    def __init__(self, problem: str, mark: Any = None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class BoundedLoader(get_yaml_loader()):  # type: ignore[misc]
    """OmegaConf's loader, which refuses texts that are nested too deeply, too large, or not plain values."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        # Maps the id of a composed node to the number of values in it, with repetitions by aliases.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        mark = event.start_mark
        if getattr(event, "tag", None) not in KNOWN_TAGS:
            raise NotYamlError(f"a recipe has plain values, and '{event.tag}' is a tag", mark)
        if self._depth >= MOST_DEPTH:
            raise NotYamlError(f"it is nested more than {MOST_DEPTH} levels deep", mark)
        alias = isinstance(event, yaml.AliasEvent)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise NotYamlError(f"the alias '*{event.anchor}' is inside of the value that it names", mark)
        if not alias:
            _require_plain(node)
            self._sizes[id(node)] = 1 + sum(self._sizes[id(part)] for part in _parts(node))
        self._values += self._sizes[id(node)] if alias else 1
        if self._values > MOST_VALUES:
            raise NotYamlError(f"it has more than {MOST_VALUES:,} values, those that aliases repeat included", mark)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise NotYamlError(f"'{node.value!s:.40}' cannot be read: {error}", node.start_mark) from None
        if node.tag in NUMBERS and ".inf" not in node.value.lower() and ".nan" not in node.value.lower():
            _require_valid(value, node)
        return value


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _require_plain(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, _ in node.value:
            if key.tag not in (TAG + "str", TAG + "merge"):
                text = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise NotYamlError(f"a key must be text, and {text} is not: quote it", key.start_mark)
    elif isinstance(node, yaml.ScalarNode):
        if node.tag in NUMBERS and len(node.value) > MOST_DIGITS:
            raise NotYamlError(f"a number has {len(node.value):,} digits", node.start_mark)
        if "\0" in node.value:
            raise NotYamlError("a text has a null character", node.start_mark)
        _require_valid(node.value, node)


def _require_valid(value: object, node: yaml.Node) -> None:
    if reason := find_invalid_value(value):
        raise NotYamlError(reason, node.start_mark)


def compose_yaml(text: str, name: str) -> yaml.Node | None:
    """Return the nodes of a YAML text, or None for an empty text.

    Args:
        text: The text.
        name: The path of its file, for error messages.

    Raises:
        yaml.YAMLError: for a text that is not YAML, or that is refused.
    """
    loader = _open_loader(text, name)
    return cast("yaml.Node | None", loader.get_single_node())


def load_yaml(file: Path, text: str) -> dict[str, Any]:
    """Return the plain values of a YAML text. An empty text is an empty mapping.

    Args:
        file: The path of its file, for error messages.
        text: The text.

    Raises:
        yaml.YAMLError: for a text that is not YAML, that is refused, or that is not a mapping.
    """
    loader = _open_loader(text, str(file))
    node = loader.get_single_node()
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == TAG + "null"):
        return {}
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else f"the value '{node.value!s:.40}'"
        raise NotYamlError(f"the page must be a mapping of keys to values, and it is {kind}", node.start_mark)
    return cast("dict[str, Any]", loader.construct_document(node))


def _open_loader(text: str, name: str) -> Any:
    try:
        loader = BoundedLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        raise NotYamlError(
            f"it has the character U+{error.character:04X}, which YAML does not allow",
            yaml.Mark(name, error.position, line, 0, None, 0),
        ) from None
    loader.name = name
    return loader


def read_yaml_text(file: Path) -> str:
    """Return the text of a YAML file.

    Raises:
        yaml.YAMLError: for a file that cannot be read or is not UTF-8.
    """
    try:
        return read_text(file, MOST_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
    except BadContentError as error:
        reason = str(error)
    raise NotYamlError(f"cannot read it: {reason}", yaml.Mark(str(file), 0, 0, 0, None, 0))
