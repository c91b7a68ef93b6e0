// Switches on one fault after the other, and has all clients meet it at once.
//
// A room is {sdks: {name: [transports]}, faults}. Its table `faults` has for each fault how a client meets it:
//   begin(at)  what goes before, without the fault
//   act(at)    what a program does; gives in a few words what came of it, the same words in each run, or fails as the SDK does
//   says       what it must come to, by transport or by family (http, amqp, mqtt): a pattern, or one with a reason, see below
//   makes      false: there is no device of this name
"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");
const { forward, switchOn, toDevice } = require("./control.cjs");
const { lanesOf, lasting } = require("./order.cjs");
const { words } = require("./words.cjs");
const { bounded } = require("../cells/harness.cjs");

// The longest honest one registers at a service whose answers are late.
const CELL_MS = 20_000;
// So long a program waits that is told nothing. What comes at all comes within half a second.
const SILENT_MS = 3_000;

// Connections of so many clients at once, where nothing asks for more.
const AT_ONCE = 16;

const FAMILIES = { Http: "http", Https: "http", Amqp: "amqp", AmqpWs: "amqp", Mqtt: "mqtt", MqttWs: "mqtt" };

// The SDK was told what the list says, and shows something else.
const hidden = (pattern, why) => ({ pattern, why, result: "hidden" });
// It shows what the list says; something about it is worth a word.
const but = (pattern, why) => ({ pattern, why, result: "ok" });

// Waits for what is not to come.
function nothing(promise) {
  const silence = new Promise((resolve) => setTimeout(resolve, SILENT_MS, "nothing within 3 s"));
  return Promise.race([silence, promise.then((saw) => (typeof saw === "string" ? saw : "success"))]);
}

// What an SDK throws where no program can catch it, by the cell in which it did.
const cellNow = new AsyncLocalStorage();
process.on("uncaughtException", (error) => {
  const cell = cellNow.getStore();
  if (cell) return cell.at.escaped(error);
  process.stderr.write(`${error.stack}\n`, () => process.exit(1));
});

function cellsOf(site, rooms, fault) {
  const room = rooms[fault.of];
  const entry = room.faults[fault.fault];
  if (!entry) throw new Error(`${fault.of}: nothing here meets '${fault.fault}'`);
  return Object.entries(room.sdks).flatMap(([sdk, transports]) => transports.flatMap((transport) => {
    const says = entry.says[transport] || entry.says[FAMILIES[transport]];
    if (!says) return [];
    const id = `${fault.of}-${fault.fault}-${transport}`.replace(/[^A-Za-z0-9-]+/g, "-").toLowerCase();
    return [{ fault, sdk, transport, entry, says: says instanceof RegExp ? but(says) : says, at: { site, transport, id } }];
  }));
}

// The process would have ended.
const ended = (cell) => new Promise((resolve) => {
  cell.at.escaped = (error) => resolve(`${words(error)}, thrown where no program can catch it`);
});

async function judged(cell) {
  const { entry, says, at, trouble } = cell;
  let saw = trouble;
  try {
    saw = trouble || await Promise.race([cellNow.run(cell, () => bounded(entry.act(at), CELL_MS, "the whole cell")), cell.end]);
  } catch (error) {
    if (process.env.CELLS_TRACE) process.stderr.write(`${at.id}: ${error && error.stack}\n`);
    saw = words(error);
  }
  saw = saw.replaceAll(at.id, "ID");
  if (process.env.CELLS_TRACE) process.stderr.write(`= ${cell.fault.of}: ${cell.fault.fault} | ${cell.transport} | ${saw}\n`);
  if (!says.pattern.test(saw)) return { result: "failed", detail: `${saw} and not ${says.pattern}` };
  return { result: says.result, detail: says.why ? `${saw}; ${says.why}` : saw };
}

// What goes wrong before the fault is there is told in the cell's place.
async function begins(cell) {
  cell.end = ended(cell);
  try {
    if (cell.entry.makes !== false) await cell.at.site.device(cell.at.id);
    if (cell.entry.begin) await cellNow.run(cell, () => bounded(cell.entry.begin(cell.at), CELL_MS, "what goes before"));
  } catch (error) {
    cell.trouble = `before the fault: ${words(error)}`;
  }
}

async function ends(cell) {
  const { fault, sdk, transport } = cell;
  const { version } = require(`${sdk}/package.json`);
  cell.line = { of: fault.of, fault: fault.fault, sdk, version, transport, ...await judged(cell) };
  cell.at.met();
}

// What is switched on, by lane. The simulator takes all of it at once; one after the other, as the last one counts.
const on = {};
let before = Promise.resolve();
function switches(lane, faults) {
  on[lane] = faults;
  before = before.then(() => switchOn(Object.assign({}, ...Object.values(on))));
  return before;
}

const doneTo = ({ at, fault }) => fault.then_device && toDevice(at.id, fault.then_device);

// Each client by itself: nothing is switched on for all.
async function meetApart(cells) {
  const queue = [...cells];
  const worker = async () => {
    for (let cell = queue.shift(); cell; cell = queue.shift()) {
      cell.at.met = () => {};
      await begins(cell);
      await doneTo(cell);
      await ends(cell);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

// All clients at once.
async function meetTogether(lane, cells, { set, forward_s: seconds }) {
  await Promise.all(cells.map(begins));
  const met = cells.map(({ at }) => new Promise((resolve) => (at.met = resolve)));
  if (set) await switches(lane, lasting(set));
  if (seconds) await forward(seconds);
  await Promise.all(cells.map(doneTo));
  const all = cells.map(ends);
  // A client that repeats a request until it is served says when it has met the fault.
  await Promise.all(met);
  if (set) await switches(lane, {});
  await Promise.all(all);
}

async function meet(lane, { faults, cells, set }) {
  const begun = Date.now();
  const [{ forward_s }] = faults;
  await (set || forward_s ? meetTogether(lane, cells, { set, forward_s }) : meetApart(cells));
  for (const { at } of cells) if (at.close) at.close();
  if (process.env.CELLS_TRACE) process.stderr.write(`${Date.now() - begun} ms: ${faults.map(({ fault }) => fault).join(", ")}\n`);
}

async function meetAll(site, list, rooms) {
  const only = process.env.CELLS_ONLY && new RegExp(process.env.CELLS_ONLY);
  const faults = list.filter(({ of, fault }) => !only || only.test(`${of}: ${fault}`));
  const cells = new Map(faults.map((fault) => [fault, cellsOf(site, rooms, fault)]));
  const { beside, alone } = lanesOf(faults, (fault) => cells.get(fault));
  const inTurn = async ([lane, groups]) => {
    for (const group of groups) await meet(lane, group);
  };
  await Promise.all(Object.entries(beside).map(inTurn));
  await inTurn(["alone", alone]);
  return faults.flatMap((fault) => cells.get(fault).map(({ line }) => line));
}

module.exports = { but, hidden, meetAll, nothing };
