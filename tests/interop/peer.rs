// SPDX-License-Identifier: MIT OR Apache-2.0

//! A real p2panda node as a reference peer for the tests, driven over stdin.
//!
//! One command per line on stdin, one JSON object per line on stdout. Every
//! command is answered by `{"event":"ok","n":N,...}` or
//! `{"event":"error","n":N,"command":...,"reason":...}`, where N counts the lines
//! of stdin from 1. The end of stdin ends the process at once.
//!
//! ```text
//! --secret HEX          32-byte signing key (default: a random one)
//! --network HEX         32-byte network id (default: p2panda's)
//! --bind4 IP:PORT       default 127.0.0.1:0 (any free port)
//! --bind6 [IP]:PORT     default [::1]:0, or [::]:0 where there is no ::1
//! --discovery           also run the discovery protocol
//! --mdns active|passive also run mDNS
//!
//! node ID ADDR[,ADDR..] [bootstrap]  put a node and its addresses in the address book
//! interest ID TOPIC     that node is interested in the topic: join through it
//! forget ID TOPIC       it no longer is
//! join TOPIC            join and print its messages
//! rejoin TOPIC          join again through all nodes known for it
//! leave TOPIC
//! publish TOPIC HEX     -> also "published" once the overlay has taken it
//! burst TOPIC COUNT INTERVAL_US SIZE START  -> also "burst_done"
//! hush TOPIC            count messages instead of printing them
//! speak TOPIC           print them again
//! stall TOPIC           stop reading (upstream then drops: "lagged")
//! resume TOPIC
//! count TOPIC           -> "count": messages, bytes, lagged since the join
//! info                  -> "info": id, network, addresses
//! quit                  leave, close and exit
//! ```
//!
//! `PEER_LOG=iroh_gossip=debug,p2panda_net=trace` prints upstream's log on stderr.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use iroh_base::{EndpointAddr, PublicKey};
use p2panda_core::{SigningKey, Topic};
use p2panda_net::addrs::NodeInfo;
use p2panda_net::gossip::{GossipEvent, GossipHandle, GossipSubscription};
use p2panda_net::iroh_endpoint::IrohConfig;
use p2panda_net::iroh_mdns::MdnsDiscoveryMode;
use p2panda_net::{
    AddressBook, DEFAULT_NETWORK_ID, Discovery, Endpoint, Gossip, MdnsDiscovery, NodeId,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};

/// Any error, as the text that is printed.
type Result<T> = std::result::Result<T, String>;

// ---------------------------------------------------------------------------
// stdout

enum Output {
    Line(Value),
    /// Answered when everything before it is written.
    Sync(std_mpsc::Sender<()>),
}

static OUTPUT: OnceLock<std_mpsc::Sender<Output>> = OnceLock::new();

/// Starts the thread that writes stdout, so that a slow reader never blocks the node.
fn start_output() {
    let (tx, rx) = std_mpsc::channel::<Output>();
    OUTPUT.set(tx).expect("called once");
    thread::spawn(move || {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let mut next = rx.recv().ok();
        while let Some(item) = next {
            let result = match item {
                Output::Line(value) => writeln!(out, "{value}"),
                Output::Sync(done) => out.flush().map(|()| done.send(()).unwrap_or(())),
            };
            // Whatever is not followed at once by more is flushed at once.
            next = match rx.try_recv() {
                Ok(item) => Some(item),
                Err(_) => {
                    if result.and_then(|()| out.flush()).is_err() {
                        std::process::exit(1);
                    }
                    rx.recv().ok()
                }
            };
        }
    });
}

fn emit(value: Value) {
    if let Some(tx) = OUTPUT.get() {
        let _ = tx.send(Output::Line(value));
    }
}

/// Waits until all lines so far are written.
fn sync_output() {
    let (tx, rx) = std_mpsc::channel();
    if let Some(output) = OUTPUT.get() {
        let _ = output.send(Output::Sync(tx));
        let _ = rx.recv_timeout(Duration::from_secs(2));
    }
}

fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_micros() as u64)
}

// ---------------------------------------------------------------------------
// Arguments

struct Args {
    key: SigningKey,
    network: [u8; 32],
    bind4: SocketAddrV4,
    bind6: SocketAddrV6,
    discovery: bool,
    mdns: Option<MdnsDiscoveryMode>,
}

fn bytes32(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).map_err(|err| format!("'{text}': {err}"))?;
    bytes
        .try_into()
        .map_err(|_| format!("'{text}' is not 32 bytes in hex"))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    text.parse().map_err(|err| format!("'{text}': {err}"))
}

fn parse_args() -> Result<Args> {
    let mut args = Args {
        key: SigningKey::generate(),
        network: DEFAULT_NETWORK_ID,
        bind4: parse("127.0.0.1:0")?,
        bind6: parse(match UdpSocket::bind("[::1]:0") {
            Ok(_) => "[::1]:0",
            // Upstream insists on an IPv6 socket, and this one also works where IPv6 is
            // turned off, as in most containers.
            Err(_) => "[::]:0",
        })?,
        discovery: false,
        mdns: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--discovery" {
            args.discovery = true;
            continue;
        }
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match word.as_str() {
            "--secret" => args.key = SigningKey::from_bytes(&bytes32(&value)?),
            "--network" => args.network = bytes32(&value)?,
            "--bind4" => args.bind4 = parse(&value)?,
            "--bind6" => args.bind6 = parse(&value)?,
            "--mdns" => {
                args.mdns = Some(match value.as_str() {
                    "active" => MdnsDiscoveryMode::Active,
                    "passive" => MdnsDiscoveryMode::Passive,
                    _ => return Err("--mdns is active or passive".into()),
                })
            }
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(args)
}

// ---------------------------------------------------------------------------
// Topics

/// What is shared with the task that reads a topic.
#[derive(Default)]
struct Counters {
    hushed: AtomicBool,
    messages: AtomicU64,
    bytes: AtomicU64,
    lagged: AtomicU64,
}

/// A joined topic. Dropping it stops its tasks, and so gives back every handle.
struct Joined {
    handle: GossipHandle,
    counters: Arc<Counters>,
    stalled: watch::Sender<bool>,
    to_publish: mpsc::UnboundedSender<(usize, Vec<u8>)>,
    /// Its end is seen by all tasks of the topic.
    _stop: watch::Sender<()>,
}

impl Joined {
    fn new(handle: GossipHandle) -> Self {
        // A topic without a receiver crashes upstream's gossip manager: subscribe first.
        let subscription = handle.subscribe();
        let counters = Arc::<Counters>::default();
        let (stalled, stall) = watch::channel(false);
        let (stop, stopped) = watch::channel(());
        let (to_publish, rx) = mpsc::unbounded_channel();
        tokio::spawn(read(subscription, counters.clone(), stall, stopped.clone()));
        tokio::spawn(publish(handle.clone(), rx, stopped));
        Self {
            handle,
            counters,
            stalled,
            to_publish,
            _stop: stop,
        }
    }
}

/// Prints or counts a topic's messages until it is left.
async fn read(
    mut subscription: GossipSubscription,
    counters: Arc<Counters>,
    mut stall: watch::Receiver<bool>,
    mut stopped: watch::Receiver<()>,
) {
    let topic = subscription.topic().to_hex();
    loop {
        let stalled = *stall.borrow_and_update();
        let item = tokio::select! {
            _ = stopped.changed() => return,
            _ = stall.changed() => continue,
            item = subscription.next(), if !stalled => item,
        };
        match item {
            Some(Ok(bytes)) => {
                counters.messages.fetch_add(1, Ordering::Relaxed);
                counters
                    .bytes
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if !counters.hushed.load(Ordering::Relaxed) {
                    emit(json!({"event": "message", "topic": topic, "us": unix_us(),
                                "hex": hex::encode(bytes)}));
                }
            }
            Some(Err(err)) => {
                // The only error is a lag, and its number is only reachable as text or by
                // naming one more crate.
                let reason = err.to_string();
                let count = reason
                    .chars()
                    .filter(char::is_ascii_digit)
                    .collect::<String>()
                    .parse()
                    .unwrap_or(1u64);
                counters.lagged.fetch_add(count, Ordering::Relaxed);
                emit(json!({"event": "lagged", "topic": topic, "count": count}));
            }
            None => {
                emit(json!({"event": "closed", "topic": topic}));
                return;
            }
        }
    }
}

/// Publishes in order. Upstream takes 128 messages before the overlay is joined and
/// then blocks, hence a task of its own.
async fn publish(
    handle: GossipHandle,
    mut rx: mpsc::UnboundedReceiver<(usize, Vec<u8>)>,
    mut stopped: watch::Receiver<()>,
) {
    let topic = handle.topic().to_hex();
    loop {
        let (n, bytes) = tokio::select! {
            _ = stopped.changed() => return,
            item = rx.recv() => match item {
                Some(item) => item,
                None => return,
            },
        };
        let size = bytes.len();
        let result = tokio::select! {
            _ = stopped.changed() => return,
            result = handle.publish(bytes) => result,
        };
        match result {
            Ok(()) => emit(json!({"event": "published", "n": n, "topic": topic, "size": size})),
            Err(err) => emit(json!({"event": "error", "n": n, "command": "publish",
                                    "topic": topic, "reason": err.to_string()})),
        }
    }
}

/// The payload number `index` of a burst: the number, a colon, and the sender's id
/// over and over. Too short a payload keeps the number's last digits.
fn payload(index: u64, size: usize, id: &str) -> Vec<u8> {
    let number = format!("{index:012}");
    if size <= number.len() {
        return number.as_bytes()[number.len() - size..].to_vec();
    }
    let mut bytes = number.into_bytes();
    bytes.push(b':');
    let rest = size - bytes.len();
    bytes.extend(id.bytes().cycle().take(rest));
    bytes
}

struct Burst {
    n: usize,
    count: u64,
    interval: Duration,
    size: usize,
    start: u64,
}

/// Publishes a burst from a thread of its own: the runtime's timers only know milliseconds.
fn burst(handle: GossipHandle, mut stopped: watch::Receiver<()>, id: String, burst: Burst) {
    let runtime = tokio::runtime::Handle::current();
    thread::spawn(move || {
        let topic = handle.topic().to_hex();
        let (began, began_us) = (Instant::now(), unix_us());
        let mut sent = 0u64;
        let mut failure = Value::Null;
        for i in 0..burst.count {
            let due = burst.interval.mul_f64(i as f64);
            if let Some(left) = due.checked_sub(began.elapsed()) {
                thread::sleep(left);
            }
            let bytes = payload(burst.start + i, burst.size, &id);
            let result = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped.changed() => Err("the topic was left".to_string()),
                    result = handle.publish(bytes) => result.map_err(|err| err.to_string()),
                }
            });
            if let Err(reason) = result {
                failure = Value::String(reason);
                break;
            }
            sent += 1;
        }
        emit(json!({"event": "burst_done", "n": burst.n, "topic": topic, "count": burst.count,
                    "sent": sent, "start": burst.start, "began_us": began_us,
                    "took_us": began.elapsed().as_micros() as u64, "error": failure}));
    });
}

// ---------------------------------------------------------------------------
// The node

struct Peer {
    network: [u8; 32],
    address_book: AddressBook,
    endpoint: Endpoint,
    gossip: Gossip,
    discovery: Option<Discovery>,
    mdns: Option<MdnsDiscovery>,
    topics: HashMap<Topic, Joined>,
    /// What the commands said about others, kept to tell the address book again.
    interests: BTreeMap<String, BTreeSet<String>>,
}

fn text(err: impl std::fmt::Display) -> String {
    err.to_string()
}

impl Peer {
    async fn start(args: Args) -> Result<(Self, broadcast::Receiver<GossipEvent>)> {
        let address_book = AddressBook::builder().spawn().await.map_err(text)?;
        let endpoint = Endpoint::builder(address_book.clone())
            .network_id(args.network)
            .signing_key(args.key)
            .config(IrohConfig {
                bind_ip_v4: *args.bind4.ip(),
                bind_port_v4: args.bind4.port(),
                bind_ip_v6: *args.bind6.ip(),
                bind_port_v6: args.bind6.port(),
            })
            .spawn()
            .await
            .map_err(text)?;

        // Binding happens later, inside; this waits for it.
        let bound = endpoint.endpoint().await;
        let bound = bound
            .map_err(|err| format!("cannot bind {} and {}: {err}", args.bind4, args.bind6))?
            .bound_sockets();
        for wanted in [SocketAddr::V4(args.bind4), SocketAddr::V6(args.bind6)] {
            if wanted.port() != 0 && !bound.contains(&wanted) {
                return Err(format!("cannot bind {wanted}, got {bound:?}"));
            }
        }

        let mdns = match args.mdns {
            Some(mode) => Some(
                MdnsDiscovery::builder(address_book.clone(), endpoint.clone())
                    .mode(mode)
                    .spawn()
                    .await
                    .map_err(text)?,
            ),
            None => None,
        };
        let discovery = match args.discovery {
            true => Some(
                Discovery::builder(address_book.clone(), endpoint.clone())
                    .spawn()
                    .await
                    .map_err(text)?,
            ),
            false => None,
        };
        let gossip = Gossip::builder(address_book.clone(), endpoint.clone())
            .spawn()
            .await
            .map_err(text)?;
        let events = gossip.events().await.map_err(text)?;

        let peer = Self {
            network: args.network,
            address_book,
            endpoint,
            gossip,
            discovery,
            mdns,
            topics: HashMap::new(),
            interests: BTreeMap::new(),
        };
        Ok((peer, events))
    }

    /// What `ready` and `info` say.
    async fn describe(&self, event: &str) -> Result<Value> {
        let endpoint = self.endpoint.endpoint().await.map_err(text)?;
        let addresses: Vec<_> = endpoint
            .bound_sockets()
            .iter()
            .map(SocketAddr::to_string)
            .collect();
        Ok(json!({"event": event, "id": self.endpoint.node_id().to_hex(),
                  "generation": generation(), "network": hex::encode(self.network),
                  "addresses": addresses, "discovery": self.discovery.is_some(),
                  "mdns": self.mdns.is_some()}))
    }

    /// Tells the address book again which topics a node has: it informs the gossip
    /// part about a topic's nodes only then, and only of nodes with an entry.
    async fn tell_interests(&self, id: NodeId) -> Result<()> {
        let topics = self.interests.get(&id.to_hex()).into_iter().flatten();
        let topics: Vec<Topic> = topics.map(|t| parse(t)).collect::<Result<_>>()?;
        if topics.is_empty() {
            return Ok(());
        }
        let result = self.address_book.set_topics(id, topics).await;
        result.map_err(text)
    }

    /// Makes upstream look at the topic's set of nodes anew. It acts only when the set
    /// changes, so our own entry (which it skips) is taken out and put back.
    async fn nudge(&self, topic: Topic) -> Result<()> {
        if !self.topics.contains_key(&topic) {
            return Ok(());
        }
        let me = self.endpoint.node_id();
        self.address_book
            .remove_topic(me, topic)
            .await
            .map_err(text)?;
        let hex = topic.to_hex();
        for (id, topics) in &self.interests {
            if topics.contains(&hex) {
                self.tell_interests(parse(id)?).await?;
            }
        }
        self.address_book.add_topic(me, topic).await.map_err(text)
    }

    fn joined(&self, topic: Topic) -> Result<&Joined> {
        self.topics.get(&topic).ok_or("not joined".to_string())
    }

    async fn command(&mut self, n: usize, words: &[&str]) -> Result<()> {
        match *words {
            ["node", id, addresses, ref rest @ ..] => {
                let id: NodeId = parse(id)?;
                let mut address =
                    EndpointAddr::new(PublicKey::from_bytes(id.as_bytes()).map_err(text)?);
                for ip in addresses.split(',') {
                    address = address.with_ip_addr(parse(ip)?);
                }
                let mut info = NodeInfo::from(address);
                info.bootstrap = match rest {
                    [] => false,
                    ["bootstrap"] => true,
                    _ => return Err("only 'bootstrap' may follow the addresses".into()),
                };
                let result = self.address_book.insert_node_info(info).await;
                result.map_err(text)?;
                self.tell_interests(id).await?;
            }
            ["interest", id, topic] => {
                let (id, topic): (NodeId, Topic) = (parse(id)?, parse(topic)?);
                let topics = self.interests.entry(id.to_hex()).or_default();
                topics.insert(topic.to_hex());
                let result = self.address_book.add_topic(id, topic).await;
                result.map_err(text)?;
            }
            ["forget", id, topic] => {
                let (id, topic): (NodeId, Topic) = (parse(id)?, parse(topic)?);
                if let Some(topics) = self.interests.get_mut(&id.to_hex()) {
                    topics.remove(&topic.to_hex());
                }
                let result = self.address_book.remove_topic(id, topic).await;
                result.map_err(text)?;
                self.nudge(topic).await?;
            }
            ["join", topic] => {
                let topic: Topic = parse(topic)?;
                if self.topics.contains_key(&topic) {
                    return Err("already joined".into());
                }
                let handle = self.gossip.stream(topic).await.map_err(text)?;
                self.topics.insert(topic, Joined::new(handle));
            }
            ["rejoin", topic] => {
                let topic: Topic = parse(topic)?;
                self.joined(topic)?;
                self.nudge(topic).await?;
            }
            ["leave", topic] => {
                let topic: Topic = parse(topic)?;
                self.topics.remove(&topic).ok_or("not joined")?;
            }
            ["publish", topic, ref payload @ ..] => {
                let bytes = match payload {
                    [] => Vec::new(),
                    [hex] => hex::decode(hex).map_err(text)?,
                    _ => return Err("one payload in hex".into()),
                };
                let joined = self.joined(parse(topic)?)?;
                joined.to_publish.send((n, bytes)).map_err(text)?;
            }
            ["burst", topic, count, interval_us, size, start] => {
                let joined = self.joined(parse(topic)?)?;
                let parameters = Burst {
                    n,
                    count: parse(count)?,
                    interval: Duration::from_micros(parse(interval_us)?),
                    size: parse(size)?,
                    start: parse(start)?,
                };
                let id = self.endpoint.node_id().to_hex();
                let stopped = joined._stop.subscribe();
                burst(joined.handle.clone(), stopped, id, parameters);
            }
            [word @ ("hush" | "speak"), topic] => {
                let counters = &self.joined(parse(topic)?)?.counters;
                counters.hushed.store(word == "hush", Ordering::Relaxed);
            }
            [word @ ("stall" | "resume"), topic] => {
                let joined = self.joined(parse(topic)?)?;
                joined.stalled.send_replace(word == "stall");
            }
            ["count", topic] => {
                let topic: Topic = parse(topic)?;
                let counters = &self.joined(topic)?.counters;
                let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                emit(json!({"event": "count", "n": n, "topic": topic.to_hex(),
                            "messages": get(&counters.messages), "bytes": get(&counters.bytes),
                            "lagged": get(&counters.lagged)}));
            }
            ["info"] => emit(self.describe("info").await?),
            _ => return Err("unknown command or wrong number of words".into()),
        }
        Ok(())
    }

    /// Leaves everything and closes all connections.
    async fn stop(self, mut gossip_ended: watch::Receiver<bool>) {
        let Ok(endpoint) = self.endpoint.endpoint().await else {
            return;
        };
        drop(self.topics);
        drop(self.discovery);
        drop(self.mdns);
        drop(self.gossip);
        // Upstream's gossip says goodbye in the background.
        let limit = Duration::from_secs(1);
        let _ = tokio::time::timeout(limit, gossip_ended.wait_for(|ended| *ended)).await;
        let _ = tokio::time::timeout(Duration::from_secs(3), endpoint.close()).await;
    }
}

/// Prints the gossip events; `ended` becomes true when upstream's gossip has stopped.
async fn print_events(mut events: broadcast::Receiver<GossipEvent>, ended: watch::Sender<bool>) {
    loop {
        emit(match events.recv().await {
            Ok(GossipEvent::Joined { topic, nodes }) => {
                let nodes: BTreeSet<_> = nodes.iter().map(NodeId::to_hex).collect();
                json!({"event": "joined", "topic": topic.to_hex(), "nodes": nodes})
            }
            Ok(GossipEvent::NeighbourUp { node, topic }) => {
                json!({"event": "neighbour_up", "topic": topic.to_hex(), "node": node.to_hex()})
            }
            Ok(GossipEvent::NeighbourDown { node, topic }) => {
                json!({"event": "neighbour_down", "topic": topic.to_hex(), "node": node.to_hex()})
            }
            Ok(GossipEvent::Left { topic }) => {
                json!({"event": "left", "topic": topic.to_hex()})
            }
            Err(broadcast::error::RecvError::Lagged(count)) => {
                json!({"event": "events_lost", "count": count})
            }
            Err(broadcast::error::RecvError::Closed) => {
                emit(json!({"event": "gossip_ended"}));
                let _ = ended.send(true);
                return;
            }
        });
    }
}

/// The version of p2panda, from the name of the package this is built as.
fn generation() -> &'static str {
    match env!("CARGO_PKG_NAME") {
        "peer06" => "0.6.1",
        "peer071" => "0.7.1",
        other => other,
    }
}

fn start_log() {
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let Ok(wanted) = std::env::var("PEER_LOG") else {
        return;
    };
    match wanted.parse::<Targets>() {
        Ok(targets) => tracing_subscriber::registry()
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
            .with(targets)
            .init(),
        Err(err) => eprintln!("PEER_LOG: {err}"),
    }
}

fn fail(reason: String) -> ! {
    emit(json!({"event": "error", "n": 0, "command": "start", "reason": reason}));
    sync_output();
    std::process::exit(1);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    start_output();
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

    let args = parse_args().unwrap_or_else(|reason| fail(reason));
    let (mut peer, events) = Peer::start(args)
        .await
        .unwrap_or_else(|reason| fail(reason));
    let (ended, gossip_ended) = watch::channel(false);
    tokio::spawn(print_events(events, ended));
    match peer.describe("ready").await {
        Ok(ready) => emit(ready),
        Err(reason) => fail(reason),
    }

    let mut n = 0;
    while let Some(line) = lines.recv().await {
        n += 1;
        let words: Vec<&str> = line.split_whitespace().collect();
        let command = match words.first() {
            Some(&"quit") => {
                peer.stop(gossip_ended).await;
                emit(json!({"event": "ok", "n": n, "command": "quit"}));
                sync_output();
                std::process::exit(0);
            }
            Some(command) => command.to_string(),
            None => continue,
        };
        match peer.command(n, &words).await {
            Ok(()) => emit(json!({"event": "ok", "n": n, "command": command})),
            Err(reason) => emit(json!({"event": "error", "n": n, "command": command,
                                       "reason": reason})),
        }
    }
}
