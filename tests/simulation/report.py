#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the simulation and writes docs/simulation.md with its plots.

    cmake --preset release -DP2PANDA_SIMULATION=ON && cmake --build --preset release
    tests/simulation/report.py build/release

Takes some minutes of processor time; -k says how many seeds each story is told with (1000). What
it writes is the same each time, but for a change of the code.
"""
import argparse
import html
import os
import re
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCS = os.path.join(TREE, "docs")
PLOTS = os.path.join(DOCS, "simulation")

STORIES = {
    "deaths30": "30 % are killed at once",
    "deaths80": "80 % are killed at once",
    "churn": "nodes are killed, stopped and started again",
    "connections": "1, 5 or 25 % of the connections fail",
    "minute": "two halves are cut for a minute",
    "hour": "two halves are cut for an hour",
    "bootstraps": "every bootstrap is gone, and a node restarts",
    "dead-bootstraps": "most of the configured bootstraps are dead",
    "both-dial": "both dial at once; all are cut off",
    "slow-dials": "dials take up to 4 s longer",
    "restart-with-state": "some or all restart with what they have kept",
    "restart-without-state": "some or all restart without it",
    "addresses": "nodes change their addresses",
    "stale-infos": "all restart, some elsewhere",
    "spread": "(a message reaches everybody)",
    "newcomer": "a newcomer, a live node, five dead: told of by the live one",
    "newcomer-again": "the same, known from an earlier life",
}
LARGE = [("deaths30", 100), ("deaths80", 100), ("minute", 100), ("churn", 100), ("spread", 100)]
OURS, UPSTREAM = "#2a6f97", "#c9a227"


def run(build, program, *arguments):
    command = [os.path.join(build, "simulation_test_" + program), *arguments]
    print(" ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + "this run has failed")
    return done.stdout


def figures(build, *arguments):
    """{scenario: {figure: (mean, least, upstream, allowed)}}"""
    out = {}
    for line in run(build, "figures", "-r", *arguments).splitlines():
        word, scenario, figure, *numbers = line.split()
        assert word == "figure", line
        out.setdefault(scenario, {})[figure] = tuple(map(float, numbers))
    return out


def story(build, name, *arguments):
    """runs, p50, p95, p99, most"""
    text = run(build, "stories", "-t", name, *arguments)
    match = re.search(r"(\d+) of (\d+) runs failed; ([\d.]+) s at p50, ([\d.]+) s at p95, "
                      r"([\d.]+) s at p99, at most ([\d.]+) s", text)
    return int(match[2]), *map(float, match.groups()[2:])


def svg(width, height, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'font-family="sans-serif" font-size="12">\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(body) +
            "\n</svg>\n")


def text(x, y, words, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def bar(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def plot_figure(data, figure, title, digits):
    """Two bars for each scenario: ours and upstream's."""
    most = max(max(values[figure][0], values[figure][2]) for values in data.values())
    body = [text(10, 20, title, weight="bold"), bar(420, 10, 12, 12, OURS),
            text(436, 20, "ours"), bar(490, 10, 12, 12, UPSTREAM), text(506, 20, "iroh-gossip")]
    y = 36
    for scenario, values in data.items():
        mean, _, upstream, _ = values[figure]
        body.append(text(110, y + 18, scenario, "end"))
        for number, colour in ((mean, OURS), (upstream, UPSTREAM)):
            body.append(bar(118, y, 420 * number / most, 12, colour))
            body.append(text(124 + 420 * number / most, y + 11, f"{number:.{digits}f}"))
            y += 13
        y += 8
    return svg(620, y + 4, body)


def plot_stories(data):
    """p50, p95 and the most of each story, on one axis."""
    scale, left = 25, 230
    body = [text(10, 20, "seconds until the overlay is whole: p50, p95, at most", weight="bold")]
    y = 36
    for second in range(0, 23, 5):
        x = left + second * 420 / scale
        body.append(f'<line x1="{x:.1f}" y1="30" x2="{x:.1f}" y2="{40 + 20 * len(data)}" '
                    f'stroke="#ddd"/>')
        body.append(text(x, 54 + 20 * len(data), str(second), "middle"))
    for name, (_, p50, p95, _, most) in data.items():
        body.append(text(left - 8, y + 12, name, "end"))
        for number, colour in ((most, "#d8e3ea"), (p95, "#89b0c6"), (p50, OURS)):
            body.append(bar(left, y + 2, max(1, number * 420 / scale), 12, colour))
        body.append(text(left + 6 + most * 420 / scale, y + 12, f"{most:.2f}"))
        y += 20
    return svg(700, y + 30, body)


def write(path, words):
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)


def figure_rows(data):
    rows = []
    for scenario, values in data.items():
        cells = []
        for figure, digits in (("RMR", 3), ("LDH", 2), ("time", 0)):
            mean, _, upstream, _ = values[figure]
            more = f"{100 * (mean / upstream - 1):+.0f} %"
            if mean > upstream * 1.05:
                more = f"**{more}**"
            cells.append(f"{mean:.{digits}f} / {upstream:.{digits}f} | {more}")
        rows.append(f"| {scenario} | " + " | ".join(cells) + f" | {values['missed'][0]:.0f} |")
    return "\n".join(rows)


def large_rows(data):
    return "\n".join(
        f"| {scenario} | {v['RMR'][0]:.3f} | {v['LDH'][0]:.1f} | {v['time'][0]:.0f} | "
        f"{v['missed'][0]:.0f} |" for scenario, v in data.items())


def story_rows(data):
    return "\n".join(
        f"| {name} | {STORIES[name]} | {runs} | {p50:.2f} | {p95:.2f} | {p99:.2f} | {most:.2f} |"
        for name, (runs, p50, p95, p99, most) in data.items())


PAGE = """# The simulation

Written by `tests/simulation/report.py`; do not edit. All of it happens under virtual time, from
seeds: the same numbers come out each time.

## Gossip against iroh-gossip's own simulator

Its scenarios (v0.98.0, `simulations/all.toml`: links of 10 to 50 ms, all join through one node at the
same time, 30 rounds, 5 of `all-100`), done as there. RMR: copies that arrive more than are needed, per
delivery; LDH: hops of the last delivery; time: ms until everybody has the message. Means over 40
seeds, ours / upstream's (its simulator was run with the same seeds; what it prints as a mean is the
least of the seeds' means, which says little). One sender, another one in each round, everybody at once;
the number is that of the nodes.

| | RMR | | LDH | | time | | missed |
|---|---|---|---|---|---|---|---|
{figures}

![RMR](simulation/rmr.svg)
![LDH](simulation/ldh.svg)
![time](simulation/time.svg)

**Bold** would be what is more than 5 % worse. It is the same experiment: both count all Gossip frames
that arrive, from the first round on, and end a round with its last delivery; upstream's simulator closes
connections where ours only counts that they are not needed any more. What differs is in the nodes, and
nothing of it shows on the wire but as fewer frames (`bridge/gossip/broadcast.c`, `membership.c`):

- Our views are full, as HyParView's paper has it (4.9 of 5 neighbours after a second); upstream's nodes
  give up a place with the first node that refuses (4.2). Each tie more would carry one copy more of a
  sender's *first* message, which is all of RMR for a single sender: so only four neighbours are eager
  from the beginning, and a fifth is lazy.
- Who has announced a message has it, and is not sent it; upstream sends it, and is sent a PRUNE. A third of
  RMR with changing senders, two fifths with a hundred at once.
- A GRAFT has 80 ms to be answered, upstream's 40: on most of these links both then send the message.
- If the message comes from another neighbour after all, upstream prunes the one that it has sent the GRAFT, whose
  copy comes late, and the tree is as bad for the next message. Ours keeps it and prunes the slower
  one. Likewise who announces a message 10 ms before it comes changes places with who pushes it: once
  in 100 ms, for many changes at once tear the tree.
- In a burst (256 new messages within a tenth of a second) the last neighbour who pushes is not pruned, and who is
  pruned by the last one asks for pushes again: otherwise each of two neighbours, who are the faster ones for
  some of the messages, is pruned, and all that follows is asked for one by one. Nothing here is a burst of that
  kind. As a rule for all times it would give longer ways (hops).
- A passive view that is full takes an even sample of all who have come since the last Shuffle, not
  the last thirty. A thousand nodes that join through one in the same second are introduced to each other by
  its passive view: so they are not neighbours only of those that came just before (17 hops; 402 ms).

What each is worth (per cent against upstream: RMR, LDH, time; the thousands over two seeds):

| | single-20 | single-100 | changing-20 | changing-100 | all-20 | all-100 |
|---|---|---|---|---|---|---|
| as it is | -7 0 -3 | -12 -3 -8 | -31 -14 +1 | -49 -15 -13 | -23 -2 -1 | -44 +1 -2 |
| the last who pushes always stays | -7 +1 -3 | -12 -3 -8 | -32 -13 -4 | -49 -15 -14 | -47 **+29** -15 | -40 **+21** -15 |
| announcers are sent it | +1 0 -2 | -4 -4 -8 | -12 -14 **+20** | -24 -13 **+15** | **+6** -11 0 | 0 **+6** -5 |
| who was sent a GRAFT is pruned | -4 0 -3 | -8 -2 -6 | -19 -8 **+6** | -40 -10 -6 | -19 +1 -2 | -42 +1 -2 |
| the faster stays lazy | -7 **+12** +4 | -12 **+10** **+8** | -37 -5 -4 | -41 -8 -6 | -18 -5 0 | -43 -1 -2 |
| all five begin eager | **+16** -3 -12 | **+24** -8 -13 | -24 -15 -1 | -45 -16 -15 | -21 -3 -2 | -42 -1 -2 |

| | single-1000 | changing-1000 |
|---|---|---|
| as it is | -11 -25 -28 | -41 -22 -21 |
| the passive view has the last thirty | -8 **+40** **+24** | -46 **+10** +5 |

Measured when this was written, not by the script.

With ten thousand nodes, one seed:

| | RMR | LDH | time | missed |
|---|---|---|---|---|
{ten_thousand}

## Stories of whole nodes

Discovery, dials, links, gossip, address book: two to eight whole nodes in each run, in a mesh, around
a hub, in a chain or found through a bootstrap. Always seen to: no view is too full, has its own node
or one twice; neighbours are neighbours on both sides once it is quiet; nothing is delivered twice or
invented; a message reaches everybody in the end; all memory is free when all have left. Seconds from
what has happened until the overlay is whole for good (a death takes up to 11 s to be noticed); of
`spread` until a message has reached everybody; of the newcomers until the two are neighbours.

| story | | runs | p50 | p95 | p99 | at most |
|---|---|---|---|---|---|---|
{stories}

![stories](simulation/stories.svg)

A hundred whole nodes, one seed (churn: one node a second, for a minute):

| story | | runs | p50 | p95 | p99 | at most |
|---|---|---|---|---|---|---|
{large}

`simulation_test_stories -t STORY -n NODES -k SEEDS` tells one with another number of nodes;
`tests/run.sh worlds` has a thousand.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="folder of a release build with P2PANDA_SIMULATION=ON")
    parser.add_argument("-k", default="1000", help="seeds for each story")
    arguments = parser.parse_args()
    os.makedirs(PLOTS, exist_ok=True)
    gossip = figures(arguments.build)
    ten_thousand = {}
    for name in ("single-10000", "changing-10000"):
        ten_thousand.update(figures(arguments.build, "-s", name, "-k", "1"))
    told = {name: story(arguments.build, name, "-k", arguments.k) for name in STORIES}
    large = {name: story(arguments.build, name, "-n", str(nodes), "-k", "1", "-m", "1")
             for name, nodes in LARGE}
    for figure, title, digits in (("RMR", "RMR", 3), ("LDH", "LDH, hops", 1),
                                  ("time", "time until all have it, ms", 0)):
        write(os.path.join(PLOTS, figure.lower() + ".svg"),
              plot_figure(gossip, figure, title, digits))
    write(os.path.join(PLOTS, "stories.svg"), plot_stories(told))
    write(os.path.join(DOCS, "simulation.md"),
          PAGE.format(figures=figure_rows(gossip), ten_thousand=large_rows(ten_thousand),
                      stories=story_rows(told), large=story_rows(large)))


main()
