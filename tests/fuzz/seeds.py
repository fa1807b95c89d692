#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writes the seeds of some of the fuzzers, made from the vectors of the real crates.

Run it from anywhere; it writes corpus/{wire,frame,addr_info,gossip,book_row,mdns,info,session,
mesh,signed,codec_json,codec_cbor,record,store,identity,link,relay_url,relay_frame,relay_http,
relay_client,control} beside itself.
"""

import json
import struct
from pathlib import Path

here = Path(__file__).resolve().parent
vectors = json.loads((here.parent / "vectors" / "vectors06.json").read_text())
gossip = vectors["gossip"]

RECEIVE, ASK, PUBLISH, LOSE, TICK = 0, 4, 5, 6, 7


def write(corpus, name, data):
    folder = here / "corpus" / corpus
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def step(what, peer=0, data=b"", topic=0, length=None):
    size = len(data) if length is None else length
    return struct.pack(">BH", what | topic << 3 | peer << 4, size) + data


bodies = {m["name"]: bytes.fromhex(m["postcard"]) for m in gossip["messages"]}
for name, body in bodies.items():
    write("wire", name, body)
for number, info in enumerate(gossip["addr_info"]):
    write("addr_info", f"{number}", bytes.fromhex(info["postcard"]))

header = bytes.fromhex(gossip["stream_header"]["frame"])
frames = b"".join(bytes.fromhex(m["frame"]) for m in gossip["messages"])
write("frame", "all_messages", bytes([7]) + header + frames)
for name in ("gossip_opening", "gossip_publish_hello"):
    write("frame", name, bytes([1]) + bytes.fromhex(vectors["captured"][name]["bytes"]))
write("frame", "empty_frames", bytes([3]) + bytes(12))
write("frame", "too_large", bytes([9]) + b"\x00\x00\x10\x01" + bytes(8))

# Six peers become neighbours, then everything is received from each of them.
meet = b"".join(step(RECEIVE, peer, bodies["neighbor_high_data"]) for peer in range(6))
write("gossip", "meet", meet + step(TICK, length=60000))
write("gossip", "ask", step(ASK, 1) + step(TICK, length=500) + step(RECEIVE, 1, bodies["neighbor_low_none"]))
write("gossip", "join", b"".join(step(RECEIVE, p, bodies["join_peer_data"]) for p in range(7)))
every = b"".join(
    step(RECEIVE, number % 6, body) + step(TICK, length=number * 3)
    for number, body in enumerate(bodies.values())
)
write("gossip", "all_messages", meet + every)
write(
    "gossip",
    "repair",
    meet
    + step(RECEIVE, 1, bodies["prune"])
    + step(PUBLISH, 0, b"hello")
    + step(RECEIVE, 1, bodies["graft_some"])
    + step(RECEIVE, 2, bodies["ihave_three"])
    + step(TICK, length=80)
    + step(TICK, length=40)
    + step(RECEIVE, 2, bodies["gossip_300"])
    + step(RECEIVE, 3, bodies["gossip_300"])
    + step(LOSE, 2)
    + step(RECEIVE, 1, bodies["shuffle_reply"])
    + step(LOSE, 15),
)

# Rows of the address book (bridge/peers/book_row.c).
infos = [
    [bytes.fromhex(info["info_cbor"]) for info in json.loads((here.parent / "vectors" / name).read_text())["transport_info"]]
    for name in ("vectors07.json", "vectors071.json")
]
V4 = b"\x04\x0a\x00\x00\x01\x07\xe6"
V6 = b"\x06\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x07\xe6"


def row(flags, dialect=0, failures=0, good=b"", source=b"", hearsay=(), infos=(), topics=()):
    return (
        bytes([1, flags, dialect, failures])
        + b"\x80\x80\xf9\xc0\xc1\xc4\x82\x03"
        + b"\x00"
        + good
        + source
        + bytes([len(hearsay)])
        + b"".join(hearsay)
        + b"".join(infos)
        + bytes([len(topics)])
        + b"".join(topics)
    )


write("book_row", "empty", row(0))
write("book_row", "good", row(1, 1, 0, good=V4))
write("book_row", "hearsay", row(2, 0, 3, source=bytes([7] * 32), hearsay=(V4, V6)))
write("book_row", "topics", row(0, 2, topics=[bytes([n] * 32) for n in range(5)]))
for number, (first, second) in enumerate(zip(*infos)):
    write("book_row", f"infos_{number}", row(0x3C, 3, infos=(first, second)))
write("book_row", "all", row(0x3F, 3, 1, V6, bytes(32), [V4] * 3, (infos[0][1], infos[1][1]), [bytes(32)]))


def datagram(packet, delay=0):
    return struct.pack(">HB", len(packet), delay) + packet


for generation in ("06", "07"):
    capture = json.loads((here.parent / "vectors" / f"mdns{generation}_packets.json").read_text())
    packets = [bytes.fromhex(packet["hex"]) for packet in capture["packets"]]
    for number, packet in enumerate(packets[:3]):
        write("mdns", f"packet{generation}_{number}", b"\0" + datagram(packet))
    conversation = b"".join(datagram(packet, 15 * (number % 3)) for number, packet in enumerate(packets))
    write("mdns", f"conversation{generation}", b"\1" + conversation)
service = b"\x0a_p2pandav1\x04_udp\x05local\0"
write(
    "mdns",
    "questions",
    b"\0"
    + datagram(bytes(4) + b"\0\2" + bytes(6) + b"\4_ipp\4_tcp\5local\0\0\x0c\0\1" + service + b"\0\xff\x80\1")
    + datagram(bytes(4) + b"\0\1" + bytes(6) + b"\xc0\x0c\0\x0c\0\1", 1),
)


# One transport info: its form, then itself.
CBOR, POSTCARD, TEXT = 0, 1, 2
# A session: which side we are, what the peer speaks, the slices (1 to 32), then what it says.
ALICE, BOB = 0, 1
DIALECTS = {"06": 1, "07": 2, "071": 3}


def session(name, role, dialect, slice_size, *messages):
    first = role | DIALECTS[dialect] << 1 | (slice_size - 1) << 3
    write("session", f"{name}_{dialect}", bytes([first]) + b"".join(messages))


for dialect in DIALECTS:
    vectors = json.loads((here.parent / "vectors" / f"vectors{dialect}.json").read_text())
    for number, info in enumerate(vectors["transport_info"]):
        name = f"{dialect}_{number}"
        write("info", f"cbor_{name}", bytes([CBOR]) + bytes.fromhex(info["info_cbor"]))
        write("info", f"postcard_{name}", bytes([POSTCARD]) + bytes.fromhex(info["info_postcard"]))
        write("info", f"text_{name}", bytes([TEXT + 3 * (number % 2)]) + info["mdns_user_data"].encode())

    said = {m["name"]: bytes.fromhex(m["stream"]) for m in vectors["discovery"]["messages"]}
    bob = {n: m for n, m in said.items() if n.startswith("bob_salt")}
    alice = {n: m for n, m in said.items() if n.startswith("alice_hashed")}
    nodes = {n: m for n, m in said.items() if n.startswith("nodes")}
    for (name, hashes), last in zip(bob.items(), list(nodes.values())[1:]):
        session(name, ALICE, dialect, 7, hashes, last)
    for (name, hashes), last in zip(alice.items(), list(nodes.values())[1:]):
        session(name, BOB, dialect, 7, said["alice_salt_half"], hashes, last)
    session("mixed_salt", BOB, dialect, 1, said["alice_salt_half_mixed"], said["alice_hashed_0_topics"], said["nodes_empty"])
    captured = {k: bytes.fromhex(v) for k, v in vectors["captured"]["discovery"].items() if k[0].isdigit()}
    session("captured", BOB, dialect, 32, captured["1_alice_salt_half"], captured["3_alice_hashed"], captured["5_alice_nodes"])
    session("captured_bob", ALICE, dialect, 32, captured["2_bob_reply"], captured["5_alice_nodes"])

# 0.5 as a node that says 0.6's is met: its hashes are arrays of integers.
old = json.loads((here.parent / "vectors" / "vectors05.json").read_text())["discovery"]["messages"]
old = {m["name"]: bytes.fromhex(m["stream"]) for m in old}
last = json.loads((here.parent / "vectors" / "vectors06.json").read_text())["discovery"]["messages"]
last = next(bytes.fromhex(m["stream"]) for m in last if m["name"] == "nodes_one")
for name, hashes in old.items():
    first = (ALICE if name.startswith("bob") else BOB) | DIALECTS["06"] << 1 | 6 << 3
    salt = b"" if name.startswith("bob") else old["alice_salt_half"]
    if name != "alice_salt_half":
        write("session", f"{name}_05", bytes([first]) + salt + hashes + last)

# A custom transport address, which no vector has: that of iroh before 1.1 in CBOR, a later one's in both.
first = json.loads((here.parent / "vectors" / "vectors06.json").read_text())["transport_info"][4]
inline = b"\xa1\x66Custom\xa2\x62id\x01\x64data\xa1\x66Inline\xa2\x64size\x02\x64data\x98\x1e" + bytes(30)
plain = b"\xa1\x66Custom\xa2\x62id\x01\x64data\x42ab"
for name, address in {"inline": inline, "plain": plain}.items():
    write("info", f"cbor_custom_{name}", bytes([CBOR]) + bytes.fromhex(first["info_cbor"])[:-1] + b"\x81" + address)
write("info", "postcard_custom", bytes([POSTCARD]) + bytes.fromhex(first["info_postcard"])[:-1] + b"\x01\x02\x01\x02ab")


# Subscriptions from before a restart, a key and a value each.
HEX = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"


def record_row(key, value):
    return struct.pack(">HB", len(key), len(value)) + key + value


def record(client, filter, value=b"\1"):
    """In the old form."""
    return record_row(client + b"\0" + filter + b"\0", value)


plain, shared = f"p2panda/{HEX}".encode(), f"$share/group/p2panda/{HEX}".encode()
write("record", "plain", record(b"client", plain))
write("record", "shared", record(b"client", shared, b"\2") + record(b"", plain, b"\0"))
write("record", "wrong", record(b"a", plain, b"\3") + record(b"b", b"p2panda/+") + record(b"c", plain[:-1], b""))
write("record", "many", b"".join(record(b"%d" % (n % 3), plain[:-1] + b"%x" % n) for n in range(12)))

# BLAKE3 of "client" and of "other".
CLIENT = bytes.fromhex("df976a39fc87dedda21cad0c73d2eb7b")
OTHER = bytes.fromhex("3f796163ebf94718de1cd7582655c012")
ids = record_row(b"\xfec" + CLIENT, b"client\0"), record_row(b"\xfec" + OTHER, b"other\0")
named = [record_row(b"\xfes" + name + filter, b"\1") for name in (CLIENT, OTHER) for filter in (plain, shared)]
write("record", "new", ids[0] + named[0] + named[1])
write("record", "new_any_order", named[2] + named[0] + b"".join(ids) + named[3])
write("record", "new_orphans", ids[0] + named[2])
write("record", "new_wrong", record_row(b"\xfec" + OTHER, b"client\0") + b"".join(named))
write("record", "new_and_old", ids[0] + record(b"client", plain) + named[1] + record(b"other", shared))

# Rows of the database: the table and the columns' types (0 to 3: blob, text, integer, zeros).
NODE, RECORD, OWN, NEIGHBOUR = range(4)


def table_row(table, *columns):
    types = sum(kind << 2 * number for number, (kind, _) in enumerate(columns))
    return bytes([table | types << 2]) + b"".join(bytes([len(data)]) + data for _, data in columns)


ADDRESS = b"\x04\xc0\0\2\1" + bytes(12) + b"\3\xe9"
rows = {
    "node": table_row(NODE, (0, bytes([1] * 32)), (0, row(1, 1, 0, good=V4))),
    "record": table_row(RECORD, (0, b"client\0" + plain + b"\0"), (0, b"\1")),
    "own": table_row(OWN, (1, b"info_time"), (0, bytes(8))),
    "neighbour": table_row(NEIGHBOUR, (0, bytes([2] * 32)), (0, bytes([3] * 32)), (0, 2 * ADDRESS)),
    "types": table_row(NODE, (2, bytes(8)), (3, b"123")) + table_row(OWN, (0, b"a\0b"), (1, b"text")),
}
for name, data in rows.items():
    write("store", name, data)
write("store", "all", b"".join(rows.values()))

# RFC 8410, section 10.3: a key without and one with attributes.
KEYS = {
    "plain": "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC",
    "attributes": "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
    "oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n"
    "Z9w7lshQhqowtrbLDFw4rXAxZuE=",
}
for name, key in KEYS.items():
    write("identity", name, f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n".encode())
write("identity", "another", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

# Links: what is done (below), with whom, and how much.
SEND, CONTROL, RELEASE, RESUME, CONNECT, CUT, ACKNOWLEDGE, END, BEGUN, OVER, CREDIT, PASS = range(12)


def links(*steps):
    return b"".join(bytes([what | whom << 4, much]) for what, whom, much in steps)


write("link", "to_and_fro", links((CONNECT, 0, 9), (SEND, 0, 3), (ACKNOWLEDGE, 0, 2), (PASS, 0, 9), (RELEASE, 0, 0), (END, 0, 0)))
write("link", "cut", links((CONNECT, 1, 9), (SEND, 1, 7), (ACKNOWLEDGE, 0, 2), (CUT, 0, 0), (PASS, 0, 50), (CONNECT, 1, 9), (PASS, 0, 5), (RESUME, 1, 0), (ACKNOWLEDGE, 0, 15)))
write("link", "no_credit", links((CONNECT, 2, 0), (SEND, 2, 7), (SEND, 5, 7), (PASS, 0, 40), (CREDIT, 0, 1), (PASS, 0, 80)))
write("link", "two", links((CONNECT, 0, 2), (SEND, 0, 1), (CONNECT, 0, 2), (SEND, 0, 1), (BEGUN, 1, 0), (PASS, 0, 99), (OVER, 1, 0), (CUT, 1, 0), (PASS, 0, 120)))
# Signed messages, and bodies alone: one of each type as 0.7.1 makes it, and some of those made by hand.
types = set()
for number, vector in enumerate(json.loads((here.parent / "vectors" / "streams071.json").read_text())):
    if vector.get("message_len", 9999) < 400 and vector["body_type"] not in types:
        types.add(vector["body_type"])
        write("signed", f"body_{number}", bytes.fromhex(vector["body_cbor_hex"]))
        if len(types) % 4 == 0:
            write("signed", f"message_{number}", bytes.fromhex(vector["message_hex"]))
for number, by_hand in enumerate(json.loads((here.parent / "vectors" / "streams_decode.json").read_text())):
    if number % 14 == 0 and len(by_hand["message_hex"]) < 800:
        write("signed", f"hand_{number}", bytes.fromhex(by_hand["message_hex"]))
# A whole node: a byte of configuration, then steps (fuzz_mesh.c).
(
    CONNECTED,
    CLOSED,
    FRAME,
    BYTES,
    SESSION,
    STREAM_CLOSED,
    PASS,
    JOIN,
    LEAVE,
    SAY,
    RESOLVED,
    PACKET,
    ANNOUNCE,
    ADDRESSES,
    CREDIT,
    FAIL,
    LATE,
    CLOCK,
    REFUSED,
    STOP,
) = range(20)
PEER, PEERS, BOOTSTRAP, DENIED, NAMED, KEPT, PASSIVE, ACTIVE = 1, 2, 4, 8, 16, 32, 64, 128
INCOMING, DISCOVERY = 0x40, 0x80


def happens(what, argument=0, data=b""):
    return struct.pack(">BBH", what, argument, len(data)) + data


def passes(ms):
    """As near as the square of a byte comes."""
    return happens(PASS, 0, bytes([round(ms**0.5)]))


def mesh(name, configuration, *steps):
    write("mesh", name, bytes([configuration]) + b"".join(steps))


found = happens(RESOLVED, 1, b"\x81") + happens(RESOLVED, 2, b"\x82") + happens(RESOLVED, 3, b"\x83")
neighbour = bodies["neighbor_high_data"]
mesh("nothing", 0)
mesh(
    "neighbour",
    PEER,
    happens(JOIN),
    happens(SAY, 0, b"waits"),
    found,
    happens(CONNECTED),
    happens(FRAME, 0, neighbour),
    happens(SAY, 0, b"hello"),
    happens(FRAME, 0, bodies["gossip_300"]),
    happens(FRAME, 0, bodies["graft_some"]),
    passes(10000),
    happens(LEAVE),
)
crowd = b"".join(happens(CONNECTED, INCOMING | node) for node in range(1, 7))
asked = b"".join(happens(FRAME, at, bodies["join_peer_data"]) for at in range(6))
mesh("crowd", 0, happens(JOIN), crowd, asked, passes(60000), happens(STOP))
every = b"".join(
    happens(FRAME, number % 6, body) + passes(number * 3) for number, body in enumerate(bodies.values())
)
mesh("all_messages", 0, happens(JOIN), crowd, asked, every, passes(3000), every)
mesh(
    "two_overlays",
    PEERS,
    found,
    happens(JOIN),
    crowd,
    *(happens(FRAME, 0x20 * topic | at, neighbour) for topic in range(3) for at in range(3)),
    happens(JOIN, 1),
    happens(SAY, 1, b"one"),
    happens(JOIN, 2),  # over the limit
    happens(SAY, 2, b"refused"),
    happens(LEAVE, 0),
    happens(STREAM_CLOSED, 0),
    passes(64000),
)
mesh(
    "two_connections",
    PEER,
    happens(JOIN),
    found,
    happens(CONNECTED),
    happens(CONNECTED, INCOMING | 1),
    happens(FRAME, 0, neighbour),
    happens(FRAME, 1, neighbour),
    happens(SAY, 0, b"on the newest"),
    happens(CLOSED, 1, b"\1"),
    passes(500),
    happens(CLOSED, 0, b"\4"),
    passes(2000),
    found,
)
mesh(
    "alice",
    BOOTSTRAP,
    happens(JOIN),
    found,
    passes(200),
    happens(CONNECTED, DISCOVERY),
    happens(SESSION, 3),
    passes(3000),
    happens(CONNECTED),
    happens(FRAME, 0, neighbour),
    passes(30000),
    happens(CONNECTED, DISCOVERY),
    happens(CLOCK, 3),
    happens(SESSION, 2),
)
mesh(
    "bob",
    DENIED,
    happens(JOIN),
    happens(JOIN, 1),
    *(happens(CONNECTED, DISCOVERY | INCOMING | node) for node in range(1, 5)),
    *(happens(SESSION, at | 0x20 * at) for at in range(4)),
    happens(CLOCK, 1),
    passes(3000),
    happens(CONNECTED, DISCOVERY | INCOMING | 5),
    happens(SESSION, 1),
    passes(10000),
)
for dialect in DIALECTS:
    said = json.loads((here.parent / "vectors" / f"vectors{dialect}.json").read_text())["discovery"]["messages"]
    stream = b"".join(bytes.fromhex(m["stream"]) for m in said if m["name"].startswith("alice") or m["name"].startswith("nodes"))
    mesh(
        f"raw_session_{dialect}",
        0,
        happens(JOIN),
        happens(CONNECTED, DISCOVERY | INCOMING | 1),
        happens(BYTES, DISCOVERY | 0x40, stream[:100]),
        happens(BYTES, DISCOVERY, stream[100:]),
        passes(10000),
    )
framed = struct.pack(">I", len(neighbour)) + neighbour
mesh(
    "slices",
    0,
    happens(JOIN),
    happens(CONNECTED, INCOMING | 1),
    happens(BYTES, 0x40, struct.pack(">I", 32) + b"\x11" * 10),
    happens(BYTES, 0, b"\x11" * 22 + framed[:5]),
    happens(BYTES, 0, framed[5:] + framed[:9]),
    happens(STREAM_CLOSED, 0),
    happens(BYTES, 0x40, struct.pack(">I", 32) + b"\x11" * 32 + framed[:9]),
    happens(CLOSED, 0, b"\1"),
)
mesh(
    "forged",
    BOOTSTRAP,
    happens(JOIN),
    happens(CLOCK, 4),
    happens(LATE, 40),
    happens(CONNECTED, DISCOVERY | INCOMING | 2),
    happens(SESSION),
    passes(1000),
    happens(CONNECTED, DISCOVERY | INCOMING | 2),
    happens(SESSION),
    happens(CONNECTED, DISCOVERY | INCOMING | 3),
    happens(SESSION),
)
mesh("not_gossip", 0, happens(JOIN), crowd, happens(BYTES, 0x40, frames), happens(BYTES, 1, header), passes(100))
mesh(
    "local",
    ACTIVE,
    happens(JOIN),
    *(happens(ANNOUNCE, node | 8 * (node % 2)) for node in range(8)),
    passes(1000),
    happens(CONNECTED),
    happens(FRAME, 0, neighbour),
    happens(ADDRESSES, 0x15),
    passes(1000),
    happens(CLOCK, 1),
    happens(ANNOUNCE, 0),
    happens(PACKET, 0, packets[0]),
    happens(PACKET, 0, packets[1]),
    passes(60000),
)
mesh(
    "kept",
    KEPT | NAMED | PASSIVE,
    bytes([len(row(1, 1, 0, good=V4))]) + row(1, 1, 0, good=V4),
    happens(JOIN),
    happens(RESOLVED, 0, b"\x80\x01"),
    happens(CONNECTED),
    happens(RESOLVED, 0),
    happens(REFUSED, 5),
    happens(CLOCK, 2),
    passes(60000),
)
for at in range(8):
    mesh(
        f"fails_{at}",
        PEERS | BOOTSTRAP,
        happens(JOIN),
        found,
        happens(FAIL, (at % 3) | (8 * (1 + at) if at < 4 else 4 | 16 * at)),
        happens(LATE, 4 * at),
        happens(CONNECTED),
        happens(CONNECTED, DISCOVERY),
        happens(SESSION),
        happens(FRAME, 0, neighbour),
        happens(FAIL, (at % 3) | (8 * (1 + at) if at < 4 else 4 | 16 * at)),
        happens(SAY, 0, b"hello"),
        passes(1000),
        happens(CREDIT, 0x60),
        crowd,
        every,
    )

# Bodies of messages, of each generation where they differ, and the JSON that becomes them after
# a byte that says in which order keys are.
SORTED, WRITTEN = b"\0", b"\1"
known = set()
for generation in ("06", "071"):
    for value in json.loads((here.parent / "vectors" / f"streams{generation}.json").read_text()):
        body = bytes.fromhex(value.get("body_cbor_hex", ""))
        # Of the many integers and strings there some are enough.
        if not 0 < len(body) <= 200 or body in known or (len(body) < 12 and body[0] < 0x80 and body[-1] % 4):
            continue
        known.add(body)
        name = value["name"].replace("^", "").replace("*", "x")
        write("codec_cbor", f"{name}_{generation}", body)
        if value["body_json_says_it"] and (b"\xa2" in body or len(known) % 4 == 0):
            text = json.dumps(value["body_json"], ensure_ascii=len(known) % 2 == 0).encode()
            write("codec_json", f"{name}_{generation}", (WRITTEN if generation == "06" else SORTED) + text)
for name, text in {
    "escapes": rb'"\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\udc3c"',
    "lone_surrogate": rb'["\ud83d"]',
    "twice": rb'{"a":1,"\u0061":2}',
    "unsorted": b'{ "bb" : [ { "z" : -0.0 , "y" : 1E+2 } ] , "a" : {} }',
    "largest": b"[18446744073709551615,-18446744073709551616,1.7976931348623157e308,5e-324]",
    "too_large": b"[18446744073709551616]",
    "zero": b"[-0]",
    "trailing": b"1 2",
    "deep": b"[" * 65,
    "grows": b"[" + b",".join([b"0.1"] * 500) + b"]",
}.items():
    write("codec_json", name, (WRITTEN if name in ("unsorted", "grows") else SORTED) + text)
for name, body in {
    "tagged_null": "c1f6",
    "tags": "82c11a65000000d9d9f7a16161d8184100",
    "bignum_small": "c24101",
    "unknown_lengths": "9fbf616180ff5f4100ff7f6161ffff",
    "keys": "a50001416102f6038104a005",
    "twice": "a2616101616102",
    "longer": "1b0000000000000001",
    "float_longer": "fb3ff8000000000000",
    "nan": "84f97e00f97f00fa7fc00001fb7ff8000000000001",
    "simple": "85f7e0f0f820f8ff",
    "beyond": "9bffffffffffffffff",
    "deep": "81" * 255 + "00",
}.items():
    write("codec_cbor", name, bytes.fromhex(body))

# Relays: URLs as the crate url takes them; iroh-relay's own snapshots of frames; heads; and the pool.
for number, vector in enumerate(json.loads((here.parent / "vectors" / "relay_urls.json").read_text())["urls"]):
    if number % 9 == 0 and len(vector[0]) < 100:
        write("relay_url", f"{number}", vector[0].encode())
NODE_ID = "197f6b23e16c8532c6abc838facd5ea789be0c76b2920334039bfa8b3d368d61"
relay_frames = {
    "challenge": "00000102030405060708090a0b0c0d0e0f",
    "confirms": "02",
    "denies": "030e6e6f7420617574686f72697a6564",
    "datagram": f"06{NODE_ID}0348656c6c6f20576f726c6421",
    "batch": f"07{NODE_ID}03000648656c6c6f20576f726c6421",
    "gone": f"08{NODE_ID}",
    "ping": "092a2a2a2a2a2a2a2a",
    "pong": "0a2a2a2a2a2a2a2a2a",
    "health": "0b48656c6c6f3f20596573207468697320697320646f672e",
    "restarting": "0c0000000a00000014",
    "elsewhere": "0d01",
    "limited": "0d02",
}
relay_frames = {name: bytes.fromhex(data) for name, data in relay_frames.items()}
for name, data in relay_frames.items():
    write("relay_frame", name, data)
upgrade = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: iroh-relay-v2\r\n\r\n"
)
write("relay_http", "upgrade", upgrade + b"\x82\x01\x02")
write("relay_http", "redirect", b"HTTP/1.1 302 Found\r\nLocation: https://b.example/\r\n\r\n")
write("relay_http", "not_found", b"HTTP/1.0 404 Not Found\nServer: x\n\n<html>")
write("relay_http", "brief", b"HTTP/1.0 302\r\nLocation: http")
write("relay_http", "no_http", b"SSH-2.0-OpenSSH_9.9\r\n")
(
    OPENED,
    RAW,
    MESSAGE,
    WEBSOCKET,
    SERVE,
    WRITE,
    CLOSED,
    PASS,
    SEND,
    ADMIT,
    ANSWER,
    FAIL,
    STOP,
) = range(13)


def relay(name, *steps):
    write("relay_client", name, b"".join(steps))


serves = happens(OPENED) + happens(SERVE)
relay("nothing", passes(9000))
relay("connected", serves, passes(9000), happens(SERVE), passes(21000))
relay("all_frames", serves, *(happens(MESSAGE, 0, data) for data in relay_frames.values()), happens(SERVE))
relay("answers", happens(ANSWER, 9), serves, *[happens(MESSAGE, 0, relay_frames["batch"])] * 3, happens(SERVE))
relay("raw", happens(OPENED), happens(RAW, 0, upgrade), passes(10000), happens(OPENED), happens(RAW, 0, b"HTTP/1.1 404 \n\n"))
relay("denied", happens(OPENED), happens(WRITE, 0, b"\xff"), happens(SERVE), happens(MESSAGE, 0, relay_frames["denies"]))
relay(
    "websocket",
    serves,
    happens(WEBSOCKET, 0, b"\x02" + relay_frames["datagram"][:20]),
    happens(WEBSOCKET, 0, b"\x89ping"),
    happens(WEBSOCKET, 0, b"\x80" + relay_frames["datagram"][20:]),
    happens(WEBSOCKET, 0, b"\x81text"),
    happens(WEBSOCKET, 0, b"\x88\x03\xe8bye"),
)
relay("full", serves, *[happens(SEND, 0, b"\x4e\x20\x96")] * 16, happens(WRITE, 0, b"\xff"), passes(30000))
relay("others", serves, happens(SEND, 2), happens(SEND, 3), happens(OPENED, 1), happens(SERVE, 1), passes(60000), passes(60000))
relay(
    "hearsay",
    serves,
    *(happens(ADMIT, 0, b"https://r%d.example/" % n) for n in range(12)),
    passes(12000),
    *(happens(ADMIT, 0, b"https://r%d.example/" % n) for n in range(8, 12)),
)
relay("homes", *[serves, happens(CLOSED, 0, b"\x06"), passes(1100)] * 8, passes(11000), happens(OPENED, 1), happens(SERVE, 1), passes(40000))
relay("no_memory", happens(FAIL, 1), passes(2000), happens(FAIL, 2), serves, happens(FAIL, 1), happens(SEND, 2), happens(STOP))

# Requests of control: each command with what it takes, and some that are wrong.
ID, OTHER = "b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485", "17" * 32
COMMANDS = {
    "getStatus": [{}],
    "listTopics": [{}, {"count": 1, "start": 7}, {"count": 0}],
    "getTopic": [{"topic": OTHER}, {"topic": "p2panda/name/lamp"}, {}],
    "joinTopic": [{"topic": OTHER}, {"topic": 1}],
    "leaveTopic": [{"topic": OTHER}],
    "listNodes": [{"all": True, "count": 1000, "start": 9007199254740991}],
    "getNode": [{"node": ID}],
    "addNode": [
        {"node": f"{ID}@127.0.0.1:1,[::1]:2", "role": "bootstrap"},
        {"node": f"{ID}@https://relay.example.org"},
    ],
    "removeNode": [{"node": ID}],
    "allow": [{"node": [ID, OTHER]}, {"node": ID, "remove": True}],
    "deny": [{"node": OTHER}, {"node": [], "remove": False}],
    "getMetrics": [{}],
    "setLogLevel": [{"level": "debug"}, {"level": "loud"}],
    "ping": [{"node": ID}],
}
for command, arguments in COMMANDS.items():
    lines = [
        json.dumps({"commands": [{"command": command, "correlationData": "x", **given}]})
        for given in arguments
    ]
    write("control", command, "\n".join(lines).encode())
write("control", "all", json.dumps(
    {"commands": [{"command": name, **given[0]} for name, given in COMMANDS.items()]}).encode())
write("control", "late", b' {"commands": [{"command": "listTopics"}]}\n{"commands": [{}, 1]}')
