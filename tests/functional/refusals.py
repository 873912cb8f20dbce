"""What an error on standard error must look like, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from commandline import CODES

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "tflbuild" / "assets" / "fashion_mobilenet"
RECIPE = "+recipe=mobilenet_int8"
INTERNALS = re.compile(r"raised while|DictConfig|ListConfig|ConfigKeyError|ValidationError|<class |object at 0x")


@dataclass(frozen=True)
class Refusal:
    """The one error of a command."""

    kind: str
    what: str
    where: str
    why: str
    next: str
    text: str


def refusal_of(ran) -> Refusal:
    """The error of a command that failed, held to the shape that every error has."""
    lines = ran.err.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("error[")]
    assert len(starts) == 1, f"one error, not {len(starts)}:\n{ran.err}"
    first, *rest = lines[starts[0] :]
    text = "\n".join([first, *rest])
    head = re.fullmatch(r"error\[(\w+)\]: (\S.*)", first)
    assert head, text
    parts: dict[str, str] = {}
    for line in rest:
        label = re.fullmatch(r"  (?:where: |why:   |next:  )(\S.*)", line)
        if label:
            name = line.split(":")[0].strip()
            assert name not in parts, text
            parts[name] = label[1]
        else:
            assert line.startswith(" " * 9) and line.strip() and parts, text
            parts[list(parts)[-1]] += "\n" + line[9:]
    assert list(parts) == [name for name in ("where", "why", "next") if name in parts], text
    assert not INTERNALS.search(text), text
    assert ran.code == CODES[head[1]], f"exit code {ran.code} for\n{text}"
    return Refusal(head[1], head[2], parts.get("where", ""), parts.get("why", ""), parts.get("next", ""), text)


def refused_at_once(ran, kind: str = "recipe") -> Refusal:
    """The same of a command that was refused before any step: the error is all that it says."""
    found = refusal_of(ran)
    assert found.kind == kind, found.text
    assert ran.steps == {} and ran.out == ""
    assert ran.err.rstrip("\n") == found.text
    return found


def failed_in(ran, step: str, kind: str = "recipe") -> Refusal:
    """The same of a command of which this step failed, and none was built."""
    found = refusal_of(ran)
    assert found.kind == kind, found.text
    assert ran.steps[step] == "failed", ran.err
    assert "built" not in ran.out
    return found
