# SPDX-License-Identifier: MIT OR Apache-2.0
"""The files of qlog_dir and keylog_file are what Wireshark and qvis read."""

import json
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import threading

from identity import overlay, random_topic

PAYLOAD = b"what nobody without the keys may read"
LABELS = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
}


def talk(brokers, arguments, messages: int = 1) -> list:
    """Two brokers, of which one sends messages to the other, one after the other."""
    a, b = (brokers(**given) for given in arguments)
    a.add_peer(b)
    a.start(), b.start()
    id = random_topic()
    near, far = a.client(overlay(id)), b.client(overlay(id))
    a.wait_joined(id)
    b.wait_joined(id)
    for number in range(messages):
        payload = PAYLOAD + b" %d" % number
        near.publish(overlay(id), payload)
        far.wait_message(overlay(id), payload)
    return [a, b]


def folder(path: pathlib.Path) -> pathlib.Path:
    path.mkdir()
    return path


def records(path: pathlib.Path) -> list[dict]:
    """A JSON text sequence (RFC 7464), strictly."""
    text = path.read_bytes()
    assert text[:1] == b"\x1e" and text[-1:] == b"\n"
    return [json.loads(record) for record in text[1:].split(b"\x1e")]


def test_qlogs(brokers, tmp_path):
    places = [folder(tmp_path / f"qlog-{name}") for name in "ab"]
    made = talk(brokers, [{"options": [("qlog_dir", str(place))]} for place in places])
    for broker in made:
        broker.stop()
        assert "trace/lost" not in "".join(broker.our_log())
    by_end, names = {}, set()
    for place in places:
        for path in place.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            first, *events = records(path)
            assert first["qlog_format"] == "JSON-SEQ"
            assert {"qlog_version", "trace"} <= set(first)
            names |= {event["name"] for event in events}
            times = [event["time"] for event in events]
            assert times == sorted(times)
            id, _, end = path.stem.partition("_")
            by_end.setdefault(id, set()).add(end)
    assert {"transport:packet_sent", "transport:packet_received"} <= names
    # Both ends of a connection are found by its name.
    assert {"client", "server"} in by_end.values(), by_end


def capture(packets, stop, path: pathlib.Path):
    """Writes what comes as pcap; after stop, what had come by then."""
    packets.settimeout(0.2)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        while True:
            last = stop.is_set()
            try:
                packet = packets.recv(65535)
            except TimeoutError:
                if last:
                    return
                continue
            file.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def test_wireshark_reads_what_was_sent(brokers, net, tmp_path):
    left, right = net.hosts(["left", "right"])
    keys, pcap = tmp_path / "keys", tmp_path / "packets.pcap"
    left.send_singly(), right.send_singly()
    stop = threading.Event()
    with left.packets() as packets:
        thread = threading.Thread(target=capture, args=(packets, stop, pcap))
        thread.start()
        try:
            arguments = [{"host": left, "options": [("keylog_file", str(keys))]}, {"host": right}]
            # Wireshark takes all packets between the same two ports for the newest connection's:
            # while one begins (discovery), it cannot read those of the others.
            made = talk(brokers, arguments, messages=50)
            for broker in made:
                broker.stop()
        finally:
            stop.set()
            thread.join()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    line = re.compile(r"([A-Z0-9_]+) [0-9a-f]{64} ([0-9a-f]{64}|[0-9a-f]{96})")
    found = [line.fullmatch(text) for text in keys.read_text().splitlines()]
    assert found and all(found)
    assert {match[1] for match in found} == LABELS
    warned = [text for text in made[0].our_log() if text.startswith(f"keylog_file {keys}: ")]
    assert len(warned) == 1

    def streams(*options: str) -> bytes:
        tshark = shutil.which("tshark")
        assert tshark, "tests/packages.txt has it"
        command = [tshark, "-r", str(pcap), "-d", "udp.port==2022,quic", *options]
        command += ["-T", "fields", "-e", "quic.stream_data"]
        environment = os.environ | {"HOME": str(tmp_path)}
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return bytes.fromhex(re.sub(r"[^0-9a-f]", "", said.stdout))

    assert PAYLOAD in streams("-o", f"tls.keylog_file:{keys}")
    assert PAYLOAD not in streams() and PAYLOAD not in pcap.read_bytes()


def test_keys_are_for_nobody_else(brokers, tmp_path):
    keys = tmp_path / "keys"
    keys.touch(0o644)
    keys.chmod(0o644)
    line = brokers(options=[("keylog_file", str(keys))]).wait_refusal()
    assert line.startswith(f"keylog_file {keys} is not accepted") and "chmod 600" in line
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    line = brokers(options=[("keylog_file", str(link))]).wait_refusal()
    assert line.startswith(f"keylog_file {link} cannot be opened")


def test_a_folder_that_is_none(brokers, tmp_path):
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path / "file", "takes a folder")):
        (tmp_path / "file").touch()
        line = brokers(options=[("qlog_dir", str(path))]).wait_refusal()
        assert line.startswith(f"qlog_dir {path} ") and words in line
