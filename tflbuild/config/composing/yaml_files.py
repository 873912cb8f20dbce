"""Read YAML that a stranger may have written, in bounded time and memory: recipes and a project's own options.

PyYAML and OmegaConf have no limits of their own. A page of nested aliases stands for billions of values, and nesting
exhausts the stack. The composer below counts depth and values before a value is made, and what an alias repeats too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf._utils import get_yaml_loader

from tflbuild.core.untrusted_files import BadContentError, find_invalid_value, read_text

MOST_BYTES = 256 << 10  # PyYAML reads about 200,000 a second
MOST_VALUES = 10_000  # OmegaConf makes about 3,000 a second
MOST_DEPTH = 30
MOST_DIGITS = 100  # of a number; int() takes quadratic time
TAG = "tag:yaml.org,2002:"
KNOWN_TAGS = {None, "", "!", TAG + "str"}
NUMBERS = {TAG + "int", TAG + "float"}


class NotYamlError(yaml.MarkedYAMLError):
    """A YAML text that is refused. The mark says where."""

    def __init__(self, problem: str, mark: Any = None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class BoundedLoader(get_yaml_loader()):  # type: ignore[misc]
    """OmegaConf's loader, which refuses what is too deep, too much, or no plain value."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}  # id of a composed node -> how many values it stands for

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
            raise NotYamlError(f"the alias '*{event.anchor}' stands within what it names", mark)
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
            _require_sound(value, node)
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
                raise NotYamlError(f"a key is text, and {text} is none: quote it", key.start_mark)
    elif isinstance(node, yaml.ScalarNode):
        if node.tag in NUMBERS and len(node.value) > MOST_DIGITS:
            raise NotYamlError(f"a number has {len(node.value):,} digits", node.start_mark)
        if "\0" in node.value:
            raise NotYamlError("a text has a null character", node.start_mark)
        _require_sound(node.value, node)


def _require_sound(value: object, node: yaml.Node) -> None:
    if why := find_invalid_value(value):
        raise NotYamlError(why, node.start_mark)


def compose_yaml(text: str, name: str) -> yaml.Node | None:
    """Return the nodes of a YAML text, None for an empty one. Raises yaml.YAMLError for what is no YAML or refused.

    `name` is what marks call the text, the path of its file.
    """
    loader = _open_loader(text, name)
    return cast("yaml.Node | None", loader.get_single_node())


def load_yaml(file: Path, text: str) -> dict[str, Any]:
    """Return the plain values of a file's text; an empty one is an empty mapping.

    Raises yaml.YAMLError for what is no YAML, for what is refused, and for a page that is no mapping.
    """
    loader = _open_loader(text, str(file))
    node = loader.get_single_node()
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == TAG + "null"):
        return {}
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else f"the value '{node.value!s:.40}'"
        raise NotYamlError(f"the page is no mapping of keys to values, but {kind}", node.start_mark)
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
    """Return the text of a YAML file. Raises yaml.YAMLError for what cannot be read or is not UTF-8 text."""
    try:
        return read_text(file, MOST_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
    except BadContentError as error:
        why = str(error)
    raise NotYamlError(f"cannot read it: {why}", yaml.Mark(str(file), 0, 0, 0, None, 0))
