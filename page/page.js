// SPDX-License-Identifier: MIT OR Apache-2.0
// Shows the retained status topics of the broker that serves this page (docs/status.md), live.
//
// The broker's WebSockets listener: the parameter port of this page's address; else the one that the
// broker itself names (/api/v1/listeners, Mosquitto 2.1); else where this page came from.
"use strict";

const PREFIX = "$SYS/broker/p2panda/";
const SAMPLE_MS = 2000;
const SAMPLES = 150; // five minutes
const EVENTS = 30;
const GOOD = ["joined", "online", "connected"];
const BAD = ["alone", "offline", "denied", "elsewhere"];

const status = new Map(); // topic below PREFIX -> text
const samples = []; // {in, out} per second
let before = null; // the counters at the sample before
let dirty = true;

const at = (id) => document.getElementById(id);
const number = (topic) => Number(status.get(topic) ?? 0);

function put(id, text) {
  const element = at(id);
  if (element.textContent !== text) element.textContent = text;
}

function colour(word) {
  if (GOOD.includes(word)) return "good";
  return BAD.includes(word) ? "bad" : "warn";
}

// Rows as arrays of [text, class, name]; texts are never markup: others choose them.
function fill(section, rows) {
  const table = at(section).querySelector("table");
  const none = at(section).querySelector(".none");
  table.hidden = rows.length === 0;
  if (none) none.hidden = rows.length > 0;
  table.tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    for (const [text, kind, name] of cells) {
      const cell = document.createElement("td");
      cell.textContent = text;
      cell.className = kind ?? "";
      if (name) cell.dataset.name = name; // where there is no room for the table's head
      if (kind === "digits") {
        const code = document.createElement("code");
        code.textContent = text;
        cell.replaceChildren(code);
      }
      row.append(cell);
    }
    return row;
  }));
}

// Of topics such as overlay/<digits>/<what>: digits -> {what: text}.
function grouped(kind) {
  const found = new Map();
  for (const [topic, text] of status) {
    const [first, digits, what] = topic.split("/");
    if (first !== kind || !what) continue;
    if (!found.has(digits)) found.set(digits, {});
    found.get(digits)[what] = text;
  }
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
}

function counters(belongs) {
  return [...status]
    .filter(([topic, text]) => belongs(topic) && Number(text) > 0)
    .sort(([, one], [, other]) => Number(other) - Number(one))
    .map(([topic, text]) => [
      [topic.replace(/^dropped\//, "").replaceAll("_", " ")],
      [Number(text).toLocaleString("en"), "number"],
    ]);
}

const OWN_PLACE = /^(overlay|node|dropped|messages\/(in|out)$)/;

function show() {
  dirty = false;
  at("who").hidden = !status.has("node_id");
  put("node_id", status.get("node_id") ?? "");
  put("addresses", status.get("addresses") ?? "");
  const relay = status.get("relay/url");
  put("relay", relay ? `, by ${relay} (${status.get("relay/state") ?? ""})` : "");
  for (const one of ["overlays", "neighbours", "connections", "waiting"]) {
    put(one, status.has(one) ? number(one).toLocaleString("en") : "–");
  }
  fill("of_overlays", grouped("overlay").map(([digits, is]) => [
    [digits, "digits"], [is.state ?? "", colour(is.state)],
    ...["neighbours", "in", "out", "dropped"].map(
      (what) => [Number(is[what] ?? 0).toLocaleString("en"), "number", what]),
  ]));
  fill("of_nodes", grouped("node").map(([digits, is]) => [
    [digits, "digits"], [is.state ?? "", colour(is.state)],
  ]));
  fill("of_drops", counters((topic) => topic.startsWith("dropped/")));
  fill("of_counters", counters((topic) => topic.includes("/") && !OWN_PLACE.test(topic)));
  if (up) word();
}

// The one word of the whole; without it (an older plugin) what the numbers say.
function word() {
  const alone = number("overlays") > 0 && number("neighbours") === 0;
  const text = status.get("state") ?? (alone ? "alone" : "joined");
  put("state", text);
  at("state").className = `state ${text === "idle" ? "soft" : colour(text)}`;
}

function sample() {
  const now = { time: Date.now(), in: number("messages/in"), out: number("messages/out") };
  if (up && before && now.in >= before.in && now.out >= before.out) {
    const seconds = (now.time - before.time) / 1000;
    samples.push({ in: (now.in - before.in) / seconds, out: (now.out - before.out) / seconds });
    if (samples.length > SAMPLES) samples.shift();
    draw();
  }
  before = up ? now : null;
}

function draw() {
  const last = samples[samples.length - 1];
  const text = (rate) => (rate >= 10 ? Math.round(rate) : Math.round(rate * 10) / 10);
  put("rate_in", text(last.in).toLocaleString("en"));
  put("rate_out", text(last.out).toLocaleString("en"));
  const top = Math.max(1, ...samples.flatMap((one) => [one.in, one.out]));
  put("scale", `up to ${text(top).toLocaleString("en")} / s`);
  for (const which of ["in", "out"]) {
    const points = samples.map((one, index) => {
      const x = 300 - ((samples.length - 1 - index) * 300) / (SAMPLES - 1);
      return `${x.toFixed(1)},${(98 - (one[which] * 94) / top).toFixed(1)}`;
    });
    at(`line_${which}`).setAttribute("points", points.join(" "));
  }
}

const TOLD = {
  joined: "joined", left: "left", neighbour_up: "a neighbour is here",
  neighbour_down: "a neighbour is gone", dropped: "not carried", omitted: "not told",
};

function tell(text) {
  let event;
  try {
    event = JSON.parse(text);
  } catch {
    return;
  }
  const time = new Date(event.time ?? Date.now()).toLocaleTimeString("en-GB");
  const parts = [TOLD[event.event] ?? event.event];
  if (event.overlay) parts.push(`overlay ${event.overlay}`);
  if (event.node) parts.push(`node ${event.node}`);
  if (event.cause) parts.push(event.cause.replaceAll("_", " "));
  if (event.reason) parts.push(event.reason.replace("dropped/", "").replaceAll("_", " "));
  const what = parts.join(" · ");
  // The same again and again is one line.
  const last = at("events").firstElementChild;
  const item = last?.dataset.what === what ? last : document.createElement("li");
  item.dataset.what = what;
  item.dataset.count = Number(item.dataset.count ?? 0) + (event.count ?? 1);
  item.textContent = `${time} · ${what}`;
  if (item.dataset.count > 1) item.textContent += ` · ${item.dataset.count} times`;
  if (item !== last) at("events").prepend(item);
  while (at("events").children.length > EVENTS) at("events").lastChild.remove();
  at("of_events").querySelector(".none").hidden = true;
}

function receive(topic, text) {
  const name = topic.slice(PREFIX.length);
  if (name === "event") return tell(text);
  if (text === "") status.delete(name); // cleared: it is over
  else status.set(name, text);
  dirty = true;
}

// ---- the connection ----

let up = false;
let client = null;
let wait = 1000;
const login = {}; // kept as long as this page is open, and nowhere else

async function brokerUrl() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const given = new URLSearchParams(location.search).get("port");
  if (given) return `${scheme}://${location.hostname}:${Number(given)}/`;
  try {
    const answer = await (await fetch("/api/v1/listeners")).json();
    const found = answer.listeners.find(
      (one) => one.protocol === "websockets" && one.tls === (scheme === "wss"));
    if (found) return `${scheme}://${location.hostname}:${found.port}/`;
  } catch {
    // Mosquitto 2.0, or a server in between: it has no such list.
  }
  return `${scheme}://${location.host}/`;
}

async function connect() {
  const url = await brokerUrl();
  client = new MqttListener(url, {
    filters: [`${PREFIX}#`],
    ...login,
    onUp() {
      up = true;
      wait = 1000;
      at("login").hidden = true;
    },
    onMessage: receive,
    onDown(reason) {
      up = false;
      status.clear(); // what is retained comes again
      put("state", reason);
      at("state").className = "state bad";
      if (client.refused) {
        put("refusal", login.username ? reason : "");
        at("login").hidden = false;
        return;
      }
      setTimeout(connect, wait);
      wait = Math.min(2 * wait, 30000);
    },
  });
}

at("login").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  Object.assign(login, Object.fromEntries(new FormData(event.target)));
  connect();
});
setInterval(() => dirty && !document.hidden && show(), 300);
setInterval(sample, SAMPLE_MS);
connect();
