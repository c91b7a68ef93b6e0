// What azure-iothub shows of faults: its registry over HTTPS, its client over AMQP.
"use strict";

const { Message, NoRetry } = require("azure-iot-common");
const { Client: DeviceClient } = require("azure-iot-device");
const { Amqp: DeviceAmqp } = require("azure-iot-device-amqp");
const sdk = require("azure-iothub");
const { but, hidden, nothing } = require("./meet.cjs");
const { words } = require("./words.cjs");
const { soon } = require("../cells/device.cjs");
const { keyOf } = require("../cells/site.cjs");

// As the cells of HTTPS are called.
const transports = ["Https", "Amqp", "AmqpWs"];
const DEVICE_MESSAGES_MAX = 50;

const done = async (promise, what) => {
  await soon(promise, what);
  return "success";
};

const wrongKey = ({ site }) => site.connectionString.replace(/SharedAccessKey=.*/, `SharedAccessKey=${keyOf("another")}`);

function open(at, text = at.site.connectionString) {
  const client = sdk.Client.fromConnectionString(text, sdk[at.transport]);
  client.setRetryPolicy(new NoRetry());
  client.on("error", () => {});
  at.gone = new Promise((resolve) => client.on("disconnect", resolve));
  at.close = () => client.close().catch(() => {});
  at.client = client;
  return soon(client.open(), "open");
}

const send = (at, id = at.id, body = "hello") => done(at.client.send(id, new Message(body)), "send");
const connected = async (at) => {
  await open(at);
  await send(at);
};

const gone = async (at) => `${words((await soon(at.gone, "event 'disconnect'")).reason)} (event disconnect)`;

const registry = (call) => (at) => done(call(at.site.registry, at.id, at), "the call");
const over = ({ https, amqp }) => (at) => (at.transport === "Https" ? https(at) : amqp(at));

const http = (pattern) => ({ http: pattern });
const told = (error, status, code) => http(new RegExp(`^${error}: .*\\[HTTP ${status}${code ? `, ${code}` : ""}\\]`));
const refused = (error, carried) => ({ amqp: new RegExp(`^${error}: .*\\[AMQP ${carried}\\]`) });
const LOCAL = "the SDK says so itself, nothing is sent";
const AFTER_45_S = "this SDK waits 45 s for answers on a connection that was closed in words, then tells its condition";
const SILENCE = /^nothing within 3 s$/;

// A device that listens and never answers. The SDK does not say when it listens: who calls waits for it.
async function mute(at) {
  const device = DeviceClient.fromConnectionString(await at.site.device(at.id), DeviceAmqp);
  device.on("error", () => {});
  at.close = () => device.close().catch(() => {});
  await soon(device.open(), "open of the device");
  device.onDeviceMethod("reboot", () => {});
}

const invokes = (more) => (at) => {
  const call = { methodName: "reboot", responseTimeoutInSeconds: 5, ...more };
  return done(sdk.Client.fromConnectionString(at.site.connectionString).invokeDeviceMethod(at.id, call), "invokeDeviceMethod");
};
const method = invokes();

async function full(at) {
  await open(at);
  for (let nth = 0; nth < DEVICE_MESSAGES_MAX; nth++) await send(at);
}

const reads = (at, text) => done(sdk.Registry.fromConnectionString(text).get(at.id), "get");
const opensAndSends = async (at, text) => {
  await open(at, text);
  return send(at);
};
const with_ = (text) => over({ https: (at) => reads(at, text(at)), amqp: (at) => opensAndSends(at, text(at)) });
const ofDevices = ({ site }) => `HostName=${site.hub};SharedAccessKeyName=device;SharedAccessKey=${site.started.policies.device}`;
const normally = ({ site }) => site.connectionString;

const faults = {
  "wrong key": {
    act: with_(wrongKey),
    says: {
      ...told("UnauthorizedError", 401, "IotHubUnauthorized"),
      amqp: /^Error: .*\[UnauthorizedError: .*invalid signature/,
    },
  },
  "policy without the right": {
    act: with_(ofDevices),
    says: {
      ...told("UnauthorizedError", 401, "IotHubUnauthorized"),
      ...refused("UnauthorizedError", "amqp:unauthorized-access, 401003"),
    },
  },
  "device unknown": { makes: false, act: registry((one, id) => one.get(id)), says: told("DeviceNotFoundError", 404) },
  "module unknown": { act: registry((one, id) => one.getModule(id, "m")), says: told("Error", 404, "ModuleNotFound") },
  "device there already": {
    act: registry((one, id) => one.create({ deviceId: id })),
    says: told("DeviceAlreadyExistsError", 409),
  },
  "etag of another version": {
    act: registry((one, id) => one.updateTwin(id, { tags: { a: 1 } }, "AAAAAAAAAAk=")),
    says: told("InvalidEtagError", 412),
  },
  "argument refused": {
    act: registry((one) => one.create({ deviceId: "a b?" })),
    says: told("ArgumentError", 400, "ArgumentInvalid"),
  },
  "more than 100 devices at once": {
    act: registry((one, id) => one.addDevices(Array.from({ length: 101 }, (_, nth) => ({ deviceId: `${id}-${nth}` })))),
    says: http(but(/^ArgumentError: .* 101/, LOCAL)),
  },
  "query that is none": {
    act: registry((one) => one.createQuery("SELECT FROM nothing").next()),
    says: told("ArgumentError", 400, "ArgumentInvalid"),
  },
  "tags too large": {
    act: registry((one, id) => one.updateTwin(id, { tags: { a: "x".repeat(3_000), b: "x".repeat(3_000), c: "x".repeat(3_000) } }, "*")),
    says: told("ArgumentError", 400, "ArgumentInvalid"),
  },
  "method, device not online": { act: method, says: told("Error", 404, "DeviceNotOnline") },
  "method, device unknown": { makes: false, act: method, says: told("DeviceNotFoundError", 404) },
  "method, no answer": { begin: mute, act: invokes({ connectTimeoutInSeconds: 5 }), says: told("GatewayTimeoutError", 504) },
  "message to an unknown device": {
    makes: false,
    begin: open,
    act: send,
    says: refused("DeviceNotFoundError", "amqp:not-found, 404001"),
  },
  "51st message to a device": {
    begin: full,
    act: send,
    says: refused("DeviceMaximumQueueDepthExceededError", "amqp:resource-limit-exceeded, 403004"),
  },
  "message to a device of 70 000 bytes": {
    begin: open,
    act: (at) => send(at, at.id, "x".repeat(70_000)),
    says: refused("MessageTooLargeError", "amqp:link:message-size-exceeded, 413001"),
  },
  "hub unavailable": {
    act: over({ https: with_(normally), amqp: (at) => nothing(with_(normally)(at)) }),
    says: {
      ...told("ServiceUnavailableError", 503),
      amqp: hidden(SILENCE, AFTER_45_S),
    },
  },
  "hub closes connections": {
    act: with_(normally),
    says: {
      ...http(/^Error: socket hang up/),
      amqp: hidden(/^RangeError: Maximum call stack size exceeded, thrown/, "a connection lost while a token is under way ends the program"),
    },
  },
  "connections reset": { begin: connected, act: gone, says: { amqp: /^NotConnectedError: / } },
  "hub silent": { act: (at) => nothing(with_(normally)(at)), says: { http: SILENCE, amqp: SILENCE } },
};

const room = { sdks: { "azure-iothub": transports }, faults };

module.exports = { room };
