# SPDX-License-Identifier: MIT OR Apache-2.0
"""The code blocks of the documents. Above each stands a comment that says what becomes of it:

    <!-- run: name -->            a test takes it with block("docs/x.md", "name") and runs it
    <!-- starts -->               lines of a configuration with which a broker starts
    <!-- illustration: why -->    nothing that could be run; the reason is for the reader

tests/broker/test_documents.py fails where one is missing, and where no test takes a block.
"""

import dataclasses
import pathlib
import re
import textwrap

TREE = pathlib.Path(__file__).resolve().parents[2]
NAMES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"),
    *sorted(f"docs/{path.name}" for path in (TREE / "docs").glob("*.md")),
    "examples/application/README.md",
]
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (run|starts|illustration)(?:: ((?:(?!-->).)+))? -->\n\Z", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """kind: run, starts, illustration or "", where the mark is missing; line: of the fence."""

    document: str
    line: int
    kind: str
    name: str
    text: str


def read(document: str) -> str:
    return (TREE / document).read_text()


def blocks(document: str) -> list[Block]:
    whole, found = read(document), []
    for fence in _FENCED.finditer(whole):
        mark = _MARK.search(whole, 0, fence.start())
        kind, name = mark.groups(default="") if mark else ("", "")
        line = whole.count("\n", 0, fence.start()) + 1
        found.append(Block(document, line, kind, name, textwrap.dedent(fence[3])))
    return found


def block(document: str, name: str) -> str:
    """The text of the one block of this name."""
    (one,) = (one for one in blocks(document) if (one.kind, one.name) == ("run", name))
    return one.text
