// What a program with azure-iot-device does when it meets a fault. The SDK's own retries are off.
"use strict";

const { Message: ServiceMessage, NoRetry } = require("azure-iot-common");
const service = require("azure-iothub");
const { recorded, toDevice } = require("./control.cjs");
const { nothing } = require("./meet.cjs");
const { words } = require("./words.cjs");
const { called, nextMessage, packages, sdk, soon } = require("../cells/device.cjs");
const { keyOf } = require("../cells/site.cjs");

function keep(at, client) {
  client.setRetryPolicy(new NoRetry());
  // Heard from the beginning: it may come while something else is waited for.
  at.gone = new Promise((resolve) => client.on("disconnect", ({ transportObj }) => resolve(transportObj)));
  at.error = new Promise((resolve) => client.on("error", resolve));
  at.client = client;
  at.close = () => client.close().catch(() => {});
  return client;
}

const stringOf = ({ site, id }, key = keyOf(id)) => `HostName=${site.hub};DeviceId=${id};SharedAccessKey=${key}`;
const withKey = (at, key) => keep(at, sdk.Client.fromConnectionString(stringOf(at, key), packages[at.transport]));

// With a token that ran out an hour ago.
function withOldToken(at) {
  const token = sdk.SharedAccessSignature.create(at.site.hub, at.id, keyOf(at.id), Math.floor(Date.now() / 1000) - 3600);
  return keep(at, sdk.Client.fromSharedAccessSignature(token.toString(), packages[at.transport]));
}

const send = (client, body = "hello") => client.sendEvent(new sdk.Message(body));

// Over HTTPS, and over AMQP where it is about the link, trouble shows with the first message.
async function opens(at, client = withKey(at)) {
  await soon(client.open(), "open");
  await soon(send(client), "sendEvent");
  return "success";
}

const connected = (at) => opens(at);
const sends = async (at) => {
  await soon(send(at.client), "sendEvent");
  return "success";
};

// The SDK for AMQP waits 45 s for answers on a connection that was closed in words, and shows nothing before.
const cutOff = (at) => (/^Amqp/.test(at.transport) ? nothing(opens(at)) : opens(at));

// The connection goes by itself. Without one it is the next message that tells.
async function gone(at) {
  if (at.transport === "Http") return sends(at);
  return `${words(await soon(at.gone, "event 'disconnect'"))} (event disconnect)`;
}

const unheard = (at) => nothing(send(at.client));

// How the answer to a message reads, and whether the message got through; one came before it.
const accounts = (at) => accounted(at, soon(send(at.client), "sendEvent").then(() => "success", words));
const silently = (at) => accounted(at, nothing(send(at.client)));

async function accounted(at, answering) {
  const answer = await answering;
  return `${answer}; the message is ${(await recorded(at.id)) === 2 ? "" : "not "}recorded`;
}

async function late(at) {
  const begun = Date.now();
  await sends(at);
  return Date.now() - begun < 1_400 ? "success: at once" : "success: late";
}

const sending = (bytes) => async (at) => {
  await soon(send(at.client, "x".repeat(bytes)), "sendEvent");
  return "success";
};

async function stolen(at) {
  const other = sdk.Client.fromConnectionString(stringOf(at), packages[at.transport]);
  other.on("error", () => {});
  await soon(other.open(), "open of the other");
  await soon(send(other), "sendEvent of the other");
  const seen = await gone(at);
  other.close().catch(() => {});
  return seen;
}

async function reports(at) {
  const twin = await soon(at.client.getTwin(), "getTwin");
  const patch = Object.fromEntries(Array.from({ length: 9 }, (_, nth) => [`part${nth}`, "x".repeat(4_000)]));
  await called((done) => twin.properties.reported.update(patch, done), "update");
  return "success";
}

const asksForTwin = async (at) => {
  await soon(at.client.getTwin(), "getTwin");
  return "success";
};

async function listens(at) {
  if (at.transport === "Http") await soon(at.client.setTransportOptions({ interval: 1 }), "setTransportOptions");
  at.client.on("message", () => {});
  const by = (event, error) => `${words(error)} (event ${event})`;
  return nothing(Promise.race([at.error.then((error) => by("error", error)), at.gone.then((error) => by("disconnect", error))]));
}

// Has a message from the service, and does not settle it.
async function holding(at) {
  await connected(at);
  const coming = nextMessage(at.client);
  if (at.transport === "Http") await soon(at.client.setTransportOptions({ interval: 1 }), "setTransportOptions");
  const sender = await at.site.serviceClient(service.Amqp);
  await soon(sender.send(at.id, new ServiceMessage("to it")), "send of the service client");
  [at.message] = await soon(coming, "the message at the device");
  at.again = nextMessage(at.client);
  sender.close().catch(() => {});
}

async function settlesLate(at) {
  await soon(at.client.complete(at.message), "complete");
  await soon(at.again, "the message again");
  return "success: it comes again";
}

module.exports = {
  accounts, asksForTwin, connected, cutOff, gone, holding, late, listens, opens, reports, sending, sends, settlesLate, silently,
  stolen, unheard, withKey, withOldToken,
};
