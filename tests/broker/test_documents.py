# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every block of the documents is run by a test, or says why not; their links lead somewhere."""

import json
import re
import subprocess
import sys

import pytest

import documents
from documents import NAMES, TREE, block, blocks
from identity import random_topic
from machine import DEBIANS, Machine

pytestmark = pytest.mark.asan_only

ALL = [one for name in NAMES for one in blocks(name)]
TESTS = "\n".join(path.read_text() for path in sorted((TREE / "tests").glob("*/test_*.py")))


def test_every_block_says_what_becomes_of_it():
    assert len(ALL) > 15
    unmarked = [f"{one.document}:{one.line}" for one in ALL if not one.kind]
    assert unmarked == [], "documents.py says which comment belongs above them"
    unexplained = [one for one in ALL if one.kind == "illustration" and not one.name]
    assert unexplained == []


def test_every_block_is_taken_by_a_test():
    named = [(one.document, one.name) for one in ALL if one.kind == "run"]
    assert len(named) == len(set(named))
    taken = set(re.findall(r'block\("([^"]+)", "([^"]+)"\)', TESTS))
    assert set(named) - taken == set(), "no test runs these"
    assert taken - set(named) == set(), "tests take these, which are in no document"


def anchors(document: str) -> set[str]:
    """As the headings' links are on the usual sites."""
    headings = re.findall(r"^#+ (.*)$", documents.read(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("document", NAMES)
def test_links(document):
    here = (TREE / document).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", documents.read(document)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (here / path).resolve() if path else TREE / document
        assert file.exists(), f"{document}: {target}"
        if anchor:
            assert anchor in anchors(str(file.relative_to(TREE))), f"{document}: {target}"


@pytest.mark.parametrize("document", [name for name in NAMES if name.startswith("docs/")])
def test_the_readme_leads_there(document):
    assert f"]({document})" in documents.read("README.md")


@pytest.mark.parametrize("document", NAMES)
def test_what_it_names_is_there(document):
    """Files of this project, status topics, options."""
    spans = re.findall(r"`([^`\n]+)`", documents.read(document))
    top = "bridge|cmake|conf|docker|docs|examples|packaging|page|plugin|tests"
    files = [one for one in spans if re.fullmatch(rf"(?:{top})/[\w./-]*", one)]
    assert [one for one in files if not (TREE / one).exists()] == []
    cells = re.findall(r"^\| (`.*?) \|", documents.read("docs/status.md"), re.MULTILINE)
    topics = {one for cell in cells for one in re.findall(r"`([\w/]+)`", cell)}
    kinds = {one.partition("/")[0] for one in topics if "/" in one}
    counters = [one for one in spans if re.fullmatch(rf"(?:{'|'.join(kinds)})/[a-z_]+", one)]
    assert [one for one in counters if one not in topics and not (TREE / one).exists()] == []
    keys = set(re.findall(r"^\| `(\w+)`", documents.read("docs/options.md"), re.MULTILINE))
    given = re.findall(r"plugin_opt_(\w+)", documents.read(document))
    assert set(given) <= keys


def test_the_readme_has_every_sample():
    samples = {f"conf/{path.name}" for path in (TREE / "conf").glob("*.conf")}
    assert samples == set(re.findall(r"\]\((conf/\S+\.conf)\)", documents.read("README.md")))


def test_numbers_of_the_protocol():
    """Those that documents say are the code's."""
    limits = dict(
        re.findall(r"^#define (LIMIT_\w+)\s+(\d+)", (TREE / "bridge/limits.h").read_text(), re.M)
    )
    protocol = documents.read("docs/protocol.md")
    for name in ("FRAME", "CONTENT", "SIGNED_BODY"):
        assert re.search(rf"\b{limits[f'LIMIT_{name}']}\b", protocol)
    for document in ("README.md", "docs/topics.md", "docs/mosquitto_p2panda.7.in"):
        assert limits["LIMIT_CONTENT"] in documents.read(document)
    views = re.search(r"up to five neighbours", documents.read("docs/operating.md"))
    assert views and limits["LIMIT_ACTIVE_VIEW"] == "5"
    assert "five neighbours, thirty more" in protocol and limits["LIMIT_PASSIVE_VIEW"] == "30"


STARTS = [one for one in ALL if one.kind == "starts"]


@pytest.mark.parametrize("one", STARTS, ids=[f"{one.document}:{one.line}" for one in STARTS])
def test_configuration_starts(brokers, net, one):
    """Alone, if it is a whole one, else below the first node's. The broker takes every line."""
    machine = Machine(brokers(identity=False, host=net.host("a")))
    if "\nplugin " in f"\n{one.text}":
        lines = one.text
        if "persistence_location" not in lines:
            lines = DEBIANS.partition("log_dest")[0] + lines
    else:
        lines = (TREE / "conf/first-node.conf").read_text() + one.text
    machine.start(lines)
    machine.broker.wait_log("p2panda: node id [0-9a-f]{64}$")
    assert not [line for line in machine.broker.log() if "Error" in line or "Unknown" in line]


class Shell:
    """A shell on a machine into which a block is typed line by line."""

    def __init__(self, machine: Machine):
        self.machine = machine
        self._process = subprocess.Popen(
            machine.command("exec sh"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def type(self, line: str):
        self._process.stdin.write(line.strip() + "\n")
        self._process.stdin.flush()

    def read(self) -> str:
        return self._process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # What runs in its background, which the shell would leave there.
        self.type("kill $!; wait")
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def start_first_node(brokers, net) -> Machine:
    machine = Machine(brokers(identity=False, host=net.host("a")))
    sample = (TREE / "conf/first-node.conf").read_text()
    machine.start(sample + "log_type all\n")
    return machine


def subscribe_and_publish(machine: Machine, lines: list[str]) -> str:
    """Types all lines; before that with mosquitto_pub, waits for the subscription."""
    with Shell(machine) as shell:
        for line in lines:
            if line.startswith("mosquitto_pub"):
                machine.broker.wait_log("Sending SUBACK")
            shell.type(line)
        return shell.read()


def test_applications_topic(brokers, net):
    lines = block("docs/applications.md", "json").splitlines()
    said = subscribe_and_publish(start_first_node(brokers, net), lines)
    assert said.startswith('{"temp":21.5,"unit":"C"}')


def test_the_example_s_topic(brokers, net):
    """The subscriber stands in a terminal of its own there."""
    topic = random_topic()
    subscribe, publish = block("examples/application/README.md", "example").splitlines()
    lines = [f"topic={topic}", f"{subscribe} &", publish]
    said = subscribe_and_publish(start_first_node(brokers, net), lines)
    assert said.startswith(f"p2panda/{topic}/ephemeral/json ")
    assert said.endswith(' {"temp":21.5,"unit":"C"}\n')


def test_suites():
    """Its commands name suites that there are."""
    typed = re.findall(r"^tests/run.sh ?(\w*)", block("CONTRIBUTING.md", "suites"), re.MULTILINE)
    known = subprocess.run(
        [TREE / "tests/run.sh", "--help"], check=True, capture_output=True, text=True
    ).stdout
    assert typed and set(typed) - {""} <= set(re.split(r"[ ,]+", known.partition("is named): ")[2]))


def test_single_tests():
    """The presets, the program, the simulation and the selection of tests are there."""
    text = block("CONTRIBUTING.md", "single tests")
    presets = json.loads((TREE / "CMakePresets.json").read_text())
    known = {one["name"] for one in presets["configurePresets"]}
    also = re.search(r"# also: (.*)", text)[1].split(", ")
    assert {re.search(r"--preset (\w+)", text)[1], *also} == known
    program = re.search(r"ctest .* -R (\w+)/(\w+)", text)
    assert (TREE / f"tests/{program[1]}/{program[2]}.c").is_file()
    simulation = re.search(r"build/dev/simulation_(\w+)", text)[1]
    assert (TREE / f"tests/simulation/{simulation}.c").is_file()
    words = re.search(r"-m pytest (.*)", text)[1].split()
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words],
        cwd=TREE,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0 and "::" in found.stdout, found.stdout


def test_building():
    """Presets and scripts are there, with the ways that are named: the suite stock makes all of it."""
    presets = json.loads((TREE / "CMakePresets.json").read_text())
    shared = block("docs/building.md", "shared")
    configure, build = re.search(r"--preset (\w+) && cmake --build --preset (\w+)", shared).groups()
    assert configure in {one["name"] for one in presets["configurePresets"]}
    assert build in {one["name"] for one in presets["buildPresets"]}
    lines = block("docs/building.md", "self-contained").splitlines()
    assert all((TREE / re.match(r"sudo (\S+)", line)[1]).is_file() for line in lines)
    ways = {f"{libc}-{kind}" for libc, kind in re.findall(r"(glibc|musl) (amd64|arm64)", lines[0])}
    made = (TREE / "packaging/release.sh").read_text()
    assert ways == set(re.search(r"^kinds=.*?((?:\w+-\w+ ?)+)", made, re.MULTILINE)[1].split())


def test_one_overlay_is_in_all_documents():
    """Whoever types from two of them talks on one."""
    ids = {id for name in NAMES for id in re.findall(r"p2panda/([0-9a-f]{64})", documents.read(name))}
    assert len(ids) == 1
