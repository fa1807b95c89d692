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
//! --discovery           also run the discovery protocol -> "discovery_started",
//!                       "discovery_ended", "discovery_failed" for each session
//! --walkers N           how many look for nodes at a time (default: upstream's; with 0
//!                       it only answers)
//! --mdns active|passive also run mDNS
//! --relay URL           a relay that may be its home, once or more
//!
//! node ID ADDR[,ADDR..] [bootstrap]  put a node and its addresses (IP:PORT, or the URL of
//!                       the relay that it is at) in the address book
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
//! book                  -> "book": what is known of every node
//! watch ID              -> "node", "node_topics" now and whenever they change
//! watch_topic TOPIC     -> "topic_nodes" now and whenever they change
//! report ID ok|failed   as a connection to that node would: failed makes it stale
//! discovered            -> "discovered": how many sessions went well, failed, ...
//! quit                  leave, close and exit
//! ```
//!
//! What upstream drops inside itself is told as "lagged": with "channel" 128 between
//! p2panda-net and its reader ("count" many), with "channel" 256 between iroh-gossip and
//! p2panda-net (at least one; upstream does not say how many, or on which topic).
//!
//! `PEER_LOG=iroh_gossip=debug,p2panda_net=trace` prints upstream's log on stderr.

// The feature is peer05's.
#![allow(unexpected_cfgs)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc as std_mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use iroh_base::{EndpointAddr, PublicKey, RelayUrl};
use p2panda_net::address_book::report::ConnectionOutcome;
use p2panda_net::addrs::{NodeInfo, NodeTransportInfo, TransportAddress, TransportInfo};
use p2panda_net::discovery::{DiscoveryConfig, DiscoveryEvent, SessionRole};
use p2panda_net::gossip::{GossipEvent, GossipHandle, GossipSubscription};
use p2panda_net::iroh_endpoint::IrohConfig;
use p2panda_net::iroh_mdns::MdnsDiscoveryMode;
use p2panda_net::{
    AddressBook, DEFAULT_NETWORK_ID, Discovery, Endpoint, Gossip, MdnsDiscovery, NodeId,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};

use generation::*;

/// What the generations have under different names.
#[cfg(not(feature = "p2panda05"))]
mod generation {
    pub use p2panda_core::{SigningKey, Topic};
    pub use p2panda_store::address_book::{AddressBookStore, NodeInfo as _};
    pub use p2panda_store::{SqliteStore, SqliteStoreBuilder};

    pub fn parse_topic(text: &str) -> super::Result<Topic> {
        super::parse(text)
    }
}

/// The same for 0.5, as far as it has them.
#[cfg(feature = "p2panda05")]
#[path = "peer05/generation.rs"]
mod generation;

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
    walkers: Option<usize>,
    mdns: Option<MdnsDiscoveryMode>,
    relays: Vec<RelayUrl>,
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
        walkers: None,
        mdns: None,
        relays: Vec::new(),
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
            "--walkers" => args.walkers = Some(parse(&value)?),
            "--relay" => args.relays.push(parse(&value)?),
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
                emit(json!({"event": "lagged", "topic": topic, "channel": 128,
                            "count": count}));
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
    /// What the address book keeps its entries in: upstream lists them nowhere else.
    store: SqliteStore,
    /// All nodes that a book has had: the store's list leaves stale ones out since 0.7.
    known: BTreeSet<String>,
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
        let store = SqliteStoreBuilder::new().build().await.map_err(text)?;
        let address_book = AddressBook::builder()
            .store(store.clone())
            .spawn()
            .await
            .map_err(text)?;
        let mut builder = Endpoint::builder(address_book.clone());
        for url in args.relays {
            builder = builder.relay_url(url);
        }
        let endpoint = builder
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
            true => {
                let mut config = DiscoveryConfig::default();
                config.random_walkers_count = args.walkers.unwrap_or(config.random_walkers_count);
                let discovery = Discovery::builder(address_book.clone(), endpoint.clone())
                    .config(config)
                    .spawn()
                    .await
                    .map_err(text)?;
                tokio::spawn(print_sessions(discovery.events().await.map_err(text)?));
                Some(discovery)
            }
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
            store,
            known: BTreeSet::new(),
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
        let topics: Vec<Topic> = topics.map(|t| parse_topic(t)).collect::<Result<_>>()?;
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

    async fn topics_of(&self, id: &NodeId) -> Result<BTreeSet<String>> {
        let topics = AddressBookStore::<NodeId, NodeInfo>::node_topics(&self.store, id).await;
        Ok(topics.map_err(text)?.iter().map(Topic::to_hex).collect())
    }

    /// All entries of the address book.
    async fn book(&mut self) -> Result<Vec<Value>> {
        let infos: Vec<NodeInfo> = self.store.all_node_infos().await.map_err(text)?;
        self.known.extend(infos.iter().map(|info| info.node_id.to_hex()));
        let mut nodes = Vec::new();
        for hex in &self.known {
            let id: NodeId = parse(hex)?;
            let info = self.address_book.node_info(id).await.map_err(text)?;
            let mut node = describe_node(id, info.as_ref());
            node["topics"] = json!(self.topics_of(&id).await?);
            nodes.push(node);
        }
        Ok(nodes)
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
                for one in addresses.split(',') {
                    address = match one.contains("://") {
                        true => address.with_relay_url(parse(one)?),
                        false => address.with_ip_addr(parse(one)?),
                    };
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
                let (id, topic): (NodeId, Topic) = (parse(id)?, parse_topic(topic)?);
                let topics = self.interests.entry(id.to_hex()).or_default();
                topics.insert(topic.to_hex());
                let result = self.address_book.add_topic(id, topic).await;
                result.map_err(text)?;
            }
            ["forget", id, topic] => {
                let (id, topic): (NodeId, Topic) = (parse(id)?, parse_topic(topic)?);
                if let Some(topics) = self.interests.get_mut(&id.to_hex()) {
                    topics.remove(&topic.to_hex());
                }
                let result = self.address_book.remove_topic(id, topic).await;
                result.map_err(text)?;
                self.nudge(topic).await?;
            }
            ["join", topic] => {
                let topic = parse_topic(topic)?;
                if self.topics.contains_key(&topic) {
                    return Err("already joined".into());
                }
                // Upstream joins before anybody can receive, and a message that comes between
                // is the end of its gossip: nobody to join is known until then.
                let known: Vec<NodeId> = self
                    .interests
                    .iter()
                    .filter(|(_, topics)| topics.contains(&topic.to_hex()))
                    .map(|(id, _)| parse(id))
                    .collect::<Result<_>>()?;
                for id in &known {
                    let result = self.address_book.remove_topic(*id, topic).await;
                    result.map_err(text)?;
                }
                let handle = self.gossip.stream(topic).await.map_err(text)?;
                self.topics.insert(topic, Joined::new(handle));
                for id in known {
                    self.tell_interests(id).await?;
                }
            }
            ["rejoin", topic] => {
                let topic = parse_topic(topic)?;
                self.joined(topic)?;
                self.nudge(topic).await?;
            }
            ["leave", topic] => {
                let topic = parse_topic(topic)?;
                self.topics.remove(&topic).ok_or("not joined")?;
            }
            ["publish", topic, ref payload @ ..] => {
                let bytes = match payload {
                    [] => Vec::new(),
                    [hex] => hex::decode(hex).map_err(text)?,
                    _ => return Err("one payload in hex".into()),
                };
                let joined = self.joined(parse_topic(topic)?)?;
                joined.to_publish.send((n, bytes)).map_err(text)?;
            }
            ["burst", topic, count, interval_us, size, start] => {
                let joined = self.joined(parse_topic(topic)?)?;
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
                let counters = &self.joined(parse_topic(topic)?)?.counters;
                counters.hushed.store(word == "hush", Ordering::Relaxed);
            }
            [word @ ("stall" | "resume"), topic] => {
                let joined = self.joined(parse_topic(topic)?)?;
                joined.stalled.send_replace(word == "stall");
            }
            ["count", topic] => {
                let topic = parse_topic(topic)?;
                let counters = &self.joined(topic)?.counters;
                let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                emit(json!({"event": "count", "n": n, "topic": topic.to_hex(),
                            "messages": get(&counters.messages), "bytes": get(&counters.bytes),
                            "lagged": get(&counters.lagged)}));
            }
            ["info"] => emit(self.describe("info").await?),
            ["book"] => {
                let nodes = self.book().await?;
                emit(json!({"event": "book", "n": n, "nodes": nodes}));
            }
            ["watch", id] => {
                let id: NodeId = parse(id)?;
                let watched = self.address_book.watch_node_info(id, false).await;
                let mut infos = watched.map_err(text)?;
                tokio::spawn(async move {
                    while let Some(change) = infos.recv().await {
                        let mut node = describe_node(id, change.value.as_ref());
                        node["event"] = json!("node");
                        emit(node);
                    }
                });
                let watched = self.address_book.watch_node_topics(id, false).await;
                let mut topics = watched.map_err(text)?;
                tokio::spawn(async move {
                    while let Some(change) = topics.recv().await {
                        let topics: BTreeSet<_> = change.value.iter().map(Topic::to_hex).collect();
                        emit(json!({"event": "node_topics", "node": id.to_hex(),
                                    "topics": topics}));
                    }
                });
            }
            ["watch_topic", topic] => {
                let topic = parse_topic(topic)?;
                let watched = self.address_book.watch_topic(topic, false).await;
                let mut sets = watched.map_err(text)?;
                tokio::spawn(async move {
                    while let Some(change) = sets.recv().await {
                        let nodes: BTreeSet<_> = change.value.iter().map(NodeId::to_hex).collect();
                        emit(json!({"event": "topic_nodes", "topic": topic.to_hex(),
                                    "nodes": nodes}));
                    }
                });
            }
            ["report", id, outcome] => {
                let outcome = match outcome {
                    "ok" => ConnectionOutcome::Successful,
                    "failed" => ConnectionOutcome::Failed,
                    _ => return Err("the outcome is ok or failed".into()),
                };
                let result = self.address_book.report(parse(id)?, outcome).await;
                result.map_err(text)?;
            }
            ["discovered"] => {
                let discovery = self.discovery.as_ref().ok_or("no --discovery")?;
                let metrics = discovery.metrics().await.map_err(text)?;
                emit(json!({"event": "discovered", "n": n,
                            "failed": metrics.failed_discovery_sessions,
                            "successful": metrics.successful_discovery_sessions,
                            "new_transports": metrics.newly_learned_transport_infos}));
            }
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

/// What the address book knows of a node, but its topics.
fn describe_node(id: NodeId, info: Option<&NodeInfo>) -> Value {
    json!({"node": id.to_hex(),
           "known": info.is_some(),
           "bootstrap": info.is_some_and(|info| info.bootstrap),
           "stale": info.is_some_and(|info| info.is_stale()),
           "transports": info.and_then(|info| info.transports.as_ref()).map(describe_transports)})
}

fn describe_transports(info: &TransportInfo) -> Value {
    let trusted = matches!(info, TransportInfo::Trusted(_));
    describe_addresses(if trusted { "trusted" } else { "authenticated" }, info)
}

/// kind: "trusted" was put in by hand, "authenticated" is signed by the node.
fn describe_addresses(kind: &str, info: &impl NodeTransportInfo) -> Value {
    let (mut addresses, mut relays) = (Vec::new(), Vec::new());
    for TransportAddress::Iroh(address) in info.addresses() {
        addresses.extend(address.ip_addrs().map(SocketAddr::to_string));
        relays.extend(address.relay_urls().map(|url| url.to_string()));
    }
    json!({"kind": kind, "timestamp": info.timestamp().to_string(), "addresses": addresses,
           "relays": relays})
}

/// Prints the discovery sessions.
async fn print_sessions(mut events: broadcast::Receiver<DiscoveryEvent>) {
    let role = |role: SessionRole| match role {
        SessionRole::Initiated => "initiated",
        SessionRole::Accepted => "accepted",
    };
    loop {
        emit(match events.recv().await {
            Ok(DiscoveryEvent::SessionStarted {
                role: whose,
                remote_node_id,
            }) => json!({"event": "discovery_started", "role": role(whose),
                         "node": remote_node_id.to_hex()}),
            Ok(DiscoveryEvent::SessionEnded {
                role: whose,
                remote_node_id,
                result,
                duration,
            }) => {
                let topics: BTreeSet<_> = result.topics.iter().map(Topic::to_hex).collect();
                let infos = result.transport_infos.iter();
                let transports: BTreeMap<_, _> = infos
                    .map(|(id, info)| (id.to_hex(), describe_addresses("authenticated", info)))
                    .collect();
                json!({"event": "discovery_ended", "role": role(whose),
                       "node": remote_node_id.to_hex(), "topics": topics,
                       "transports": transports, "took_us": duration.as_micros() as u64})
            }
            Ok(DiscoveryEvent::SessionFailed {
                role: whose,
                remote_node_id,
                duration,
                reason,
            }) => json!({"event": "discovery_failed", "role": role(whose),
                         "node": remote_node_id.to_hex(), "reason": reason,
                         "took_us": duration.as_micros() as u64}),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                json!({"event": "events_lost", "count": count})
            }
            Err(broadcast::error::RecvError::Closed) => return,
        });
    }
}

/// The version of p2panda, from the name of the package this is built as.
fn generation() -> &'static str {
    match env!("CARGO_PKG_NAME") {
        "peer05" => "0.5.1",
        "peer06" => "0.6.1",
        "peer07" => "0.7.0",
        "peer071" => "0.7.1",
        other => other,
    }
}

/// Hears what upstream's log says of messages that its channel of 256 has dropped; nothing
/// else tells of them.
struct Losses;

impl Write for Losses {
    /// Called with whole lines.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if String::from_utf8_lossy(line).contains("missed messages") {
            emit(json!({"event": "lagged", "topic": null, "channel": 256, "count": null}));
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
    let losses = Targets::new().with_target("p2panda_net::gossip", LevelFilter::WARN);
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(std::io::stderr).with_filter(wanted))
        .with(fmt::layer().with_writer(|| Losses).with_filter(losses))
        .init();
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
