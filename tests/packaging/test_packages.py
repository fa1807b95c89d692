# SPDX-License-Identifier: MIT OR Apache-2.0
"""The packages: installed into clean roots, used as the README says, upgraded, removed, purged."""

import hashlib
import json
import pathlib
import re
import subprocess
import time

import pytest
from roots import DEBIANS, TREE, Root, made

CONF = "/etc/mosquitto/conf.d/p2panda.conf"
STATE = "/var/lib/mosquitto/p2panda"
LOG = "/var/log/mosquitto/mosquitto.log"
TOPIC = "p2panda/eed10fa3224d5e8250525e82db33b7c4ab596ee324d5f423ffbdc794ae6f7b4d"
SUITES = [stock.root.lower() for stock in DEBIANS]


def debian(suite: str, machine: str = "amd64") -> pathlib.Path:
    """The package for a suite."""
    revision = {"forky": "1", "trixie": "1~deb13", "bookworm": "1~deb12"}[suite]
    (package,) = made("PACKAGES").glob(f"mosquitto-p2panda_*-{revision}_{machine}.deb")
    return package


def before(suite: str, root: Root) -> list[str]:
    """What the package of a suite depends on, in the root."""
    return [root.put(one) for one in made("DEBS").glob("*.deb")] if suite == "forky" else []


def newer(package: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The same package as a later version of it."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN" / "control"
    text = re.sub(r"^Version: .*$", "Version: 99.0-1", control.read_text(), flags=re.M)
    control.write_text(text)
    made_one = folder / "newer.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(made_one)]
    subprocess.run(command, check=True, capture_output=True)
    return made_one


class Running:
    """The broker of a root as its own service would start it, by its own configuration."""

    def __init__(self, root: Root):
        self.root = root

    def __enter__(self):
        # As the unit does before.
        folders = ("/run/mosquitto", "/var/log/mosquitto")
        self.root.run("install", "-d", "-o", "mosquitto", "-g", "mosquitto", *folders)
        self.root.file(LOG).unlink(missing_ok=True)
        self.root.file("/etc/mosquitto/conf.d/log.conf").write_text("log_type all\n")
        command = "setpriv --reuid mosquitto --regid mosquitto --init-groups "
        command += "/usr/sbin/mosquitto -c /etc/mosquitto/mosquitto.conf"
        self.process = subprocess.Popen(self.root.command("sh", "-c", f"exec {command}"))
        self.wait(r"mosquitto version \S+ running")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(20) == 0, self.log()

    def log(self) -> str:
        path = self.root.file(LOG)
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, pattern: str) -> re.Match:
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            found = re.search(pattern, self.log())
            if found:
                return found
            assert self.process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"no {pattern}: {self.log()}")

    def node_id(self) -> str:
        return self.wait(r"p2panda: node id ([0-9a-f]{64})")[1]


def use(root: Root) -> str:
    """What the README says to do first: a subscriber hears a publisher. Returns the node id."""
    with Running(root) as broker:
        node = broker.node_id()
        command = root.command("mosquitto_sub", "-C", "1", "-W", "15", "-t", TOPIC)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
            broker.wait("Sending SUBACK to ")
            root.run("mosquitto_pub", "-q", "1", "-t", TOPIC, "-m", "hello")
            assert subscriber.communicate(timeout=20)[0] == "hello\n", broker.log()
    return node


def runs_without(root: Root):
    with Running(root) as broker:
        assert "p2panda" not in broker.log()


@pytest.mark.parametrize("suite", SUITES)
def test_debian(clean_root, tmp_path, suite):
    root, package = clean_root(suite), debian(suite)
    here = root.put(package)
    root.run("dpkg", "-i", *before(suite, root), here)
    assert root.file(CONF).is_file()
    shown = root.run("dpkg-query", "-W", "-f", "${Conffiles}", "mosquitto-p2panda").stdout
    assert CONF in shown.split()
    # These roots are without documentation.
    files = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True).stdout
    assert "./usr/share/man/man7/mosquitto_p2panda.7\n" in files
    assert "./usr/share/man/man1/mosquitto_ctrl_p2panda.1\n" in files
    status = root.file(STATE).stat()
    assert status.st_mode & 0o7777 == 0o700
    node = use(root)

    # An upgrade keeps the node and what was changed in its configuration.
    with root.file(CONF).open("a") as conf:
        conf.write("plugin_opt_publish_linger 31\n")
    root.run("dpkg", "-i", root.put(newer(package, tmp_path)))
    assert "publish_linger 31" in root.file(CONF).read_text()
    assert use(root) == node

    # Removed, the broker starts without it; installed again, it is the same node.
    root.run("dpkg", "-r", "mosquitto-p2panda")
    assert not root.file(CONF).exists()
    runs_without(root)
    root.run("dpkg", "-i", here)
    assert "publish_linger 31" in root.file(CONF).read_text()
    assert use(root) == node

    root.run("dpkg", "-r", "mosquitto-p2panda")
    root.run("dpkg", "-P", "mosquitto-p2panda")
    assert not root.file(STATE).exists()
    assert not list(root.file("/etc/mosquitto/conf.d").glob("p2panda*"))
    left = root.run("find", "/usr", "/etc", "/var/lib/mosquitto", "-name", "*p2panda*").stdout
    assert left == ""
    runs_without(root)


def test_from_one_suite_to_the_next(clean_root):
    """Debian 13's package in forky, then forky's own: nothing is asked, and the node is the same."""
    root = clean_root("forky")
    root.run("dpkg", "-i", root.put(debian("trixie")))
    with root.file(CONF).open("a") as conf:
        conf.write("plugin_opt_publish_linger 31\n")
    node = use(root)
    root.run("dpkg", "-i", *before("forky", root), root.put(debian("forky")))
    assert "publish_linger 31" in root.file(CONF).read_text()
    assert use(root) == node


def controls(root: Root, *before: str):
    """mosquitto_ctrl looks at the running node, changes it, and needs no broker for the rest."""
    with root.file(CONF).open("a") as conf:
        conf.write("plugin_opt_control true\n")

    def ctrl(*words: str, login: tuple[str, ...] = ("-u", "admin", "-P", "x"), check: bool = True):
        return root.run(*before, "mosquitto_ctrl", *login, "p2panda", *words, check=check)

    digits = TOPIC.removeprefix("p2panda/")
    with Running(root) as broker:
        node = broker.node_id()
        assert node in ctrl("getStatus").stdout
        ctrl("joinTopic", digits)
        broker.wait("control: user admin, client .*: joinTopic")
        assert digits in ctrl("listTopics").stdout
        assert f'"{digits}"' in ctrl("-j", "getTopic", digits).stdout
        refused = ctrl("getNode", "ab" * 32, check=False)
        assert refused.returncode == 1 and "is not known" in refused.stdout
        assert ctrl("getNode", check=False).returncode == 2
    assert ctrl("identity", login=()).stdout == f"{node}\n"
    assert re.fullmatch(r"[0-9a-f]{64}\n", ctrl("topic", "lamp", login=()).stdout)


@pytest.mark.parametrize("suite", SUITES)
def test_mosquitto_ctrl(clean_root, suite):
    """The one of the suite itself: 2.0.11, 2.0.21 and 2.1."""
    root = clean_root(suite)
    root.run("dpkg", "-i", *before(suite, root), root.put(debian(suite)))
    controls(root)


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_it_has_the_very_file(tmp_path, suite, machine):
    """The package of a stable suite has the file that was tested in the brokers, and its module."""
    package = str(debian(suite, machine))
    subprocess.run(["dpkg-deb", "-x", package, str(tmp_path)], check=True)
    triplet = {"amd64": "x86_64", "arm64": "aarch64"}[machine] + "-linux-gnu"
    plugin = made(f"PLUGIN_GLIBC_{machine.upper()}")
    for name in (plugin.name, "mosquitto_ctrl_p2panda.so"):
        (packed,) = tmp_path.glob(f"usr/lib/*/{name}")
        assert packed.parent.name == triplet
        assert packed.read_bytes() == plugin.with_name(name).read_bytes()
    command = ["dpkg-deb", "-f", package, "Architecture"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told.strip() == machine


@pytest.mark.parametrize("suite", SUITES)
def test_tar(clean_root, tmp_path, suite):
    root = clean_root(suite)
    (archive,) = made("PACKAGES").glob("mosquitto-p2panda-*-linux.tar.gz")
    root.run("tar", "-xzf", root.put(archive), "-C", "/opt")
    script = f"/opt/{archive.name.removesuffix('.tar.gz')}/install.sh"
    root.run(script)
    node = use(root)
    root.run(script)
    assert use(root) == node
    # As it says itself.
    said = re.search(r"^ +(LD_LIBRARY_PATH=\S+) mosquitto_ctrl", root.run(script).stdout, re.M)
    controls(root, "env", said[1])
    root.run(script, "--remove")
    runs_without(root)
    root.run(script)
    assert use(root) == node
    root.run(script, "--remove", "--purge")
    left = root.run("find", "/usr", "/etc", "/var/lib/mosquitto", "-name", "*p2panda*").stdout
    assert left == ""
    runs_without(root)


def test_checksums_and_names():
    """Everything that release.sh makes is in the list of checksums, which is right."""
    folder = made("PACKAGES")
    sums = dict(
        reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    files = {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert set(sums) == files
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_the_version_is_one():
    """What CMakeLists.txt says is the newest in the changelog and in the packages' names."""
    cmake = (TREE / "CMakeLists.txt").read_text()
    version = re.search(r"project\(mosquitto_p2panda VERSION ([0-9.]+)", cmake)[1]
    headings = re.findall(r"^## (.*)$", (TREE / "CHANGELOG.md").read_text(), re.M)
    assert [one for one in headings if one != "Unreleased"][0] == version
    for path in made("PACKAGES").iterdir():
        assert path.name == "SHA256SUMS" or version in path.name, path.name


def test_the_man_page_names_every_option():
    """Those of the table in docs/options.md."""
    text = (TREE / "docs" / "options.md").read_text()
    table = text[text.index("| key | value | default |") :].split("\n\n")[0]
    keys = re.findall(r"^\| `([a-z_]+)`", table, re.M)
    assert len(keys) > 20
    page = (TREE / "docs" / "mosquitto_p2panda.7.in").read_text()
    assert [key for key in keys if not re.search(rf"^\.BI {key} ", page, re.M)] == []


def test_what_it_is_made_of(tmp_path):
    """Names each library with its version; an old one, and an unknown one, are refused."""
    path = made("PLUGIN_GLIBC_AMD64")
    sbom = json.loads(path.with_name(path.name + ".spdx.json").read_text())
    packages = {one["name"]: one for one in sbom["packages"]}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert packages["mosquitto-p2panda"]["checksums"][0]["checksumValue"] == digest
    lines = (TREE / "packaging" / "sources.txt").read_text().splitlines()
    names = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert set(packages) == names | {"mosquitto-p2panda"}

    def check(change) -> tuple[int, str]:
        changed = json.loads(json.dumps(sbom))
        change({one["name"]: one for one in changed["packages"]})
        (tmp_path / "sbom.json").write_text(json.dumps(changed))
        command = [str(TREE / "packaging" / "check-advisories"), str(tmp_path / "sbom.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    def old(packages):
        words = packages["ngtcp2"]["sourceInfo"].split()
        packages["ngtcp2"]["sourceInfo"] = " ".join([words[0], "1.21.0-1", *words[2:]])

    def unknown(packages):
        packages["libuv"]["name"] = "newcomer"

    assert check(lambda packages: None)[0] == 0
    status, text = check(old)
    assert status == 1 and "CVE-2026-40170" in text
    status, text = check(unknown)
    assert status == 1 and "newcomer" in text
