// A server written with rhea: plays the house of main.rs. Prints its port, then for each connection that ends one line of
// JSON with what it saw. Takes as argument the idle time-out that it announces, in milliseconds. Ends with its input.
"use strict";

const rhea = require("rhea");
const { VERDICTS, big, bytesOf, count, data, fate, print, taken, told } = require("./rhea_words.cjs");

const GONE = { condition: "longhaul:gone", description: "the room is closed" };
const container = rhea.create_container();
container.sasl_server_mechanisms.enable_anonymous();
container.sasl_server_mechanisms.enable_plain((user, password) => user === "device" && password === "secret");
const reports = new Map();

function mechanism(connection) {
  const server = connection.sasl_transport.selected;
  const name = server.mechanism && server.mechanism.constructor.name;
  return { PlainServer: `PLAIN ${server.username}`, AnonymousServer: "ANONYMOUS" }[name] || "none";
}

container.on("connection_open", ({ connection }) => reports.set(connection, {
  mechanism: mechanism(connection), sessions: 0, judged: { messages: 0, bytes: 0, in_order: true },
  overrun: false, fates: {}, links: [], ended: [], closed: null, announced: connection.idle_time_out || null,
}));

container.on("session_open", ({ connection }) => (reports.get(connection).sessions += 1));

// Verdicts are given by the message's own words. Credit comes by the hundred, when the last of it is used up.
function judge(receiver, report) {
  let [left, before] = [0, -1];
  const more = () => receiver.add_credit((left = 100));
  receiver.on("message", ({ message, delivery }) => {
    const body = bytesOf(message);
    const text = body.toString("latin1", 0, 20);
    report.judged.messages += 1;
    report.judged.bytes += body.length;
    if (/^\d+$/.test(text)) {
      report.judged.in_order &&= Number(text) === before + 1;
      before = Number(text);
    }
    if (left-- === 0) report.overrun = true;
    if (left === 0) setImmediate(more);
    (VERDICTS[text] || VERDICTS.accepted)(delivery);
  });
  more();
}

container.on("receiver_open", ({ connection, session, receiver }) => {
  const { address } = receiver.target;
  if (address !== "refuse") receiver.set_target({ address });
  switch (address) {
    case "close": return receiver.close(GONE);
    case "refuse": return receiver.close({ condition: "longhaul:refused", description: "no such room" });
    case "detach":
      receiver.local.detach.error = GONE;
      return receiver.detach();
    case "end": return session.close(GONE);
    case "shut": return connection.close(GONE);
    default: return judge(receiver, reports.get(connection));
  }
});

// What a sender has to give: so many bodies, then no more.
const STORES = { numbers: (n) => (n < 500 ? `${n}` : null), three: (n) => (n < 3 ? `${n}` : null), big: (n) => (n < 1 ? big() : null) };

container.on("sender_open", ({ connection, sender }) => {
  const { address } = sender.source;
  sender.set_source({ address });
  const fates = (reports.get(connection).fates[address] = {});
  let next = 0;
  const go = () => {
    while (sender.sendable() && STORES[address](next) !== null) sender.send(data(STORES[address](next++)));
  };
  sender.on("settled", ({ delivery }) => count(fates, fate(delivery.remote_state)));
  // In another turn: rhea 3.0.5 would write the message before its own attach.
  sender.on("sendable", () => setImmediate(go));
  // And once more: messages count against the credit only when they are written. By itself it would not tell at once.
  const drained = () => { sender.set_drained(true); connection._register(); };
  sender.on("sender_draining", () => setImmediate(() => setImmediate(drained)));
});

// Links that we turned away, or that were closed without an error, ended well. The rest is told.
for (const role of ["sender", "receiver"]) {
  container.on(`${role}_error`, () => {});
  container.on(`${role}_close`, ({ connection, [role]: link }) => {
    const how = taken(link);
    if (link.state.local_open && how !== "closed") reports.get(connection).links.push(how);
  });
}
container.on("session_error", ({ connection, session }) => reports.get(connection).ended.push(told(session.error)));
container.on("connection_error", ({ connection, error }) => {
  if (reports.has(connection)) reports.get(connection).closed = told(error);
});

function over({ connection }) {
  if (reports.has(connection)) print(reports.get(connection));
  reports.delete(connection);
}
container.on("connection_close", over);
container.on("disconnected", over);

const listener = container.listen({
  host: "127.0.0.1", port: 0, max_frame_size: 16384, idle_time_out: Number(process.argv[2]),
  receiver_options: { autoaccept: false, credit_window: 0 },
});
listener.on("listening", () => print({ port: listener.address().port }));
process.stdin.resume().on("end", () => process.exit());
