# SPDX-License-Identifier: MIT OR Apache-2.0
"""Policies of the system that the node has to live with, or says why it cannot."""

from identity import overlay, random_topic
from sandbox import denied

# A policy for everything that uses OpenSSL: 256 bits, which no Ed25519 key has.
POLICY = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = strict
[strict]
CipherString = DEFAULT:@SECLEVEL=5
"""


def test_security_level_of_the_system(brokers, tmp_path):
    policy = tmp_path / "openssl.cnf"
    policy.write_text(POLICY)
    a, b = (brokers(environment={"OPENSSL_CONF": str(policy)}) for _ in "ab")
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    at_a.publish(topic, b"hello")
    at_b.wait_message(topic, b"hello")


def test_eventfd_is_denied(brokers, tmp_path):
    """It is named: there is memory enough."""
    broker = brokers(launcher=denied(tmp_path, "eventfd2=EPERM"))
    assert broker.wait_refusal() == (
        "the node's event loop cannot be made (epoll, eventfd): operation not permitted"
    )


def test_timers_are_denied(brokers, tmp_path):
    """What arrives does so all the same."""
    a, b = brokers(), brokers(launcher=denied(tmp_path, "timer_create=EPERM"))
    a.add_peer(b)
    a.start(), b.start()
    topic = overlay(random_topic())
    at_a, at_b = a.client(topic), b.client(topic)
    for number in range(10):
        at_a.publish(topic, b"%d" % number)
        at_b.wait_message(topic, b"%d" % number)
