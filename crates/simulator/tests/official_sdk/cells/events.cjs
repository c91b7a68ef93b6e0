// @azure/event-hubs at the hub's Event-Hubs-compatible endpoint: it reads there, nobody writes there.
"use strict";

const assert = require("node:assert/strict");
const { Client, Message } = require("azure-iot-device");
const { Http } = require("azure-iot-device-http");
const sdk = require("@azure/event-hubs");
const { bounded, operationsOf, prefixed } = require("./harness.cjs");
const { SOON_MS, Log } = require("./site.cjs");

// The SDK's two ways: it takes the second with a WebSocket handed in.
const ways = { tcp: {}, ws: { webSocketOptions: { webSocket: require("ws") } } };
const soon = (promise, what) => bounded(promise, SOON_MS, what);
const options = ({ transport }) => ({ ...ways[transport], retryOptions: { maxRetries: 0, timeoutInMs: SOON_MS } });

async function using(at, Class, use) {
  const text = at.site.started.event_hub_connection_string;
  const client = Class === sdk.EventHubConsumerClient ? new Class("$Default", text, options(at)) : new Class(text, options(at));
  try {
    return await use(client);
  } finally {
    client.close().catch(() => {});
  }
}

const reading = (check) => (at) => using(at, sdk.EventHubConsumerClient, (client) => check(at, client));

async function sent({ site, id }, body) {
  const client = Client.fromConnectionString(await site.device(id), Http);
  await soon(client.sendEvent(new Message(body)), "sendEvent");
}

// A partition has five readers at most, and those of other cells are there as well: one subscription after another.
let before = Promise.resolve();
function subscribed(at, client, subscribe) {
  const mine = before.then(() => reads(at, client, subscribe));
  before = mine.catch(() => {});
  return mine;
}

// Subscribes and reads what a device sends before and after.
async function reads(at, client, subscribe) {
  const log = new Log();
  const handlers = {
    processEvents: async (events) => events.forEach((event) => log.push(event)),
    processError: async (error) => log.push({ error }),
  };
  await sent(at, "before");
  const how = { startPosition: sdk.earliestEventPosition, skipParsingBodyAsJson: true, maxWaitTimeInSeconds: 1 };
  const subscription = await subscribe(handlers, how);
  await sent(at, "after");
  const isMine = (event, body) => event.systemProperties["iothub-connection-device-id"] === at.id && event.body.toString() === body;
  try {
    for (const body of ["before", "after"]) {
      const seen = await log.wait((item) => item.error || isMine(item, body), `event '${body}'`);
      if (seen.error) throw seen.error;
    }
  } finally {
    await soon(subscription.close(), "close of the subscription");
  }
  return "events of before and after the subscription";
}

async function eachPartition(at, client) {
  const ids = await soon(client.getPartitionIds(), "getPartitionIds");
  return subscribed(at, client, (handlers, how) => {
    const all = ids.map((id) => client.subscribe(id, handlers, how));
    return { close: () => Promise.all(all.map((one) => one.close())) };
  });
}

async function partitionIds(at, client) {
  assert.deepEqual(await soon(client.getPartitionIds(), "getPartitionIds"), ["0", "1", "2", "3"]);
  return "four partitions";
}

async function partitionProperties(at, client) {
  await sent(at, "one more");
  const event = await at.site.event(at.id, "one more");
  const all = await Promise.all(["0", "1", "2", "3"].map((id) => soon(client.getPartitionProperties(id), "getPartitionProperties")));
  assert.ok(all.some((one) => one.lastEnqueuedSequenceNumber >= event.sequenceNumber && !one.isEmpty));
  return "the last sequence number is that of an event that was read, or beyond";
}

async function eventHubProperties(at, client) {
  const { name, partitionIds: ids } = await soon(client.getEventHubProperties(), "getEventHubProperties");
  assert.deepEqual([name, ids.length], [at.site.hub.split(".")[0], 4]);
  return "the hub's name and four partitions";
}

const named = async (at, client) => {
  assert.equal(client.eventHubName, at.site.hub.split(".")[0]);
  return "the hub's name, from the connection string";
};
const qualified = async (at, client) => {
  assert.equal(client.fullyQualifiedNamespace, at.site.hub);
  return "the host, from the connection string";
};

async function closes(at, client) {
  await soon(client.getPartitionIds(), "getPartitionIds");
  await soon(client.close(), "close");
  await assert.rejects(soon(client.getPartitionIds(), "getPartitionIds"));
  return "it answers before, and not after";
}

const writing = (Class) => (check) => (at) => using(at, Class, (client) => check(at, client));
const NO_WRITING = "the hub's endpoint is for readers; events come from devices";
const writes = writing(sdk.EventHubProducerClient);
const buffers = writing(sdk.EventHubBufferedProducerClient);
const asked = { eventHubName: named, fullyQualifiedNamespace: qualified, getEventHubProperties: eventHubProperties, getPartitionIds: partitionIds, getPartitionProperties: partitionProperties };
const through = (wrap, checks) => Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, wrap(check)]));

// A buffering client tells of trouble through a handler, not where it is called.
const buffered = (use) => (at) => {
  let trouble;
  const failed = new Promise((_, reject) => (trouble = reject));
  failed.catch(() => {});
  const client = new sdk.EventHubBufferedProducerClient(at.site.started.event_hub_connection_string, {
    ...options(at), maxWaitTimeInMs: 100, onSendEventsErrorHandler: async ({ error }) => trouble(error),
  });
  return soon(Promise.race([failed, use(client).then(() => failed)]), "the buffered event");
};

const consumer = {
  ...through(reading, asked),
  subscribe: reading((at, client) => subscribed(at, client, (handlers, how) => client.subscribe(handlers, how))),
  // `subscribe` calls the two when it is given no partition, or one.
  createEventProcessorForAllPartitions: reading((at, client) => subscribed(at, client, (handlers, how) => client.subscribe(handlers, how))),
  createEventProcessorForSinglePartition: reading(eachPartition),
  close: reading(closes),
};

const producer = {
  ...through(writes, asked),
  close: writes(closes),
  createBatch: { check: writes((at, client) => soon(client.createBatch(), "createBatch")), absent: NO_WRITING },
  sendBatch: { check: writes((at, client) => soon(client.sendBatch([{ body: "x" }]), "sendBatch")), absent: NO_WRITING },
  getPartitionPublishingProperties: writes(async (at, client) => {
    const { partitionId, isIdempotentPublishingEnabled } = await soon(client.getPartitionPublishingProperties("0"), "the call");
    assert.deepEqual([partitionId, isIdempotentPublishingEnabled], ["0", false]);
    return "the partition, without numbers of a producer";
  }),
};

const bufferedProducer = {
  ...through(buffers, asked),
  close: buffers(closes),
  enqueueEvent: { check: buffered((client) => client.enqueueEvent({ body: "x" })), absent: NO_WRITING },
  enqueueEvents: { check: buffered((client) => client.enqueueEvents([{ body: "x" }])), absent: NO_WRITING },
  flush: { check: buffered((client) => client.enqueueEvent({ body: "x" }).then(() => client.flush())), absent: NO_WRITING },
};

const parts = (site) => [
  ["EventHubConsumerClient", consumer],
  ["EventHubProducerClient", producer],
  ["EventHubBufferedProducerClient", bufferedProducer],
].map(([name, table]) => ({
  name,
  sdk: "@azure/event-hubs",
  version: require("@azure/event-hubs/package.json").version,
  transports: Object.keys(ways),
  operations: operationsOf(name, sdk[name]),
  table: prefixed(name, table),
  context: { site },
}));

module.exports = { parts };
