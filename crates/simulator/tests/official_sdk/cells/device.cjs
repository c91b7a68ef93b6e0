// What azure-iot-device exports for devices and modules: Client and ModuleClient, the Twin and the method's answer that they
// hand out, on each transport.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Readable } = require("node:stream");
const tls = require("node:tls");
const { Message: ServiceMessage } = require("azure-iot-common");
const sdk = require("azure-iot-device");
const { bounded, operationsOf, prefixed } = require("./harness.cjs");
const { SOON_MS, keyOf } = require("./site.cjs");

const packages = { ...require("azure-iot-device-amqp"), ...require("azure-iot-device-http"), ...require("azure-iot-device-mqtt") };
// The transports are the classes among these that send events.
const transports = Object.keys(packages).filter((name) => packages[name].prototype && packages[name].prototype.sendEvent);
const QUEUES = ["Amqp", "AmqpWs", "Mqtt", "MqttWs"];

const soon = (promise, what) => bounded(promise, SOON_MS, what);

// With a callback in the end, as some of the SDK's calls have it only.
const called = (call, what) =>
  soon(new Promise((resolve, reject) => call((error, result) => (error ? reject(error) : resolve(result)))), what);

// Who the client is, as the service sees it: a device, or its module `m`.
const device = {
  Client: sdk.Client,
  make: ({ site, id }) => site.device(id),
  twin: ({ site, id }) => site.twin(id),
  patch: ({ site, id }, patch) => site.patch(id, patch),
  invoke: ({ site, id }, method) => site.client.invokeDeviceMethod(id, method),
  signature: ({ site, id }, seconds) => sdk.SharedAccessSignature.create(site.hub, id, keyOf(id), seconds).toString(),
};

// Runs with an open client of a device of its own.
async function withClient(at, use, make) {
  const { transport, who } = at;
  const connectionString = await who.make(at);
  const client = make ? make(connectionString) : who.Client.fromConnectionString(connectionString, packages[transport]);
  client.on("error", () => {});
  try {
    await soon(client.open(), "open");
    return await use(client, connectionString);
  } finally {
    client.close().catch(() => {});
  }
}

async function sendsAndArrives({ site, id }, client, body = "hello") {
  await soon(client.sendEvent(new sdk.Message(body)), "sendEvent");
  await site.event(id, body);
}

const opens = (make) => (at) =>
  withClient(at, async (client) => {
    await sendsAndArrives(at, client);
    return "opens, and its event is at the reader";
  }, (connectionString) => make(at, packages[at.transport], connectionString));

const byConnectionString = opens(({ who }, Transport, text) => who.Client.fromConnectionString(text, Transport));
const bySignature = opens((at, Transport) => at.who.Client.fromSharedAccessSignature(at.who.signature(at, inAnHour()), Transport));
const byProvider = opens(({ who }, Transport, text) =>
  who.Client.fromAuthenticationProvider(sdk.SharedAccessKeyAuthenticationProvider.fromConnectionString(text), Transport));

// Names over HTTPS are those of headers: no spaces there.
const namesOf = (transport) => (transport === "Http" ? { Port: "1" } : { Port: "1", "with space": "a&b=c" });

async function sendEvent(at) {
  return withClient(at, async (client) => {
    const message = new sdk.Message(JSON.stringify({ place: "Zürich ☃" }));
    const named = { messageId: "m-1", correlationId: "c-1", contentType: "application/json", contentEncoding: "utf-8" };
    Object.assign(message, named);
    const names = namesOf(at.transport);
    for (const [name, value] of Object.entries(names)) message.properties.add(name, value);
    await soon(client.sendEvent(message), "sendEvent");
    const event = await at.site.event(at.id, message.getData());
    const { messageId, correlationId, contentType, properties } = event;
    const { contentEncoding } = event.getRawAmqpMessage().properties;
    assert.deepEqual({ messageId, correlationId, contentType, contentEncoding }, named);
    assert.deepEqual({ ...properties }, names);
    return "the event at the reader has its body, system and application properties";
  });
}

async function sendEventBatch(at) {
  return withClient(at, async (client) => {
    const first = new sdk.Message("first of two");
    first.properties.add("nth", "1");
    await soon(client.sendEventBatch([first, new sdk.Message("second of two")]), "sendEventBatch");
    const event = await at.site.event(at.id, "first of two");
    assert.equal(event.properties.nth, "1");
    await at.site.event(at.id, "second of two");
    return "both events are at the reader";
  });
}

// Cloud to device. Over HTTPS the SDK asks every second; elsewhere it listens.
async function receive({ transport }, client) {
  if (transport === "Http") await soon(client.setTransportOptions({ interval: 1 }), "setTransportOptions");
  return (await soon(nextMessage(client), "the message at the device"))[0];
}

// The SDK closes its link when nobody listens any more, and could not settle then.
function nextMessage(client) {
  if (client.listenerCount("message") === 0) client.on("message", () => {});
  return once(client, "message");
}

function toDevice(id, messageId) {
  const message = new ServiceMessage(`to ${id}`);
  message.messageId = messageId;
  message.ack = "full";
  message.properties.add("colour", "red");
  return message;
}

async function sendToDevice({ site, id }, messageId = `to-${id}`) {
  await soon(site.client.send(id, toDevice(id, messageId)), "send of the service client");
  return messageId;
}

async function onMessage(at) {
  return withClient(at, async (client) => {
    const coming = receive(at, client);
    const messageId = await sendToDevice(at);
    const message = await coming;
    assert.equal(message.getData().toString(), `to ${at.id}`);
    assert.equal(message.messageId, messageId);
    const colour = message.properties.propertyList.find(({ key }) => key.replace("iothub-app-", "") === "colour");
    assert.equal(colour && colour.value, "red");
    return "what the service sent is here, with its properties";
  });
}

// Settles the first delivery and hears of it through feedback.
const settles = (how, status) => (at) =>
  withClient(at, async (client) => {
    const coming = receive(at, client);
    const messageId = await sendToDevice(at);
    await soon(client[how](await coming), how);
    const record = await at.site.feedbackOf(messageId);
    assert.equal(record.statusCode, status);
    assert.equal(await at.site.queued(at.id), 0);
    return `the queue is empty, the service's feedback says ${status}`;
  });

async function abandon(at) {
  return withClient(at, async (client) => {
    const coming = receive(at, client);
    await sendToDevice(at);
    const message = await coming;
    const again = soon(nextMessage(client), "the message again");
    await soon(client.abandon(message), "abandon");
    const [second] = await again;
    assert.equal(second.messageId, message.messageId);
    await soon(client.complete(second), "complete");
    await at.site.until(async () => (await at.site.queued(at.id)) === 0, "an empty queue");
    return "it comes again";
  });
}

const invoke = (at, methodName) =>
  soon(at.who.invoke(at, { methodName, payload: { give: 3 }, responseTimeoutInSeconds: 6 }), "invokeDeviceMethod");

// Registers a handler and has it invoked. The SDK does not say when its subscription stands: the service asks until it does.
async function invoked(at, client, status, payload) {
  let asked;
  client[client.onMethod ? "onMethod" : "onDeviceMethod"]("reboot", (request, response) => {
    asked = request.payload;
    response.send(status, payload).catch(() => {});
  });
  let answer;
  await at.site.until(async () => {
    answer = await invoke(at, "reboot").catch((error) => {
      // DeviceNotOnline has no class in this SDK.
      if (!/not found/i.test(error.message)) throw error;
    });
    return answer;
  }, "an invocation that finds the device");
  assert.deepEqual(asked, { give: 3 });
  return answer.result;
}

async function onDeviceMethod(at) {
  return withClient(at, async (client) => {
    const { status, payload } = await invoked(at, client, 200, { took: 3 });
    assert.deepEqual({ status, payload }, { status: 200, payload: { took: 3 } });
    return "the service's invocation is asked, and gets the answer";
  });
}

async function methodResponse(at) {
  return withClient(at, async (client) => {
    const { status, payload } = await invoked(at, client, 418, ["a", 1]);
    assert.deepEqual({ status, payload }, { status: 418, payload: ["a", 1] });
    return "status 418 and a list are what the service gets";
  });
}

async function getTwin(at) {
  return withClient(at, async (client) => {
    await at.who.patch(at, { properties: { desired: { pace: { s: 60 } } } });
    const twin = await soon(client.getTwin(), "getTwin");
    assert.deepEqual(twin.properties.desired.pace, { s: 60 });
    assert.equal(twin.properties.desired.$version, 2);
    assert.equal(twin.properties.reported.$version, 1);
    return "desired as the service wrote it, $version 2; reported $version 1";
  });
}

async function twinGet(at) {
  return withClient(at, async (client) => {
    const twin = await soon(client.getTwin(), "getTwin");
    await at.who.patch(at, { properties: { desired: { later: true } } });
    await soon(twin.get(), "get");
    assert.equal(twin.properties.desired.later, true);
    return "a second get has what the service wrote in between";
  });
}

async function reportedUpdate(at) {
  return withClient(at, async (client) => {
    const twin = await soon(client.getTwin(), "getTwin");
    const update = (patch) => called((done) => twin.properties.reported.update(patch, done), "update");
    await update({ battery: { percent: 80 }, gone: 1 });
    await update({ gone: null });
    const { reported } = (await at.who.twin(at)).properties;
    assert.deepEqual([reported.battery, reported.gone, reported.$version], [{ percent: 80 }, undefined, 3]);
    return "the service reads it, without what was set to null; $version 3";
  });
}

// The SDK listens to changes as soon as somebody listens to it.
async function desiredUpdates(at, listen) {
  return withClient(at, async (client) => {
    const twin = await soon(client.getTwin(), "getTwin");
    await listen(twin);
    const changed = new Promise((resolve) => twin.on("properties.desired", (delta) => delta.pace === 7 && resolve(delta)));
    // The subscription answers nobody: the change is made until it is seen.
    let seen;
    changed.then((delta) => (seen = delta));
    let pace = 0;
    await at.site.until(async () => {
      if (!seen) await at.who.patch(at, { properties: { desired: { pace: 7, nth: ++pace } } });
      return seen;
    }, "the change at the device");
    assert.ok(seen.$version >= 2);
    return "the service's change comes to the device, with its $version";
  });
}

const enableUpdates = (at) =>
  desiredUpdates(at, (twin) =>
    called((done) => twin.enableTwinDesiredPropertiesUpdates(done), "enableTwinDesiredPropertiesUpdates"));

// A policy that counts how often it was asked, and never agrees.
function asked() {
  return { times: 0, shouldRetry() { this.times += 1; return false; }, nextRetryTimeout: () => 1 };
}

async function setRetryPolicy(at) {
  return withClient(at, async (client) => {
    const policy = asked();
    client.setRetryPolicy(policy);
    await assert.rejects(soon(client.sendEvent(new sdk.Message("x".repeat(262_145))), "sendEvent"));
    assert.ok(policy.times > 0);
    return "the policy is asked about a refused message";
  });
}

async function twinRetryPolicy(at) {
  return withClient(at, async (client) => {
    const twin = await soon(client.getTwin(), "getTwin");
    const policy = asked();
    twin.setRetryPolicy(policy);
    await assert.rejects(called((done) => twin.properties.reported.update({ "a.b": 1 }, done), "update"));
    assert.ok(policy.times > 0);
    return "the policy is asked about a refused update";
  });
}

async function close(at) {
  const connectionString = await at.who.make(at);
  const client = at.who.Client.fromConnectionString(connectionString, packages[at.transport]);
  await soon(client.open(), "open");
  await sendsAndArrives(at, client);
  const isConnected = async () => (await at.who.twin(at)).connectionState === "Connected";
  if (QUEUES.includes(at.transport)) await at.site.until(isConnected, "Connected at the service");
  await soon(client.close(), "close");
  await at.site.until(async () => !(await isConnected()), "Disconnected at the service");
  return QUEUES.includes(at.transport) ? "the service sees it connected, then not" : "nothing to see: no connection is kept";
}

// With another root's certificate it must not connect, with ours it must.
async function setOptions(at) {
  const connectionString = await at.who.make(at);
  const make = () => at.who.Client.fromConnectionString(connectionString, packages[at.transport]);
  // Over HTTPS the SDK calls back only where the options say how to receive.
  const receiving = at.transport === "Http" ? { http: { receivePolicy: { interval: 60 } } } : {};
  const wrong = make();
  wrong.on("error", () => {});
  wrong.setRetryPolicy(asked());
  await soon(wrong.setOptions({ ...receiving, ca: tls.rootCertificates[0] }), "setOptions");
  const goes = async () => {
    await wrong.open();
    await wrong.sendEvent(new sdk.Message("never"));
  };
  await assert.rejects(soon(goes(), "a connection with another root"), (error) => !/nothing within/.test(error.message));
  const client = make();
  try {
    await soon(client.setOptions({ ...receiving, ca: at.site.started.ca_file, productInfo: "cells" }), "setOptions");
    await soon(client.open(), "open");
    await sendsAndArrives(at, client);
  } finally {
    client.close().catch(() => {});
  }
  return "with our root it connects, with another it does not";
}

async function setTransportOptions(at) {
  return withClient(at, async (client) => {
    await soon(client.setTransportOptions({ interval: 1 }), "setTransportOptions");
    await sendsAndArrives(at, client);
    if (at.transport !== "Http") return "taken, and means nothing here";
    await sendToDevice(at);
    await soon(nextMessage(client), "the message at the device");
    return "it asks for messages each second";
  });
}

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

async function updateSharedAccessSignature(at) {
  return withClient(at, async (client) => {
    const fresh = at.who.signature(at, inAnHour() + 60);
    await called((done) => client.updateSharedAccessSignature(fresh, done), "updateSharedAccessSignature");
    await sendsAndArrives(at, client);
    return "the new token is taken, and the next event is at the reader";
  }, () => at.who.Client.fromSharedAccessSignature(at.who.signature(at, inAnHour()), packages[at.transport]));
}

const FILES = "file upload needs a store of blobs";

const uploadToBlob = (at) =>
  withClient(at, (client) =>
    called((done) => client.uploadToBlob("x.txt", Readable.from(["x"]), 1, done), "uploadToBlob"));

const getBlobSharedAccessSignature = (at) =>
  withClient(at, (client) => soon(client.getBlobSharedAccessSignature("x.txt"), "getBlobSharedAccessSignature"));

const notifyBlobUploadStatus = (at) =>
  withClient(at, (client) => soon(client.notifyBlobUploadStatus("c-1", true, 200, "done"), "notifyBlobUploadStatus"));

const HTTP_ONLY = { Amqp: /NotImplementedError/, AmqpWs: /NotImplementedError/, Mqtt: /NotImplementedError/, MqttWs: /NotImplementedError/ };
const NOT_HTTP = { Http: /NotImplementedError/ };
const NOT_MQTT = { Mqtt: /NotImplementedError/, MqttWs: /NotImplementedError/ };

const shared = {
  fromConnectionString: byConnectionString,
  fromSharedAccessSignature: bySignature,
  fromAuthenticationProvider: byProvider,
  open: byConnectionString,
  close,
  sendEvent,
  sendEventBatch: { check: sendEventBatch, cannot: HTTP_ONLY },
  getTwin: { check: getTwin, cannot: NOT_HTTP },
  setOptions,
  setRetryPolicy,
  updateSharedAccessSignature,
};

const table = {
  ...prefixed("Client", shared),
  "Client on message": onMessage,
  "Client.complete": settles("complete", "Success"),
  "Client.reject": { check: settles("reject", "Rejected"), cannot: NOT_MQTT },
  "Client.abandon": { check: abandon, cannot: NOT_MQTT },
  "Client.onDeviceMethod": { check: onDeviceMethod, cannot: NOT_HTTP },
  "Client.setTransportOptions": setTransportOptions,
  "Client.uploadToBlob": { check: uploadToBlob, absent: FILES },
  "Client.getBlobSharedAccessSignature": { check: getBlobSharedAccessSignature, absent: FILES },
  "Client.notifyBlobUploadStatus": { check: notifyBlobUploadStatus, absent: FILES },
  "DeviceMethodResponse.send": { check: methodResponse, cannot: NOT_HTTP },
  "Twin.get": { check: twinGet, cannot: NOT_HTTP },
  "Twin.properties.reported.update": { check: reportedUpdate, cannot: NOT_HTTP },
  "Twin on properties.desired": { check: (at) => desiredUpdates(at, () => {}), cannot: NOT_HTTP },
  "Twin.enableTwinDesiredPropertiesUpdates": { check: enableUpdates, cannot: NOT_HTTP },
  "Twin.setRetryPolicy": { check: twinRetryPolicy, cannot: NOT_HTTP },
};

// What comes as an event, or hangs on an object, is not among a class's methods.
const operations = [
  ...operationsOf("Client", sdk.Client),
  "Client on message",
  ...operationsOf("DeviceMethodResponse", sdk.DeviceMethodResponse),
  ...operationsOf("Twin", sdk.Twin),
  "Twin on properties.desired",
  "Twin.properties.reported.update",
];

const parts = (site) => [{
  name: "device",
  sdk: "azure-iot-device",
  version: require("azure-iot-device/package.json").version,
  transports,
  operations,
  table,
  context: { site, who: device },
}];

module.exports = { NOT_HTTP, called, nextMessage, onDeviceMethod, packages, parts, sdk, shared, soon, transports, withClient };
