# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a function's comment begins with, in bridge/ and plugin/: a verb, as in "Returns the ..." or
"Tells whether ...". Names those that do not; the exit status is 1 then.

    comments.py <the tree>
"""

import pathlib
import re
import sys

# A comment, and behind it the beginning of a function's declaration or definition.
COMMENTED = re.compile(
    r"^/\*(?P<text>(?:(?!\*/).)*?)\*/\n(?=(?:[A-Za-z_][\w \t]*?[ *]+)\**(?P<name>[a-z_0-9]+)"
    r"\([^;{]*?\)\s*(?:;|\n\{))",
    re.S | re.M,
)
VERB = re.compile(r"[A-Z][a-z]+s$")
# Words that only end like one.
NO_VERBS = {"Addresses", "As", "Bytes", "Does", "Has", "Is", "Its", "Lines", "Messages", "Others",
            "Ones", "Rows", "Sockets", "This", "Times", "Whereas"}  # fmt: skip


def begins_with_a_verb(text: str) -> bool:
    word = re.match(r"[*\s]*(\S*)", text)[1].strip(":,.")
    return bool(VERB.match(word)) and word not in NO_VERBS


def main() -> int:
    tree = pathlib.Path(sys.argv[1])
    looked_at = found = 0
    for path in sorted([*tree.glob("bridge/**/*.[ch]"), *tree.glob("plugin/**/*.[ch]")]):
        source = path.read_text()
        for comment in COMMENTED.finditer(source):
            text = comment["text"]
            if text.strip(" *\n").startswith(("SPDX", "---")):
                continue
            looked_at += 1
            if not begins_with_a_verb(text):
                found += 1
                line = source.count("\n", 0, comment.start()) + 1
                print(f"{path.relative_to(tree)}:{line}: {comment['name']}: {' '.join(text.split())}")
    print(f"{looked_at} comments of functions, {found} that begin with something else than a verb")
    return 1 if found or looked_at < 1000 else 0


if __name__ == "__main__":
    sys.exit(main())
