// What the client and the server written with rhea have in common: the words for what they see (see main.rs).
"use strict";

const rhea = require("rhea");
const { message } = rhea;

const NO = { condition: "longhaul:no", description: "not this one" };

// The four verdicts, as a receiver gives them.
const VERDICTS = {
  accepted: (delivery) => delivery.accept(),
  rejected: (delivery) => delivery.reject(NO),
  released: (delivery) => delivery.release(),
  modified: (delivery) => delivery.modified({ delivery_failed: true, undeliverable_here: true }),
};

// An error as one word and some more.
const told = (error) => (error ? `${error.condition} ${error.description}` : null);

// How the other side took a link away.
const taken = ({ remote, error }) => [remote.detach.closed ? "closed" : "detached", told(error)].filter(Boolean).join(" ");

// What became of a delivery, as its sender sees it.
function fate(state) {
  const name = state && state.constructor.composite_type;
  if (name === "rejected") return `rejected ${told(state.error)}`;
  if (name !== "modified") return String(name);
  return `modified${state.delivery_failed ? " failed" : ""}${state.undeliverable_here ? " undeliverable" : ""}`;
}

const count = (counts, key) => (counts[key] = (counts[key] || 0) + 1);
const big = () => Buffer.from(Array.from({ length: 300000 }, (_, i) => i % 251));
const sum = (bytes) => bytes.reduce((total, byte) => total + byte, 0);
const data = (bytes) => ({ body: message.data_section(Buffer.from(bytes)) });
const bytesOf = (received) => received.body.content;
const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");

module.exports = { NO, VERDICTS, told, fate, count, big, sum, taken, data, bytesOf, print };
