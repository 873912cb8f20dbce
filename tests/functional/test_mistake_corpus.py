"""The mistakes of the corpus, made on the real command line: each is refused at once with the text that it says."""

from __future__ import annotations

import pytest
from commandline import CODES
from corpus_of_mistakes import MISTAKES
from refusals import refusal_of


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_refused(project, mistake):
    for name, text in mistake.files.items():
        project.write(name, text)
    ran = project.run(*mistake.arguments)
    refusal = refusal_of(ran)
    assert mistake.text in refusal.text
    assert ran.code == mistake.code == CODES[refusal.kind]
    assert ran.steps == {}
