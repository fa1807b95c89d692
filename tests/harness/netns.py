# SPDX-License-Identifier: MIT OR Apache-2.0
"""Machines with a network of their own: network namespaces, joined by switches.

    with Net() as net:
        left, right = net.switch(), net.switch()
        trunk = net.trunk(left, right)
        a, b = net.host("a", left), net.host("b", right)
        Broker(tmp_path / "a", host=a).start()
        trunk.cut()     # silently: no host's interface changes
        trunk.mend()

A host has one interface, eth0, with an IPv4, an IPv6 and a link-local address; no name
service, and no way out of its net. Every namespace lives as long as the process that holds it,
and that one no longer than the test: nothing is left over, whatever happens.

Switches are bridges in a namespace of their own: where Docker is, a bridge in the first one
drops IPv4.
"""

import itertools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence

PORT = 2022  # of the nodes, each on its own host
_ETH_P_ALL = 3
_INTERFACE = "eth0"
# Where a packet goes that has no other way: nowhere, but without an error.
_DEFAULTS = {4: f"route replace 0.0.0.0/0 dev {_INTERFACE}", 6: f"route replace ::/0 dev {_INTERFACE}"}


class NoNamespaces(RuntimeError):
    """This process may not make network namespaces."""


class _Namespace:
    """One network namespace, held by a process that ends with this one."""

    def __init__(self):
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; read _"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if self._holder.stdout.read(1) != b"\n":
            reason = self._holder.stderr.read().decode().strip()
            self.close()
            raise NoNamespaces(
                f"no network namespace can be made: {reason}. These tests need CAP_SYS_ADMIN and "
                "CAP_NET_ADMIN, as tests/run.sh sees to (in Docker: --cap-add, "
                "--security-opt apparmor=unconfined; elsewhere: root, or user namespaces)"
            )
        self.pid = self._holder.pid
        self.path = f"/proc/{self.pid}/ns/net"

    def command(self, *words: str | os.PathLike) -> list[str]:
        """A command line that runs in here, as the process that is started."""
        return ["nsenter", f"--net={self.path}", "--", *map(os.fspath, words)]

    def ip(self, *lines: str, program: str = "ip"):
        """Runs commands of ip(8) or bridge(8); the rest is not run after a failure."""
        done = subprocess.run(
            self.command(program, "-batch", "-"),
            input="\n".join(lines), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise NoNamespaces(f"{program}: {done.stderr.strip()} (in: {'; '.join(lines)})")

    def close(self):
        self._holder.stdin.close()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder.stderr.close()


class Cable:
    """What hangs on one port of a switch: a host or another switch."""

    def __init__(self, switches: _Namespace, port: str):
        self._switches = switches
        self._port = port

    def cut(self):
        """From now on nothing comes through, and nobody is told: interfaces stay up."""
        self._set_state("disabled")

    def mend(self):
        self._set_state("forwarding")

    def set_mtu(self, size: int):
        """From now on larger packets are lost here, and nobody is told."""
        self._switches.ip(f"link set dev {self._port} mtu {size}")

    def isolate(self):
        """From now on nothing goes between it and others that are isolated as well; all of them
        reach the rest. Nobody is told."""
        self._switches.ip(f"link set dev {self._port} isolated on", program="bridge")

    def connect(self):
        """It reaches everybody again."""
        self._switches.ip(f"link set dev {self._port} isolated off", program="bridge")

    def _set_state(self, state: str):
        self._switches.ip(f"link set dev {self._port} state {state}", program="bridge")


class Host:
    """One machine. addresses: its own, IPv4 first; cable: to its switch."""

    def __init__(self, name: str, folder: pathlib.Path, cable: Cable, space: _Namespace):
        self.name = name
        self.cable = cable
        self.interface = 2  # the index of eth0: the first one after lo
        self.addresses: list[str] = []
        self._folder = folder
        self._space = space

    def address(self, port: int = PORT, host: str | None = None) -> str:
        """host:port of its first address, or of that one."""
        host = host or self.addresses[0]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def path(self, name: str) -> pathlib.Path:
        """A short path for a Unix socket, which can be reached from everywhere."""
        return self._folder / f"{self.name}.{name}"

    def command(self, *words: str | os.PathLike) -> list[str]:
        """A command line that runs on this host, as the process that is started."""
        return self._space.command(*words)

    def add_address(self, address: str):
        self._space.ip(self._change("add", address))
        self.addresses.append(address)

    def remove_address(self, address: str):
        self._space.ip(self._change("del", address))
        self.addresses.remove(address)

    def _change(self, what: str, address: str) -> str:
        if ":" not in address:
            return f"addr {what} {address}/16 dev {_INTERFACE}"
        # Known at once: who else should have it.
        return f"addr {what} {address}/64 dev {_INTERFACE}" + " nodad" * (what == "add")

    def replace_addresses(self, *addresses: str):
        """Other addresses instead of all it has, at once."""
        self._space.ip(
            # With an IPv4 address go those of its network that came later: so these first.
            *(self._change("del", address) for address in self.addresses),
            *(self._change("add", address) for address in addresses),
            # A route goes with the last address of its family.
            *(_DEFAULTS[6 if ":" in address else 4] for address in addresses),
        )
        self.addresses = list(addresses)

    def ip(self, *lines: str):
        """Commands of ip(8) on this host."""
        self._space.ip(*lines)

    def send_singly(self):
        """From now on its trains of packets (GSO) are taken apart here, not where they arrive:
        on the way nobody measures what is in one."""
        self._space.ip(f"link set dev {_INTERFACE} gso_max_segs 1")

    def set_mtu(self, size: int):
        self._space.ip(f"link set dev {_INTERFACE} mtu {size}")

    def lose(self, other: "Host"):
        """From now on what it sends to that host goes nowhere, without an error."""
        self._space.ip(
            *(
                f"neigh replace {address} lladdr 02:00:00:00:00:01 nud permanent dev {_INTERFACE}"
                for address in other.addresses
            )
        )

    def find(self, other: "Host"):
        """It arrives again."""
        self._space.ip(*(f"neigh del {address} dev {_INTERFACE}" for address in other.addresses))

    def udp(self, address: str = "", port: int = 0) -> socket.socket:
        """A UDP socket on this host, bound to one of its addresses (default: the first)."""
        return self._socket(socket.SOCK_DGRAM, address or self.addresses[0], port)

    def tcp(self, address: str = "", port: int = 0) -> socket.socket:
        """A TCP socket on this host, bound likewise: to listen, or to connect from there."""
        return self._socket(socket.SOCK_STREAM, address or self.addresses[0], port)

    def packets(self) -> socket.socket:
        """A socket that reads all that this host sends and receives, as it is on the wire."""
        made = self._make(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        made.bind((_INTERFACE, _ETH_P_ALL))
        return made

    def _socket(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        made = self._make(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        return made

    def _make(self, family: int, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
        found: list[socket.socket | BaseException] = []

        def make():
            # A thread may be elsewhere than its process, and a socket stays where it was made.
            try:
                with open(self._space.path) as space:
                    os.setns(space.fileno(), os.CLONE_NEWNET)
                found.append(socket.socket(family, kind, protocol))
            except BaseException as error:  # raised below
                found.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def __repr__(self):
        return f"<Host {self.name} {' '.join(self.addresses)}>"


class Switch:
    def __init__(self, name: str):
        self.name = name


class Net:
    """Hosts and switches; close() or the end of the test's process removes all of it."""

    def __init__(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="p2panda-net-"))
        self._spaces: list[_Namespace] = []
        self._numbers = itertools.count(1)
        self._switch: Switch | None = None
        try:
            self._switches = self._space()
        except BaseException:
            self.close()
            raise

    def _space(self) -> _Namespace:
        self._spaces.append(_Namespace())
        return self._spaces[-1]

    def switch(self) -> Switch:
        name = f"s{next(self._numbers)}"
        # It learns nobody's multicast groups: multicast goes everywhere.
        self._switches.ip(
            f"link add {name} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
            f"link set {name} up",
        )
        return Switch(name)

    def host(self, name: str, switch: Switch | None = None, v4: bool = True, v6: bool = True) -> Host:
        """A new host on this switch, or on one that all those share which name none."""
        if switch is None:
            self._switch = switch = self._switch or self.switch()
        number = next(self._numbers)
        space = self._space()
        self._switches.ip(
            f"link add p{number} type veth peer name {_INTERFACE} netns {space.pid}",
            f"link set p{number} master {switch.name} up",
        )
        host = Host(name, self._folder, Cable(self._switches, f"p{number}"), space)
        # The link-local address by hand as well: the kernel would check for a second it first.
        space.ip(
            "link set lo up",
            f"link set {_INTERFACE} addrgenmode none",
            f"link set {_INTERFACE} up",
        )
        if v4:
            host.add_address(f"10.77.0.{number}")
            space.ip(_DEFAULTS[4])
        if v6:
            host.add_address(f"fd77::{number:x}")
            space.ip(
                f"addr add fe80::{number:x}/64 dev {_INTERFACE} nodad",
                _DEFAULTS[6],
            )
        return host

    def hosts(self, names: Sequence[str], switch: Switch | None = None) -> list[Host]:
        return [self.host(name, switch) for name in names]

    def trunk(self, one: Switch, other: Switch) -> Cable:
        """Joins two switches."""
        number = next(self._numbers)
        near, far = f"t{number}a", f"t{number}b"
        self._switches.ip(
            f"link add {near} type veth peer name {far}",
            f"link set {near} master {one.name} up",
            f"link set {far} master {other.name} up",
        )
        return Cable(self._switches, near)

    def close(self):
        for space in self._spaces:
            space.close()
        self._spaces.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
