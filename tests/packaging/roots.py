# SPDX-License-Identifier: MIT OR Apache-2.0
"""Stock brokers in roots of their own, and what packaging/ makes for them.

tests/packaging/prepare.sh makes it all and tells where it is, by variables of the environment.
"""

import os
import pathlib
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

import settings
from broker import Broker
from fixtures import Brokers
from netns import Host

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parents[1]
ENTER = HERE / "enter.sh"


def made(name: str) -> pathlib.Path:
    """A file or folder that prepare.sh has made."""
    path = os.environ.get(f"P2PANDA_STOCK_{name}")
    if not path:
        raise RuntimeError(f"P2PANDA_STOCK_{name} is not set: see tests/packaging/prepare.sh")
    return pathlib.Path(path)


@dataclass(frozen=True)
class Stock:
    """A stock broker and the plugin for it.

    name      what a test is called by
    version   of the broker
    root      the name of its root
    plugin    the name of its self-contained plugin
    program   the broker in its root, and what has to come before it; in capitals: where
              prepare.sh has made it
    folders   what it has to see besides, by name, and where
    """

    name: str
    version: str
    root: str
    plugin: str
    program: tuple[str, ...] = ("/usr/sbin/mosquitto",)
    folders: tuple[tuple[str, str], ...] = ()

    @property
    def plugin_path(self) -> pathlib.Path:
        return made(f"PLUGIN_{self.plugin}")

    def command(self, folder: pathlib.Path, before: Iterable[str] = ()) -> list[str]:
        """What starts the broker; folder is its own, before runs it (a debugger)."""
        folders = [str(folder), str(self.plugin_path.parent)]
        folders += [f"{made(name)}:{place}" for name, place in self.folders]
        program = [str(made(word)) if word.isupper() else word for word in self.program]
        return [str(ENTER), str(made(f"ROOT_{self.root}")), *folders, "--", *before, *program]

    def __str__(self):
        return self.name


class StockBroker(Broker):
    """One such broker process; under: what runs it, a debugger and its options."""

    def __init__(self, folder: pathlib.Path, stock: Stock, under: Iterable[str] = (), **arguments):
        super().__init__(folder, program=str(folder / "mosquitto"), **arguments)
        self._plugin = stock.plugin_path
        program = folder / "mosquitto"
        program.write_text(f"#!/bin/sh\nexec {shlex.join(stock.command(folder, under))} \"$@\"\n")
        program.chmod(0o755)

    def config(self) -> str:
        return super().config().replace(f"plugin {settings.plugin()}", f"plugin {self._plugin}")


class StockBrokers(Brokers):
    """Makes them, too."""

    def stock(self, stock: Stock, **arguments) -> StockBroker:
        name = "abcdefghij"[len(self.made)]
        self.made.append(StockBroker(self._folder / name, stock, **arguments))
        return self.made[-1]


FORKY = Stock("forky-2.1.2", "2.1.2", "FORKY", "GLIBC_AMD64")
# Of Debian, in roots of their own.
DEBIANS = [
    FORKY,
    Stock("trixie-2.0.21", "2.0.21", "TRIXIE", "GLIBC_AMD64"),
    Stock("bookworm-2.0.11", "2.0.11", "BOOKWORM", "GLIBC_AMD64"),
]
# As the official image has it, but for Alpine: built from Debian's source, against musl.
MUSL = Stock(
    "musl-2.1.2", "2.1.2", "MUSL", "MUSL_AMD64", ("BROKER_MUSL",), (("BUILT", "/built"),)
)
ARM64 = Stock(
    "arm64-2.1.2", "2.1.2", "FORKY_ARM64", "GLIBC_ARM64", ("/qemu-aarch64", "/usr/sbin/mosquitto")
)
BROKERS = [*DEBIANS, MUSL]


class Root:
    """A root of Debian with a stock broker, to install into; a machine of its own (host)."""

    def __init__(self, path: pathlib.Path, host: Host):
        self.path, self.host = path, host

    @classmethod
    def copied(cls, suite: str, path: pathlib.Path, host: Host) -> "Root":
        subprocess.run(["cp", "-a", str(made(f"ROOT_{suite.upper()}")), str(path)], check=True)
        (path / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        return cls(path, host)

    def command(self, *words: str) -> list[str]:
        enter = [str(ENTER), str(self.path), "--", "env", "DEBIAN_FRONTEND=noninteractive"]
        return self.host.command(*enter, *words)

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs a command there; what it prints is in stdout."""
        done = subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}"
        return done

    def file(self, path: str) -> pathlib.Path:
        return self.path / path.lstrip("/")

    def put(self, file: pathlib.Path, folder: str = "/opt") -> str:
        """Copies a file into it; returns where it is there."""
        shutil.copy(file, self.file(folder))
        return f"{folder}/{file.name}"

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
