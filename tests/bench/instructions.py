# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts the instructions of fixed scripts (instructions.c) under callgrind, and compares them with
those of the tree's baseline: a figure that does not depend on how busy the machine is.

    instructions.py <program>            compares; 5 % more fails, and names the functions
    instructions.py <program> --write    makes them the baseline of this compiler

Counted are the instructions of our own functions (below bridge/ and plugin/), and the calls they
make into libraries by name (malloc, blake3_hasher_update). What libraries do within those calls is
only said: it may differ from one processor to another. baseline.json has one baseline for each architecture and
compiler; where it has none for this compiler, another one of the architecture is taken, with a
wider bound, and that is said.
"""

import argparse
import collections
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).resolve().parents[2]
BASELINE = pathlib.Path(__file__).with_name("baseline.json")
PARTS = ("codec", "gossip", "queues")
MOST = 0.05  # more than the baseline
MOST_OF_ANOTHER = 0.25  # likewise, where the baseline is another compiler's
FEW = 100  # calls or instructions that do not matter
OURS = re.compile(r"(?:^|/)((?:bridge|plugin)/.*)$")
NAME = re.compile(r"\((\d+)\)(?: (.*))?$")


class Profile:
    """Of one file of callgrind: the instructions of each of our functions, and their calls of others'
    by name."""

    def __init__(self, text: str):
        self.functions: collections.Counter[str] = collections.Counter()
        self.calls: collections.Counter[str] = collections.Counter()
        self.within = 0  # instructions of those calls
        self._names: dict[tuple[str, str], str] = {}
        self._read(text)

    def _name(self, kind: str, text: str) -> str:
        """Names are given once, and then by their numbers."""
        number, name = NAME.match(text).groups()
        if name is not None:
            self._names[kind, number] = name
        return self._names[kind, number]

    def _read(self, text: str):
        function, ours, callee, callee_file = "", False, "", ""
        call = others = False  # what the next line is of
        file = ""
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if key == "fl":
                file = callee_file = self._name("file", value)
            elif key in ("fi", "fe"):
                self._name("file", value)  # of what was inlined: the function's all the same
            elif key == "fn":
                function, ours = self._name("function", value), bool(OURS.search(file))
                callee_file = file
            elif key in ("cfi", "cfl"):
                callee_file = self._name("file", value)
            elif key == "cfn":
                callee = self._name("function", value)
            elif key == "calls":
                call, others = True, ours and not OURS.search(callee_file)
                if others and not callee.startswith("_dl_"):  # the first call of each
                    self.calls[_plain(callee)] += int(value.split()[0])
                callee_file = file
            elif key == "cob":
                callee_file = ""  # another object's, unless a file is named
            elif line[:1] in "0123456789+-*" and line[:1]:
                if call:
                    self.within += int(line.split()[-1]) if others else 0
                elif ours:
                    self.functions[_plain(function)] += int(line.split()[-1])
                call = False


def _plain(name: str) -> str:
    """Without what tells recursion, symbol versions, and variants for a processor apart."""
    name = re.sub(r"('\d+|@.*|\.(constprop|isra|part|cold)(\.\d+)?)$", "", name)
    return re.sub(r"^__((mem|str|wcs)[a-z]+)_(sse|avx|evex|ssse|fast|asimd|mops|sve|generic).*", r"\1", name)


def measure(program: pathlib.Path, part: str) -> Profile:
    with tempfile.TemporaryDirectory(prefix="p2panda-instructions-") as folder:
        out = pathlib.Path(folder) / "callgrind"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--toggle-collect=script_{part}",
             f"--callgrind-out-file={out}", str(program), part],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Profile(out.read_text())


def compiler() -> str:
    """Which one has built it, without what does not change the code much."""
    cc = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    return f"{platform.machine()} gcc {cc.stdout.split('.')[0]}"


def baseline_for(all_of_them: dict, name: str) -> tuple[dict, float]:
    if name in all_of_them:
        return all_of_them[name], MOST
    machine = name.split()[0]
    others = sorted(other for other in all_of_them if other.split()[0] == machine)
    assert others, f"there is no baseline for {machine}: make one with --write"
    print(f"no baseline for {name}: compared with {others[-1]}, bound {MOST_OF_ANOTHER:.0%}")
    return all_of_them[others[-1]], MOST_OF_ANOTHER


def grown(now: dict[str, int], before: dict[str, int]) -> list[str]:
    """Those that have most more than before, the first ones."""
    more = {name: count - before.get(name, 0) for name, count in now.items()}
    names = sorted(more, key=lambda name: -more[name])[:5]
    return [f"{name} {before.get(name, 0)} -> {now[name]}" for name in names if more[name] > FEW]


def judge(part: str, profile: Profile, before: dict, most: float) -> list[str]:
    """Prints what a part costs; returns what is wrong with it."""
    wrong = []
    total, was = profile.functions.total(), sum(before["functions"].values())
    print(f"{part}: {total} instructions, {total / was - 1:+.1%}; ", end="")
    calls, were = profile.calls.total(), sum(before["calls"].values())
    print(f"{calls} calls into libraries, {calls / were - 1:+.1%} ", end="")
    print(f"({profile.within} instructions there)")
    if total > was * (1 + most):
        functions = ", ".join(grown(profile.functions, before["functions"]))
        wrong.append(f"{part}: {was} -> {total} instructions, most of it by {functions}")
    for name, count in profile.calls.items():
        if count > before["calls"].get(name, 0) * (1 + most) + FEW:
            wrong.append(f"{part}: calls of {name} {before['calls'].get(name, 0)} -> {count}")
    return wrong


def write(name: str, profiles: dict[str, Profile]):
    all_of_them = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    all_of_them[name] = {
        part: {
            "functions": dict(sorted(profile.functions.items())),
            "calls": dict(sorted(profile.calls.items())),
        }
        for part, profile in profiles.items()
    }
    BASELINE.write_text(json.dumps(all_of_them, indent=1, sort_keys=True) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("program", type=pathlib.Path, help="built from instructions.c")
    parser.add_argument("--write", action="store_true", help="make a new baseline")
    options = parser.parse_args()
    profiles = {part: measure(options.program, part) for part in PARTS}
    if options.write:
        write(compiler(), profiles)
        return 0
    before, most = baseline_for(json.loads(BASELINE.read_text()), compiler())
    wrong = [
        one for part in PARTS for one in judge(part, profiles[part], before[part], most)
    ]
    for one in wrong:
        print(f"FAILED {one}")
    print(f"{len(PARTS) - len({one.split(':')[0] for one in wrong})} passed, ", end="")
    print(f"{len({one.split(':')[0] for one in wrong})} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
