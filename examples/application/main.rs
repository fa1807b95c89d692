// SPDX-License-Identifier: MIT OR Apache-2.0

//! An application on p2panda that talks to MQTT clients: see README.md.
//!
//!     application TOPIC [PORT]

use futures_util::StreamExt;
use p2panda::network::MdnsDiscoveryMode;
use p2panda::{SigningKey, Topic};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// In JSON, {"temp": 21.5, "unit": "C"}. The fields are in the order in which 0.7.1 and MQTT
/// clients write them: shorter names first, then by the alphabet.
#[derive(Debug, Serialize, Deserialize)]
struct Reading {
    temp: f64,
    unit: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let topic: Topic = words.next().ok_or("which topic?")?.parse()?;
    let mut builder = p2panda::builder().signing_key(SigningKey::generate());
    // Without a port, brokers on the local network are found by mDNS.
    if let Some(port) = words.next() {
        builder = builder.bind_port_v4(port.parse()?).mdns_mode(MdnsDiscoveryMode::Disabled);
    }
    let node = builder.spawn().await?;
    let (tx, mut rx) = node.ephemeral_stream::<Reading>(topic).await?;
    println!("this is {}, at p2panda/{topic}/ephemeral/json", node.id());

    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            Some(message) = rx.next() => println!("{}: {:?}", message.author(), message.body()),
            line = lines.next_line() => match line? {
                Some(line) => tx.publish(Reading { temp: line.parse()?, unit: "C".into() }).await?,
                None => return Ok(()),
            },
        }
    }
}
