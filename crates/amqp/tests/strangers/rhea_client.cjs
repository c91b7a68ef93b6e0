// A client written with rhea: plays one scene of the play in main.rs and prints, as one line of JSON, what it saw.
// Takes as arguments: port, scene.
"use strict";

const rhea = require("rhea");
const { NO, VERDICTS, big, bytesOf, count, data, fate, print, sum, taken, told } = require("./rhea_words.cjs");

const [port, scene] = process.argv.slice(2);
const BYE = { condition: "longhaul:bye", description: "so long" };
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));
const several = (length, of) => Array.from({ length }, (_, i) => of(i));

// A connection that stands. Credentials that are refused are an error.
async function connect(options) {
  const connection = rhea.create_container().connect({
    host: "127.0.0.1", port, reconnect: false, max_frame_size: 16384, username: "anonymous", ...options,
  });
  await new Promise((resolve, reject) => {
    connection.once("connection_open", resolve);
    connection.once("connection_error", ({ error }) => reject(error));
    connection.on("disconnected", () => reject(Error("cut")));
  });
  connection.removeAllListeners("disconnected");
  connection.on("disconnected", () => { throw Error("the connection ended too early"); });
  return connection;
}

function begin(connection) {
  const session = connection.create_session();
  session.begin();
  return session;
}

// Sends bodies over a link of its own, as credit allows; gives each one's fate.
async function send(session, address, bodies) {
  const sender = session.open_sender(address);
  const fates = new Map();
  let next = 0;
  const done = new Promise((resolve) => sender.on("settled", ({ delivery }) => {
    fates.set(delivery.id, fate(delivery.remote_state));
    if (fates.size === bodies.length) resolve();
  }));
  sender.on("sendable", () => {
    while (next < bodies.length && sender.sendable()) sender.send(data(bodies[next++]));
  });
  await done;
  sender.close();
  return [...fates.entries()].sort(([a], [b]) => a - b).map(([, said]) => said);
}

function tally(fates) {
  const counts = {};
  for (const said of fates) count(counts, said);
  return counts;
}

// Takes `wanted` deliveries with credit for 100 at a time. Verdicts go one a turn: rhea 3.0.5 merges unlike neighbours.
async function receive(session, address, wanted, verdict) {
  const receiver = session.open_receiver({ source: address, autoaccept: false, credit_window: 0 });
  const bodies = [];
  await once(receiver, "receiver_open");
  receiver.add_credit(Math.min(100, wanted));
  await new Promise((resolve) => receiver.on("message", ({ message, delivery }) => {
    const nth = bodies.push(bytesOf(message));
    if (nth % 100 === 0 && nth < wanted) receiver.add_credit(Math.min(100, wanted - nth));
    setImmediate(() => {
      VERDICTS[verdict(nth - 1)](delivery);
      if (nth === wanted) setImmediate(resolve);
    });
  }));
  receiver.close();
  return bodies;
}

// Gives credit for ten, asks for what there is.
async function drain(session, address) {
  const receiver = session.open_receiver({ source: address, credit_window: 0 });
  let got = 0;
  receiver.on("message", () => (got += 1));
  await once(receiver, "receiver_open");
  receiver.add_credit(10);
  receiver.drain_credit();
  await once(receiver, "receiver_drained");
  receiver.close();
  return got;
}

// Attaches, and says how the other side took the link away.
async function rebuffed(session, address) {
  const sender = session.open_sender(address);
  sender.on("sender_error", () => {});
  await once(sender, "sender_close");
  return taken(sender);
}

// Takes a link away from the other side, and waits for its answer.
async function leave(session, closed) {
  const sender = session.open_sender("judge");
  await once(sender, "sender_open");
  sender.local.detach.error = BYE;
  if (closed) sender.close();
  else sender.detach();
  await once(sender, "sender_close");
}

async function ended(session, address) {
  session.open_sender(address);
  session.on("session_error", () => {});
  await once(session, "session_close");
  return told(session.error);
}

async function close(connection, error) {
  connection.close(error);
  await once(connection, "connection_close");
}

const scenes = {
  async work() {
    const connection = await connect();
    const [first, second] = [begin(connection), begin(connection)];
    const numbers = several(1000, (n) => `${n}`);
    const small = await Promise.all([send(first, "judge", numbers), send(second, "judge", numbers)]);
    const verdicts = [];
    for (const verdict of Object.keys(VERDICTS)) verdicts.push(...(await send(first, "judge", [verdict])));
    const seen = { small: tally(small.flat()), verdicts, big: tally(await send(second, "judge", [big()])) };
    const got = await receive(first, "numbers", 500, (n) => Object.keys(VERDICTS)[n % 4]);
    seen.numbers = { count: got.length, in_order: got.every((body, n) => body.toString() === `${n}`) };
    const [whole] = await receive(second, "big", 1, () => "accepted");
    seen.big_received = { bytes: whole.length, sum: sum(whole) };
    seen.drained = await drain(first, "three");
    await close(connection);
    return seen;
  },

  async errors() {
    const connection = await connect();
    const session = begin(connection);
    const seen = {
      close: await rebuffed(session, "close"),
      detach: await rebuffed(session, "detach"),
      refuse: await rebuffed(session, "refuse"),
    };
    await leave(session, true);
    await leave(session, false);
    seen.end = await ended(begin(connection), "end");
    const another = begin(connection);
    await once(another, "session_open");
    another.close(BYE);
    await once(another, "session_close");
    seen.after = tally(await send(session, "judge", ["x"]));
    await close(connection, BYE);

    const shut = await connect();
    shut.on("connection_error", () => {});
    begin(shut).open_sender("shut");
    await once(shut, "connection_close");
    seen.shut = told(shut.error);
    return seen;
  },

  async quiet() {
    const connection = await connect({ idle_time_out: 1000 });
    const session = begin(connection);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const seen = { announced: connection.idle_time_out, after: tally(await send(session, "judge", ["x"])) };
    await close(connection);
    return seen;
  },

  async doors() {
    const doors = {
      none: { username: undefined },
      anonymous: {},
      plain: { username: "device", password: "secret" },
      wrong: { username: "device", password: "guess" },
    };
    const seen = {};
    for (const [name, options] of Object.entries(doors)) {
      const connection = await connect(options).catch(() => null);
      seen[name] = connection ? tally(await send(begin(connection), "judge", ["x"])) : "refused";
      if (connection) await close(connection);
    }
    return seen;
  },
};

scenes[scene]().then(print);
