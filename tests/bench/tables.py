# SPDX-License-Identifier: MIT OR Apache-2.0
"""Puts what the bench has found into the documents: between the comments <!-- bench --> and
<!-- /bench --> of docs/costs.md all of it, and between those of the README what matters most; and the plots
beside bench.json into docs/costs.

    tables.py build/bench/bench.json [<the tree>]
"""

import json
import pathlib
import re
import shutil
import statistics
import sys
from collections.abc import Sequence

from figure import Figure

PLACE = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.S)
TREE = pathlib.Path(__file__).resolve().parents[2]
# Where the plots are, below docs/; and the one that the README shows.
PLOTS = "costs"
PLOT = "cpu.svg"
# What the README shows: begins with this, and as what.
SHOWN = {
    "200 B at 100/s: latency, median": "latency at 100 messages a second, median",
    "200 B at 100/s: latency, 99 of 100": "the same, 99 of 100",
    "200 B at 2000/s: processor time": "processor time per message of 200 bytes, 2,000 a second",
    "3500 B at 30000/s: processor time": "the same of 3,500 bytes, 30,000 a second",
    "100000 x 200 B at once: rate": "rate of a burst of 100,000 of 200 bytes (more is better)",
    "20000 x 3500 B at once: rate": "rate of a burst of 20,000 of 3,500 bytes (more is better)",
}
# What is wanted, as ratios: figures that begin with this, against whom, and at most (or at least) how much.
TLS, TCP, PEERS = "bridge over TLS", "bridge over TCP", "Rust peers"
MOST = (
    ("200 B at 100/s: latency", TCP, 1.5),
    ("200 B at 100/s: latency, median", PEERS, 0.5),
    ("200 B at 100/s: processor time", PEERS, 0.3),
    ("200 B at 2000/s: processor time", TCP, 2),
    ("200 B at 2000/s: processor time", TLS, 1.2),
    ("3500 B at 30000/s: processor time", TCP, 1.5),
    ("3500 B at 30000/s: processor time", TLS, 1),
)
LEAST = (
    ("100000 x 20 B at once: rate", TCP, 0.75),
    ("100000 x 200 B at once: rate", TCP, 0.75),
    ("60000 x 1000 B at once: rate", TCP, 0.5),
    ("20000 x 3500 B at once: rate", TCP, 0.5),
    *((f"{burst} B at once: rate", TLS, 1)
      for burst in ("100000 x 20", "100000 x 200", "60000 x 1000", "20000 x 3500")),
)  # fmt: skip


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cell(figure: Figure, group: str, first: str) -> str:
    if not figure.values.get(group):
        return ""
    text = number(figure.median(group))
    found = figure.ratios(group)
    if group == first or not found:
        return text
    return f"{text}: **{statistics.median(found):.2f}** ({min(found):.2f} to {max(found):.2f})"


def table(part: str, figures: Sequence[Figure]) -> str:
    """All medians, and behind those of others the first group's in terms of them."""
    groups = list(dict.fromkeys(name for figure in figures for name in figure.values))
    lines = [f"| {part} | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    for figure in figures:
        cells = [cell(figure, group, groups[0]) for group in groups]
        lines.append(f"| {figure.name}, {figure.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def wanted(found: dict) -> str:
    """Each ratio that was wanted, and what was found."""
    figures = [figure for part in found["parts"].values() for figure in part]
    lines = ["| plugin / | | wanted | found |", "|---|---|---|---|"]
    for targets, words in ((MOST, "at most"), (LEAST, "at least")):
        for start, other, bound in targets:
            for figure in figures:
                if not figure.name.startswith(start) or not figure.ratios(other):
                    continue
                ratio = statistics.median(figure.ratios(other))
                met = ratio <= bound if words == "at most" else ratio >= bound
                text = f"{ratio:.2f}" if met else f"**{ratio:.2f}**"
                lines.append(f"| {figure.name} | {other} | {words} {bound:g} | {text} |")
    return "\n".join(lines) + "\n\n**Bold** is what is not met; speed.md says why.\n"


def image(plot: str) -> str:
    return f"![{plot.removesuffix('.svg').replace('-', ' ')}]({PLOTS}/{plot})\n"


def growth(found: dict) -> str:
    """One line for each figure; its columns are what it grows with."""
    blocks: dict[str, list[str]] = {}
    for name, series in found.items():
        kind, _, figure = name.partition(": ")
        values = next(iter(series.values()))
        lines = blocks.setdefault(
            kind, [f"| {kind} | " + " | ".join(values) + " |", "|---" * (len(values) + 1) + "|"]
        )
        lines.append(f"| {figure} | " + " | ".join(number(v) for v in values.values()) + " |")
    return "\n".join("\n".join(lines) + "\n" for lines in blocks.values())


def whole(found: dict, plots: Sequence[str]) -> str:
    groups = next(iter(found["parts"].values()))[0].values
    rounds = max(len(values) for figures in found["parts"].values() for figure in figures
                 for values in figure.values.values())  # fmt: skip
    text = [
        f"{found['machine']}, revision {found['revision']}. Medians of up to {rounds} rounds; behind the "
        f"colon {next(iter(groups))} / that one, its median and extremes.\n"
    ]
    text.append(wanted(found))
    left = list(plots)
    for part, figures in found["parts"].items():
        text.append(table(part, figures))
        if f"{part}.svg" in left:
            left.remove(f"{part}.svg")
            text.append(image(f"{part}.svg"))
    if found["growth"]:
        text.append(growth(found["growth"]))
        text += map(image, left)
    return "\n".join(text)


def short(found: dict, plots: Sequence[str]) -> str:
    figures = [figure for part in found["parts"].values() for figure in part]
    others = [TLS, TCP, PEERS]
    lines = [f"| plugin / | {' | '.join(others)} |", "|---" * (len(others) + 1) + "|"]
    for start, words in SHOWN.items():
        for figure in figures:
            if figure.name.startswith(start):
                cells = [figure.ratios(other) for other in others]
                texts = [f"{statistics.median(cell):.2f}" if cell else "" for cell in cells]
                lines.append(f"| {words} | {' | '.join(texts)} |")
    lost = max(
        (figure.median("plugin") for figure in figures
         if figure.name.endswith("at once: lost")), default=None,
    )  # fmt: skip
    lines.append(f"\nOn {found['machine']}.")
    if lost is not None:
        lines[-1] += " Of the bursts " + (f"{lost:.1f} % was lost." if lost else "nothing was lost.")
    if PLOT in plots:
        lines.append(f"\n![Processor time per message](docs/{PLOTS}/{PLOT})")
    return "\n".join(lines) + "\n"


def put(path: pathlib.Path, text: str):
    before = path.read_text()
    if not PLACE.search(before):
        raise SystemExit(f"{path} has no <!-- bench --> and <!-- /bench -->")
    path.write_text(PLACE.sub(lambda place: f"{place[1]}\n{text}\n{place[2]}", before, count=1))
    print(f"wrote {path}")


def copy_plots(there: pathlib.Path, here: pathlib.Path) -> list[str]:
    """Returns their names; those of an earlier run go."""
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    plots = sorted(path.name for path in there.glob("*.svg"))
    for plot in plots:
        shutil.copyfile(there / plot, here / plot)
    return plots


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    found = json.loads(pathlib.Path(sys.argv[1]).read_text())
    found["parts"] = {
        part: [Figure(**figure) for figure in figures] for part, figures in found["parts"].items()
    }
    tree = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else TREE
    plots = copy_plots(pathlib.Path(sys.argv[1]).parent, tree / "docs" / PLOTS)
    put(tree / "docs/costs.md", whole(found, plots))
    put(tree / "README.md", short(found, plots))


if __name__ == "__main__":
    main()
