// SPDX-License-Identifier: MIT OR Apache-2.0
// A client that listens: MQTT 3.1.1 (OASIS, 2014) over WebSockets, QoS 0, as much as the page needs.
//
//   const client = new MqttListener(url, {
//     filters, username, password,
//     onUp(), onMessage(topic, text), onDown(reason)   // once, at the end
//   })
//   client.close()
//
// What the broker sends beyond that (QoS 1 is never granted, so never sent) ends the connection.
"use strict";

class MqttListener {
  static KEEP_ALIVE_S = 30;
  static LARGEST = 1 << 20;
  // The return codes of CONNACK, 3.2.2.3.
  static REFUSALS = ["", "protocol version", "client id", "server unavailable",
    "user name or password", "not authorised"];

  constructor(url, options) {
    this.options = options;
    this.buffer = new Uint8Array(0);
    this.decoder = new TextDecoder();
    this.socket = new WebSocket(url, "mqtt");
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.#send(0x10, this.#connect());
    this.socket.onmessage = (event) => this.#read(new Uint8Array(event.data));
    this.socket.onclose = () => this.#end("the connection has ended");
  }

  close() {
    this.#send(0xe0, []);
    this.#end("closed");
  }

  #end(reason) {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.pings);
    this.socket.close();
    this.options.onDown(reason);
  }

  // A packet: its first byte, the length in sevens of bits, the rest.
  #send(first, rest) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    const head = [first];
    let length = rest.length;
    do {
      head.push((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
      length >>= 7;
    } while (length > 0);
    this.socket.send(new Uint8Array([...head, ...rest]));
  }

  static #text(value) {
    const bytes = new TextEncoder().encode(value);
    return [bytes.length >> 8, bytes.length & 0xff, ...bytes];
  }

  #connect() {
    const { username, password } = this.options;
    const flags = 0x02 | (username ? 0x80 : 0) | (username && password ? 0x40 : 0);
    const id = `p2panda-page-${Math.random().toString(36).slice(2, 10)}`;
    return [
      ...MqttListener.#text("MQTT"), 4, flags, 0, MqttListener.KEEP_ALIVE_S,
      ...MqttListener.#text(id),
      ...(username ? MqttListener.#text(username) : []),
      ...(username && password ? MqttListener.#text(password) : []),
    ];
  }

  // Frames of the WebSocket are no packets: what is left over waits for the next one.
  #read(bytes) {
    const joined = new Uint8Array(this.buffer.length + bytes.length);
    joined.set(this.buffer);
    joined.set(bytes, this.buffer.length);
    this.buffer = joined;
    while (!this.ended) {
      const head = this.#head();
      if (!head) return;
      const packet = this.buffer.subarray(head.at, head.at + head.length);
      this.buffer = this.buffer.subarray(head.at + head.length);
      this.#packet(head.first, packet);
    }
  }

  // Where the first packet begins and how long it is, once it is there as a whole.
  #head() {
    let length = 0;
    for (let at = 1; at < 5; at++) {
      if (at >= this.buffer.length) return null;
      length += (this.buffer[at] & 0x7f) << (7 * (at - 1));
      if (length > MqttListener.LARGEST) return this.#end("a packet is too large");
      if (this.buffer[at] < 0x80) {
        const whole = this.buffer.length >= at + 1 + length;
        return whole ? { first: this.buffer[0], at: at + 1, length } : null;
      }
    }
    return this.#end("a packet has no length");
  }

  #packet(first, packet) {
    switch (first >> 4) {
      case 2: return this.#connected(packet[1]);
      case 3: return this.#published(first, packet);
      case 9: return this.#subscribed(packet);
      case 13: this.answered = true; return;
      default: return this.#end(`a packet of kind ${first >> 4}`);
    }
  }

  #connected(code) {
    if (code !== 0) {
      this.refused = code === 4 || code === 5;
      return this.#end(`refused: ${MqttListener.REFUSALS[code] ?? code}`);
    }
    const filters = this.options.filters.flatMap((one) => [...MqttListener.#text(one), 0]);
    this.#send(0x82, [0, 1, ...filters]);
    this.answered = true;
    this.pings = setInterval(() => {
      if (!this.answered) return this.#end("the broker does not answer");
      this.answered = false;
      this.#send(0xc0, []);
    }, MqttListener.KEEP_ALIVE_S * 500);
  }

  #subscribed(packet) {
    if (packet.subarray(2).some((code) => code === 0x80)) {
      this.refused = true;
      return this.#end("refused: no right to read the status topics");
    }
    this.options.onUp();
  }

  #published(first, packet) {
    const end = 2 + (packet[0] << 8) + packet[1];
    if (packet.length < 2 || end > packet.length || first & 0x06) {
      return this.#end("a malformed packet");
    }
    const topic = this.decoder.decode(packet.subarray(2, end));
    this.options.onMessage(topic, this.decoder.decode(packet.subarray(end)));
  }
}
