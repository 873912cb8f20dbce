"""The types of the corpus of faults: see `fault_corpus.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PLACES = {
    "recipe": "Mistakes in a recipe or on the command line",
    "dataset": "Data, and faults planted in the dataset reader",
    "import": "Faults planted in `import`",
    "converter": "Faults planted in the converter",
    "quantizer": "Faults planted in the quantizer",
    "annotate": "Faults planted in `annotate`",
    "code": "The user's own code",
    "store": "Store, files and processes",
}


@dataclass(frozen=True, kw_only=True)
class CorpusFault:
    """A fault that a build catches.

    Attributes:
        name: Unique; of a fault in a worker the function's name in `planted_faults.py`.
        place: Where it is planted: a key of PLACES.
        what: What is wrong, in one plain sentence without a full stop.
        code: The exit code of a command that builds the faulty variant alone.
        text: What the error or the warning holds.
        caught_by: The stage or step that catches it.
    """

    name: str
    place: str
    what: str
    text: str
    caught_by: str
    code: int = 1


@dataclass(frozen=True, kw_only=True)
class PlantedFault(CorpusFault):
    """A fault in a worker of a real build.

    Attributes:
        mark: What chooses the fault: a copy of the source's `model`, the `signature`, `metadata`, or the dataset that
            is `calibrated` or `evaluated` with.
        source: The file of the source, as make_declared.py writes it.
        options: The options of the recipe's groups, as words `group=option`.
        sections: Further sections of the recipe.
        signature: Further keys of its section `signature`, as flow YAML.
    """

    mark: str
    source: str
    options: str = "verify=none"
    sections: tuple[str, ...] = ()
    signature: str = ""


@dataclass(frozen=True, kw_only=True)
class Mistake(CorpusFault):
    """A mistake of a person, made on the real command line.

    Attributes:
        arguments: The command's arguments.
        files: Files of the project's folder by name, as text.
    """

    arguments: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict, hash=False)
    code: int = 2


@dataclass(frozen=True, kw_only=True)
class TestedElsewhere(CorpusFault):
    """A fault that a test of its own plants: `test` is its file and name, from the folder `tests`."""

    __test__ = False

    test: str


@dataclass(frozen=True, kw_only=True)
class Uncaught:
    """A fault that no build can catch, why, and what a person can do about it."""

    what: str
    why: str
    remedy: str
