// SPDX-License-Identifier: MIT OR Apache-2.0

//! An application on the crate p2panda (its Node API), driven over stdin: what applications of
//! others are, for the tests.
//!
//! One command per line on stdin, one JSON object per line on stdout. Every command is
//! answered by `{"event":"ok","n":N,...}` or
//! `{"event":"error","n":N,"command":...,"reason":...}`, where N counts the lines of stdin
//! from 1. The end of stdin ends the process at once.
//!
//! ```text
//! --secret HEX          32-byte signing key (default: a random one)
//! --network HEX         32-byte network id (default: p2panda's)
//! --bind4 IP:PORT       default 127.0.0.1:0 (any free port)
//! --mdns active|passive also find others by mDNS (upstream's default is active)
//! --relay URL           a relay that may be its home, once or more
//! --bootstrap ID@URL    a node to begin with, and the relay that it is at
//!
//! open TOPIC TYPE       node.ephemeral_stream::<TYPE>(topic), and print what arrives
//! publish TOPIC JSON    a value of that type -> also "published" once gossip has taken it
//! close TOPIC
//! bootstrap ID URL      as --bootstrap
//! quit
//! ```
//!
//! TYPE, and how its values are written in JSON:
//!
//! ```text
//! text       String
//! bytes      serde_bytes::ByteBuf, in hex
//! list       Vec<u8>, an array of numbers
//! sorted     struct { id: u64, temp: f64, unit: String }: its fields are in the order of CBOR
//! unsorted   struct { unit: String, temp: f64, id: u64 }: they are not
//! enum       enum { Unit, New(u64), Tup(u64, String), Str { x: u64, y: u64 } }
//! option     Option<u64>
//! float      f64
//! integer    i64
//! value      serde_json::Value
//! ```
//!
//! An application cannot say at which address others are (upstream's bootstrap nodes have relays
//! only): it is dialled, or uses mDNS or a relay. It reads as most of them would, with `while let Some(message) =
//! rx.next().await`, and what it then no longer hears is upstream's matter: what it refuses is
//! told as "refused" (from upstream's log), with the reason.
//!
//! `PEER_LOG=p2panda_net=debug` prints upstream's log on stderr.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, Write};
use std::net::SocketAddrV4;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use p2panda::network::MdnsDiscoveryMode;
use p2panda::{Node, RelayUrl, SigningKey, Topic};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Any error, as the text that is printed.
type Result<T> = std::result::Result<T, String>;

fn text(err: impl Display) -> String {
    err.to_string()
}

/// Whole lines, from all tasks; the end of stdout is the end.
fn emit(value: Value) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{value}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
}

// ---------------------------------------------------------------------------
// Types of messages

#[derive(Serialize, Deserialize)]
struct Sorted {
    id: u64,
    temp: f64,
    unit: String,
}

#[derive(Serialize, Deserialize)]
struct Unsorted {
    unit: String,
    temp: f64,
    id: u64,
}

#[derive(Serialize, Deserialize)]
enum Variants {
    Unit,
    New(u64),
    Tup(u64, String),
    Str { x: u64, y: u64 },
}

/// What a stream is opened with, and its values in JSON.
trait Message: Serialize + for<'a> Deserialize<'a> + Send + Sync + 'static {
    fn from_json(value: Value) -> Result<Self> {
        serde_json::from_value(value).map_err(text)
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

impl Message for String {}
impl Message for Vec<u8> {}
impl Message for Sorted {}
impl Message for Unsorted {}
impl Message for Variants {}
impl Message for Option<u64> {}
impl Message for f64 {}
impl Message for i64 {}
impl Message for Value {}

impl Message for ByteBuf {
    fn from_json(value: Value) -> Result<Self> {
        let digits = value.as_str().ok_or("not a string of hex digits")?;
        hex::decode(digits).map(ByteBuf::from).map_err(text)
    }

    fn to_json(&self) -> Value {
        json!(hex::encode(self))
    }
}

// ---------------------------------------------------------------------------
// Streams

/// An open stream. Dropping it closes it.
struct Opened {
    to_publish: mpsc::UnboundedSender<(usize, Value)>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn open<M: Message>(node: &Node, topic: Topic) -> Result<Opened> {
    let (tx, mut rx) = node.ephemeral_stream::<M>(topic).await.map_err(text)?;
    let (to_publish, mut values) = mpsc::unbounded_channel::<(usize, Value)>();
    let hex = topic.to_hex();
    let reader = tokio::spawn(async move {
        while let Some(message) = rx.next().await {
            emit(json!({"event": "message", "topic": hex, "us": unix_us(),
                        "author": message.author().to_hex(), "time": message.timestamp(),
                        "value": message.body().to_json()}));
        }
        emit(json!({"event": "closed", "topic": hex}));
    });
    let hex = topic.to_hex();
    let writer = tokio::spawn(async move {
        // Upstream takes 128 before the overlay is joined and then waits: not the commands.
        while let Some((n, value)) = values.recv().await {
            let result = match M::from_json(value) {
                Ok(message) => tx.publish(message).await.map_err(text),
                Err(reason) => Err(reason),
            };
            emit(match result {
                Ok(()) => json!({"event": "published", "n": n, "topic": hex}),
                Err(reason) => json!({"event": "error", "n": n, "command": "publish",
                                      "topic": hex, "reason": reason}),
            });
        }
    });
    Ok(Opened {
        to_publish,
        tasks: [reader, writer],
    })
}

async fn open_as(node: &Node, topic: Topic, name: &str) -> Result<Opened> {
    match name {
        "text" => open::<String>(node, topic).await,
        "bytes" => open::<ByteBuf>(node, topic).await,
        "list" => open::<Vec<u8>>(node, topic).await,
        "sorted" => open::<Sorted>(node, topic).await,
        "unsorted" => open::<Unsorted>(node, topic).await,
        "enum" => open::<Variants>(node, topic).await,
        "option" => open::<Option<u64>>(node, topic).await,
        "float" => open::<f64>(node, topic).await,
        "integer" => open::<i64>(node, topic).await,
        "value" => open::<Value>(node, topic).await,
        _ => Err(format!("unknown type {name}")),
    }
}

// ---------------------------------------------------------------------------
// The application

fn bytes32(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).map_err(|err| format!("'{text}': {err}"))?;
    bytes
        .try_into()
        .map_err(|_| format!("'{text}' is not 32 bytes in hex"))
}

fn parse<T: std::str::FromStr<Err: Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|err| format!("'{text}': {err}"))
}

async fn start() -> Result<Node> {
    let mut builder = p2panda::builder();
    let mut bind4: SocketAddrV4 = parse("127.0.0.1:0")?;
    let mut mdns = MdnsDiscoveryMode::Disabled;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match (word.as_str(), value.as_str()) {
            ("--secret", _) => {
                builder = builder.signing_key(SigningKey::from_bytes(&bytes32(&value)?))
            }
            ("--network", _) => builder = builder.network_id(bytes32(&value)?),
            ("--bind4", _) => bind4 = parse(&value)?,
            ("--relay", _) => builder = builder.relay_url(parse(&value)?),
            ("--bootstrap", _) => {
                let (id, url) = value.split_once('@').ok_or("--bootstrap is ID@URL")?;
                builder = builder.bootstrap(parse(id)?, parse(url)?);
            }
            ("--mdns", "active") => mdns = MdnsDiscoveryMode::Active,
            ("--mdns", "passive") => mdns = MdnsDiscoveryMode::Passive,
            _ => return Err(format!("unknown argument {word} {value}")),
        }
    }
    // IPv6 wherever: upstream insists on a socket of it.
    builder
        .bind_ip_v4(*bind4.ip())
        .bind_port_v4(bind4.port())
        .mdns_mode(mdns)
        .spawn()
        .await
        .map_err(text)
}

async fn command(
    node: &Node,
    streams: &mut HashMap<Topic, Opened>,
    n: usize,
    line: &str,
) -> Result<()> {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match *words {
        ["open", topic, name] => {
            let topic: Topic = parse(topic)?;
            if streams.contains_key(&topic) {
                return Err("already open".into());
            }
            streams.insert(topic, open_as(node, topic, name).await?);
        }
        ["publish", topic, value] => {
            let value = serde_json::from_str(value).map_err(text)?;
            let stream = streams.get(&parse(topic)?).ok_or("not open")?;
            stream.to_publish.send((n, value)).map_err(text)?;
        }
        ["close", topic] => {
            streams.remove(&parse(topic)?).ok_or("not open")?;
        }
        ["bootstrap", id, url] => {
            let url: RelayUrl = parse(url)?;
            node.insert_bootstrap(parse(id)?, url).await.map_err(text)?;
        }
        _ => return Err("unknown command or wrong arguments".into()),
    }
    Ok(())
}

/// Hears from upstream's log what a stream refuses; nothing else tells of it.
struct Refusals;

impl Write for Refusals {
    /// Called with whole lines.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if let Some((_, reason)) = text.split_once("invalid ephemeral message received: ") {
            emit(json!({"event": "refused", "reason": reason.trim_end()}));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn start_log() {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::util::SubscriberInitExt;

    let wanted = std::env::var("PEER_LOG").unwrap_or_default();
    let wanted = wanted.parse::<Targets>().unwrap_or_else(|err| {
        eprintln!("PEER_LOG: {err}");
        Targets::new()
    });
    let refusals = Targets::new().with_target("p2panda::streams", LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(std::io::stderr).with_filter(wanted))
        .with(fmt::layer().with_writer(|| Refusals).with_ansi(false).with_filter(refusals))
        .init();
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    start_log();

    // The end of stdin means that the test is gone.
    let (lines_tx, mut lines) = mpsc::unbounded_channel::<String>();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if lines_tx.send(line).is_err() {
                return;
            }
        }
        std::process::exit(0);
    });

    let node = start().await.unwrap_or_else(|reason| {
        emit(json!({"event": "error", "n": 0, "command": "start", "reason": reason}));
        std::process::exit(1);
    });
    emit(json!({"event": "ready", "id": node.id().to_hex(),
                "network": hex::encode(node.network_id())}));

    let mut streams = HashMap::new();
    let mut n = 0;
    while let Some(line) = lines.recv().await {
        n += 1;
        let name = line.split(' ').next().unwrap_or_default();
        let result = match name {
            "quit" => Ok(()),
            _ => command(&node, &mut streams, n, &line).await,
        };
        emit(match result {
            Ok(()) => json!({"event": "ok", "n": n, "command": name}),
            Err(reason) => json!({"event": "error", "n": n, "command": name,
                                  "reason": reason}),
        });
        if name == "quit" {
            std::process::exit(0);
        }
    }
}
