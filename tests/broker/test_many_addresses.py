# SPDX-License-Identifier: MIT OR Apache-2.0
"""Names that lead to many addresses, of which one is good."""

import pytest

from identity import overlay, random_topic
from netns import PORT
from settings import within


def with_hosts(folder, name: str, addresses: list[str]) -> list[str]:
    """The launcher of a broker for which a name has these addresses."""
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for address in addresses))
    script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(hosts)]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_the_good_one_comes_last(net, brokers, tmp_path, count):
    """Sixteen of them are tried at a time."""
    here, there = net.host("a", v6=False), net.host("b", v6=False)
    # Nobody has the others, which are nearer to our own (RFC 6724, rule 9), so they come first.
    there.add_address("10.77.255.7")
    addresses = [f"10.77.0.{100 + number}" for number in range(count - 1)] + ["10.77.255.7"]
    a = brokers(host=here, launcher=with_hosts(tmp_path, "pool.test", addresses))
    b = brokers(host=there)
    a.add_peer(b, f"pool.test:{PORT}")
    b.start(), a.start()
    topic = random_topic()
    a.client(overlay(topic)), b.client(overlay(topic))
    a.wait_joined(topic, within(60))
    # It is there by that address, or has heard so where we are and has dialled us: it did not
    # know us before.
    a.wait_log(
        rf"{b.id[:10]} at (10\.77\.255\.7:2022: (reached|here \(dialled\))|\S+: here \(incoming\))"
    )
    said = f"peer {b.id[:10]}: its names lead to {count} addresses: they are tried 16 at a time"
    assert [line for line in a.our_log() if "names lead" in line] == [said] * (count > 16)
