// Runs the cells SDK x operation x transport and says of each, as one line of JSON, how it went.
//
// The operations come from what an SDK exports, the checks from a table. An operation without a check is a cell as well, and
// says so: nothing is left out in silence. A check judges by the effect on the other side and returns in a few words what it
// saw, the same words in each run, as they stand in docs/wire/sdk-matrix.md.
//
// A check is a function, or {check, ...} with
//   cannot: {transport: /pattern/} or /pattern/ for all: the SDK itself cannot; it must fail with words that match
//   absent: reason, or {reason, on: [transports]}: the simulator has not got this; it must fail, and what the SDK said is told
"use strict";

const { EventEmitter } = require("node:events");

// The longest honest cell waits for a batch of feedback, 15 s, and what comes before it.
const CELL_MS = 30_000;
// Connections of so many cells at once; more only wait for each other's handshakes.
const AT_ONCE = 12;

// Functions of a class that make clients, its methods and accessors, inherited ones too, as `Class.name`; not those of events,
// nor names that say they are private. Takes an object where the class is not exported.
function operationsOf(name, Class) {
  const isClass = typeof Class === "function";
  const names = new Set();
  if (isClass) {
    for (const one of Object.getOwnPropertyNames(Class)) if (typeof Class[one] === "function") names.add(one);
  }
  let at = isClass ? Class.prototype : Object.getPrototypeOf(Class);
  for (; at && at !== Object.prototype && at !== EventEmitter.prototype; at = Object.getPrototypeOf(at)) {
    for (const one of Object.getOwnPropertyNames(at)) if (one !== "constructor") names.add(one);
  }
  return [...names].filter((one) => !one.startsWith("_")).map((one) => `${name}.${one}`);
}

// The entries of a table under the name of a class.
const prefixed = (name, entries) =>
  Object.fromEntries(Object.entries(entries).map(([operation, entry]) => [`${name}.${operation}`, entry]));

// What went wrong, in the SDK's words: its class, or the condition of AMQP where it has none, and the text; without what
// differs in each run.
function told(error) {
  const name = error.name && error.name !== "Error" ? error.name : error.condition || "Error";
  const text = messageOf(String(error.message || error.description || ""))
    .replace(/\b[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}(_G\d+)?\b/gi, "…")
    .replace(/\s+/g, " ")
    .trim();
  return (text ? `${name}: ${text}` : name).slice(0, 160);
}

// The text of a hub's error, where its JSON stands in what an SDK says.
function messageOf(text) {
  const [before, json] = [text.slice(0, text.indexOf("{")), text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1)];
  try {
    const { Message, message } = JSON.parse(json);
    return Message || message ? before + (Message || message) : text;
  } catch {
    return text;
  }
}

function bounded(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms / 1000} s`)), ms);
  });
  const first = Promise.race([promise, late]).finally(() => clearTimeout(timer));
  // Who waits for it later, or never, must not end the program.
  first.catch(() => {});
  return first;
}

const applies = (rule, transport) =>
  rule && (rule instanceof RegExp || typeof rule === "string" || !rule.on ? true : rule.on.includes(transport));

function patternOf(cannot, transport) {
  return cannot instanceof RegExp ? cannot : cannot && cannot[transport];
}

// What became of one cell.
async function judge(entry, context) {
  if (!entry) return { result: "no check", detail: "exported, and no check for it here" };
  const { check, cannot, absent } = typeof entry === "function" ? { check: entry } : entry;
  const pattern = patternOf(cannot, context.transport);
  const missing = applies(absent, context.transport) && (absent.reason || absent);
  try {
    const detail = await bounded(check(context), CELL_MS, "the whole cell");
    if (pattern) return { result: "failed", detail: `the SDK can, although it was to say ${pattern}` };
    if (missing) return { result: "failed", detail: `works, although it was not to: ${missing}` };
    return { result: "ok", detail: detail || "" };
  } catch (error) {
    if (process.env.CELLS_TRACE) process.stderr.write(`${context.id}: ${error.stack}\n`);
    const words = told(error);
    if (pattern && pattern.test(words)) return { result: "sdk cannot", detail: words };
    if (missing) return { result: "not offered", detail: `${missing}; the SDK was told ${words}` };
    return { result: "failed", detail: words };
  }
}

// The cells of one SDK: {sdk, version, transports, operations, table, context}.
function cellsOf(part) {
  const cells = [];
  for (const operation of part.operations) {
    for (const transport of part.transports) cells.push({ part, operation, transport });
  }
  // A check for what nobody exports is a mistake in the table.
  const stray = Object.keys(part.table).filter((name) => !part.operations.includes(name));
  if (stray.length > 0) throw new Error(`${part.sdk}: checks for what is not exported: ${stray.join(", ")}`);
  return cells;
}

async function run(parts) {
  const only = process.env.CELLS_ONLY && new RegExp(process.env.CELLS_ONLY);
  const cells = parts.flatMap(cellsOf);
  const waiting = cells.filter(({ part, operation, transport }) => !only || only.test(`${part.sdk} ${transport} ${operation}`));
  const queue = [...waiting];
  const worker = async () => {
    for (let cell = queue.shift(); cell; cell = queue.shift()) {
      const { part, operation, transport } = cell;
      const id = `${part.name}-${operation}-${transport}`.replace(/[^A-Za-z0-9-]+/g, "-").toLowerCase();
      const context = { ...part.context, transport, operation, id };
      const begun = Date.now();
      const { result, detail } = await judge(part.table[operation], context);
      cell.line = { sdk: part.sdk, version: part.version, transport, operation, result, detail };
      if (process.env.CELLS_TRACE) process.stderr.write(`${Date.now() - begun} ms ${id}: ${result} ${detail}\n`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return waiting.map((cell) => cell.line);
}

module.exports = { bounded, operationsOf, prefixed, run, told };
