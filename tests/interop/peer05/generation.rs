// SPDX-License-Identifier: MIT OR Apache-2.0

//! What peer.rs needs of p2panda 0.5, under the names that 0.6 has for it.

use std::convert::Infallible;

use p2panda_core::PrivateKey;
use p2panda_discovery::address_book::memory::MemoryStore;
use p2panda_net::addrs::NodeInfo;
use p2panda_net::iroh_endpoint::Builder;
use p2panda_net::{NodeId, TopicId};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use p2panda_core::PrivateKey as SigningKey;
pub use p2panda_discovery::address_book::{AddressBookStore, NodeInfo as _};

pub type Topic = TopicId;

pub fn parse_topic(text: &str) -> super::Result<Topic> {
    super::bytes32(text)
}

pub trait Hex {
    fn to_hex(&self) -> String;
}

impl Hex for Topic {
    fn to_hex(&self) -> String {
        hex::encode(self)
    }
}

pub trait Generate {
    fn generate() -> Self;
}

impl Generate for PrivateKey {
    fn generate() -> Self {
        Self::new()
    }
}

pub trait WithKey {
    fn signing_key(self, key: PrivateKey) -> Self;
}

impl WithKey for Builder {
    fn signing_key(self, key: PrivateKey) -> Self {
        self.private_key(key)
    }
}

/// In memory: that generation brings no other one.
pub type SqliteStore = MemoryStore<StdRng, NodeId, NodeInfo>;

pub struct SqliteStoreBuilder;

impl SqliteStoreBuilder {
    pub fn new() -> Self {
        Self
    }

    pub async fn build(self) -> Result<SqliteStore, Infallible> {
        Ok(MemoryStore::new(StdRng::from_os_rng()))
    }
}
