# SPDX-License-Identifier: MIT OR Apache-2.0
"""What it costs to carry a message from one broker to another: the plugin against Mosquitto's
own bridge (TLS, plain TCP), against a broker that carries nothing, and against two Rust peers without a
broker (where P2PANDA_PEER_DIR has them), in one run on one machine.

Prints tables of ratios (plugin / other; below 1 the plugin is better): medians of several rounds in
which all take turns, and the extremes. All brokers run all the time; those that have nothing to do
cost next to nothing. With --out, all figures of all rounds are written there as bench.json, and
plots of the ratios and of what grows; tables.py puts that into the docs. Parts may be measured one after
the other, of one revision.

    bench.py --parts latency,cpu --rounds 3 --out build/bench
    bench.py --brief --out build/bench    whether it works at all: the figures mean nothing

Parts: idle, latency (100/s: percentiles, processor time, wakes), cpu (at higher rates), bursts (all
at once: what is lost, how fast the rest is), memory (how soon it is back after bursts), beside (how long others' messages take beside a burst), growth (of
overlays, brokers, subscribers), views (what is signed and verified, against what is not).

Run by `tests/run.sh bench`, which builds the plugin and sets P2PANDA_PLUGIN.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import pairs
import plots
from figure import Figure
from pairs import Group, overlay, random_topic

PARTS = ("idle", "latency", "cpu", "bursts", "memory", "beside", "growth", "views")
US = 1e6
MIB = 2**20
LOADS = ((200, 2000, 4000), (200, 20000, 20000), (3500, 2000, 4000), (3500, 30000, 20000))
BURSTS = ((100000, 20), (100000, 200), (60000, 1000), (20000, 3500))
# So many threads are busy while a topic has as much as its broker reads: two of each broker, and the
# publisher's and the subscriber's.
BUSY = 6
# Memory is back when it is at most so much more than before, and should be within so many seconds.
BACK = 4 * MIB
BACK_WITHIN = 100


class Results:
    """What has been measured so far, by part; with out, it is written there after each of them. What is
    there of parts that are not chosen, from the same machine and revision, stays."""

    def __init__(self, out: pathlib.Path | None, chosen: Sequence[str]):
        self.out = out
        self.about = {"machine": machine(), "revision": revision()}
        self.parts: dict[str, list[Figure]] = {}
        self.grown: dict[str, dict[str, dict[int, float]]] = {}
        if out and (out / "bench.json").exists():
            before = json.loads((out / "bench.json").read_text())
            if before.items() >= self.about.items():
                self.grown = {
                    name: {one: {int(n): v for n, v in grown.items()} for one, grown in series.items()}
                    for name, series in before["growth"].items()
                }
                self.parts = {
                    part: [Figure(**figure) for figure in figures]
                    for part, figures in before["parts"].items()
                    if part not in chosen
                }

    def add(self, part: str, figures: Sequence[Figure]):
        self.parts.setdefault(part, []).extend(figures)
        for figure in figures:
            print(_row(figure), flush=True)

    def write(self):
        if not self.out:
            return
        out = self.out
        out.mkdir(parents=True, exist_ok=True)
        found = {
            **self.about,
            "parts": {
                part: [dataclasses.asdict(figure) for figure in figures]
                for part, figures in sorted(self.parts.items(), key=lambda one: PARTS.index(one[0]))
            },
            "growth": self.grown,
        }
        (out / "bench.json").write_text(json.dumps(found, indent=1) + "\n")
        for part, figures in self.parts.items():
            rows = {
                figure.name: {
                    other: statistics.median(figure.ratios(other))
                    for other in list(figure.values)[1:]
                    if figure.ratios(other)
                }
                for figure in figures
                if not figure.name.endswith(": lost")  # mostly nothing, of which there is no ratio
            }
            rows = {name: row for name, row in rows.items() if row}
            if rows:
                first = next(iter(figures[0].values))
                plot = plots.ratios(f"{part}: {first} / others", rows)
                (out / f"{part}.svg").write_text(plot)
        for name, series in self.grown.items():
            title, _, unit = name.partition(", ")
            file = re.sub(r"\W+", "-", title) + ".svg"
            (out / file).write_text(plots.lines(title, unit, series))


def machine() -> str:
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.*)$", info, re.M)
    return f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors, " + (
        f"Linux {platform.release()}"
    )


def revision() -> str:
    """Of the tree, as tests/run.sh says, or git; empty if neither does."""
    if "P2PANDA_REVISION" in os.environ:
        return os.environ["P2PANDA_REVISION"]
    tree = pathlib.Path(__file__).resolve().parents[2]
    try:
        found = subprocess.run(
            ["git", "-C", tree, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True
        )
    except FileNotFoundError:
        return ""
    return found.stdout.strip()


def _row(figure: Figure) -> str:
    """All medians, and behind those of others the ratio and its extremes."""
    cells = []
    for number, name in enumerate(figure.values):
        cell = f"{figure.median(name):.3g}"
        found = figure.ratios(name)
        if number > 0 and found:
            cell += f": {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
        cells.append(cell)
    return f"| {figure.name}, {figure.unit} | " + " | ".join(cells) + " |"


def _head(part: str, groups: Sequence[Group]):
    print(f"\n| {part} | " + " | ".join(group.name for group in groups) + " |")
    print("|---" * (len(groups) + 1) + "|", flush=True)


def rounds_of(
    rounds: int,
    groups: Sequence[Group],
    names: Sequence[tuple[str, str]],
    measure: Callable[[Group], Sequence[float]],
) -> list[Figure]:
    """Several figures (name, unit) that are measured together, the groups taking turns."""
    figures = [Figure(name, unit, {group.name: [] for group in groups}) for name, unit in names]
    for _ in range(rounds):
        for group in groups:
            for figure, value in zip(figures, measure(group), strict=True):
                figure.values[group.name].append(value)
    return figures


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


@contextlib.contextmanager
def running(make: Callable[[pathlib.Path], list[Group]]) -> Iterator[list[Group]]:
    groups: list[Group] = []
    with tempfile.TemporaryDirectory(prefix="p2panda-bench-") as folder:
        try:
            groups += make(pathlib.Path(folder))
            for group in groups:
                group.ready()
            yield groups
        finally:
            for group in groups:
                group.end()


def carriers(path: pathlib.Path) -> list[Group]:
    return [pairs.plugin(path), pairs.bridge(path, True), pairs.bridge(path, False)]


def everybody(path: pathlib.Path, other: pathlib.Path | None) -> list[Group]:
    groups = [*carriers(path), pairs.bare(path)]
    if other:
        groups.append(pairs.other_build(path, other))
    if pairs.has_peers():
        groups.append(pairs.Peers(pairs.GENERATION))
    else:
        print("no Rust peers: P2PANDA_PEER_DIR is not set, or has none")
    return groups


def brokers(groups: Sequence[Group]) -> list[Group]:
    """Without the Rust peers, which lose most of a burst by themselves."""
    return [group for group in groups if isinstance(group, pairs.Brokers)]


# ---- the parts ----


def idle(results: Results, rounds: int, scale: float, groups: list[Group]):
    names = [("idle", "% of a processor"), ("memory at first", "MiB")]
    results.add(
        "idle",
        rounds_of(
            min(rounds, 3), groups, names,
            lambda one: (one.idle(5 * scale) * 100, one.memory() / MIB),
        ),
    )  # fmt: skip


def latency(results: Results, rounds: int, scale: float, groups: list[Group]):
    """At about a hundred messages a second each finds everybody asleep."""
    count = int(250 * scale)

    def measure(group: Group) -> Sequence[float]:
        cpu, wakes = group.cpu(), group.wakes()
        found = group.latencies(count, 200, 0.0095)
        return (
            quantile(found, 0.5) * US,
            quantile(found, 0.99) * US,
            (group.cpu() - cpu) / count * US,
            (group.wakes() - wakes) / count,
        )

    name = "200 B at 100/s"
    names = [
        (f"{name}: latency, median", "us"),
        (f"{name}: latency, 99 of 100", "us"),
        (f"{name}: processor time per message", "us"),
        (f"{name}: wakes per message", "times"),
    ]
    results.add("latency", rounds_of(rounds, groups, names, measure))


def cpu(results: Results, rounds: int, scale: float, groups: list[Group]):
    for size, rate, count in LOADS:

        def measure(group: Group, size=size, rate=rate, count=count) -> Sequence[float]:
            load = group.load(int(count * scale), size, rate)
            return load.cpu * US, load.lost * 100

        name = f"{size} B at {rate}/s"
        names = [(f"{name}: processor time per message", "us"), (f"{name}: lost", "%")]
        results.add("cpu", rounds_of(rounds, groups, names, measure))


def bursts(results: Results, rounds: int, scale: float, groups: list[Group]):
    for count, size in BURSTS:

        def measure(group: Group, count=count, size=size) -> Sequence[float]:
            load = group.load(int(count * scale), size)
            return load.lost * 100, load.rate / 1000, load.cpu * US

        name = f"{count} x {size} B at once"
        names = [
            (f"{name}: lost", "%"),
            (f"{name}: rate", "thousands/s"),
            (f"{name}: processor time per message", "us"),
        ]
        results.add("bursts", rounds_of(rounds, brokers(groups), names, measure))


def memory(results: Results, rounds: int, scale: float, groups: list[Group]):
    """Of the process that has most: what bursts leave behind, and for how long. Once, with brokers that
    have carried nothing before."""
    before = {group.name: group.memories() for group in groups}

    def above(group: Group) -> int:
        return max(
            now - then for now, then in zip(group.memories(), before[group.name], strict=True)
        )

    for group in groups:
        for count, size in BURSTS:
            group.load(int(count * scale), size)
    at_once = {group.name: above(group) for group in groups}
    back = dict.fromkeys(before, 0.0)
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < BACK_WITHIN * scale:
        for group in groups:
            if above(group) > BACK:
                back[group.name] = passed
        time.sleep(1)
    found = {
        ("after all bursts: memory above that before", "MiB"): {
            name: value / MIB for name, value in at_once.items()
        },
        ("until it is back within 4 MiB", "s"): back,
        (f"above that before, {BACK_WITHIN} s later", "MiB"): {
            group.name: above(group) / MIB for group in groups
        },
    }
    results.add(
        "memory",
        [
            Figure(name, unit, {group: [value] for group, value in values.items()})
            for (name, unit), values in found.items()
        ],
    )


def beside(results: Results, rounds: int, scale: float, groups: list[Group]):
    """Others' messages while one overlay has as much as its broker reads, while the machine has as much to
    do with something else, and while there is nothing."""
    a, b = groups[0].processes
    busy, count = overlay(random_topic()), int(250 * scale)
    for group in groups:
        medians = Figure(f"{group.name}: median", "us", {})
        slowest = Figure(f"{group.name}: 99 of 100", "us", {})
        for _ in range(rounds):
            for name, load in (
                ("beside a burst", pairs.flood(a, b, busy)),
                ("beside busy loops", pairs.busy_loops(BUSY)),
                ("alone", contextlib.nullcontext()),
            ):
                with load:
                    time.sleep(0.5)  # it is in full swing, or over
                    found = group.latencies(count, 200, 0.004)
                medians.values.setdefault(name, []).append(quantile(found, 0.5) * US)
                slowest.values.setdefault(name, []).append(quantile(found, 0.99) * US)
        results.add("beside", [medians, slowest])


def growth(results: Results, rounds: int, brief: bool):
    kinds: dict[str, tuple[tuple[int, ...], Callable[[int], dict[str, int]]]] = {
        "overlays": ((1, 10, 100, 1000), lambda n: {"topics": n}),
        "brokers": ((2, 3, 4, 6, 8), lambda n: {"size": n}),
        "subscribers": ((1, 10, 100, 1000), lambda n: {"subscribers": n}),
    }
    print("\n| growth | of | processor time per message and broker, us | latency, us | memory, MiB |")
    print("|---|---|---|---|---|")
    for kind, (numbers, arguments) in kinds.items():
        for number in numbers[: 2 if brief else None]:
            with running(
                lambda path, of=arguments(number): [pairs.mesh(path, "growing", **of)]
            ) as groups:
                group, count = groups[0], len(groups[0].processes)
                loads = [group.load(1000, 200, 500) for _ in range(rounds)]
                lost = max(load.lost for load in loads)
                assert lost == 0, f"{number} {kind}: {lost:.1%} lost"
                found = {
                    "processor time per message and broker, us": statistics.median(
                        load.cpu for load in loads
                    )
                    / count
                    * US,
                    "latency, us": quantile(group.latencies(100, 200, 0.01), 0.5) * US,
                    "memory per broker, MiB": group.memory() / count / 2**20,
                }
            for name, value in found.items():
                results.grown.setdefault(f"growth of {kind}: {name}", {}).setdefault("plugin", {})[
                    number
                ] = value
            print(f"| {kind} | {number} | " + " | ".join(f"{v:.3g}" for v in found.values()) + " |",
                  flush=True)  # fmt: skip


def views(results: Results, rounds: int, scale: float, groups: list[Group]):
    for size in (64, 3900):
        results.add(
            "views",
            rounds_of(
                rounds, groups, [(f"{size} B at 2000/s: processor time per message", "us")],
                lambda one, size=size: [one.load(int(4000 * scale), size, 2000).cpu * US],
            ),
        )  # fmt: skip
    names = [("64 B: latency, median", "us"), ("64 B: latency, 99 of 100", "us")]

    def measure(group: Group) -> Sequence[float]:
        found = group.latencies(int(250 * scale), 64, 0.002)
        return quantile(found, 0.5) * US, quantile(found, 0.99) * US

    results.add("views", rounds_of(rounds, groups, names, measure))


def parts(text: str) -> list[str]:
    chosen = text.split(",")
    for one in chosen:
        if one not in PARTS:
            raise argparse.ArgumentTypeError(f"'{one}': accepted are {', '.join(PARTS)}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", type=parts, default=list(PARTS), help="comma-separated")
    parser.add_argument(
        "--other", type=pathlib.Path, help="another build of the plugin, to be compared with as well"
    )
    parser.add_argument("--out", type=pathlib.Path, help="folder for bench.json and plots")
    parser.add_argument(
        "--brief", action="store_true", help="one round of a tenth: only whether it works"
    )
    options = parser.parse_args()
    rounds, scale = (1, 0.1) if options.brief else (options.rounds, 1.0)
    results = Results(options.out, options.parts)
    print(results.about["machine"])
    steps = {"idle": idle, "latency": latency, "cpu": cpu, "bursts": bursts}
    chosen = [part for part in steps if part in options.parts]
    if "memory" in options.parts:
        with running(carriers) as groups:
            _head("memory", groups)
            memory(results, rounds, scale, groups)
        results.write()
    if chosen:
        with running(lambda path: everybody(path, options.other)) as groups:
            for part in chosen:
                _head(part, brokers(groups) if part == "bursts" else groups)
                steps[part](results, rounds, scale, groups)
                results.write()
    if "beside" in options.parts:
        with running(pairs.lanes) as groups:
            head = "\n| beside | beside a burst | beside busy loops | alone |\n|---|---|---|---|"
            print(head, flush=True)
            beside(results, rounds, scale, groups)
        results.write()
    if "growth" in options.parts:
        growth(results, min(rounds, 3), options.brief)
        results.write()
    if "views" in options.parts:
        with running(lambda path: [pairs.view(path, "text"), pairs.plugin(path)]) as groups:
            _head("views", groups)
            views(results, rounds, scale, groups)
        results.write()


if __name__ == "__main__":
    main()
