// What @azure/event-hubs shows of faults at the hub's Event-Hubs-compatible endpoint.
"use strict";

const { Client, Message } = require("azure-iot-device");
const { Http } = require("azure-iot-device-http");
const sdk = require("@azure/event-hubs");
const { hidden, nothing } = require("./meet.cjs");
const { soon } = require("../cells/device.cjs");
const { keyOf, SOON_MS } = require("../cells/site.cjs");

const ways = { Amqp: {}, AmqpWs: { webSocketOptions: { webSocket: require("ws") } } };

const textOf = ({ site }) => site.started.event_hub_connection_string;

const optionsOf = ({ transport }) => ({ ...ways[transport], retryOptions: { maxRetries: 0, timeoutInMs: SOON_MS } });

// Readers in groups of their own do not meet. Any group is taken to be there whose name could be one.
const GROUP_CHARS_MAX = 50;
const groupOf = ({ id }) => id.slice(-GROUP_CHARS_MAX);

function client(at, text = textOf(at), group = groupOf(at)) {
  const one = new sdk.EventHubConsumerClient(group, text, optionsOf(at));
  at.close = () => one.close().catch(() => {});
  at.client = one;
  return one;
}

const asks = async (at, text) => {
  await soon(client(at, text).getPartitionIds(), "getPartitionIds");
  return "success";
};

const PARTITIONS = ["0", "1", "2", "3"];

// Reads. `first` comes with its first call without events, `event` with the first event, `failed` fails with its first error.
function reading(one, options = {}) {
  let [calls, reads, fails] = [];
  const first = new Promise((resolve) => (calls = resolve));
  const event = new Promise((resolve) => (reads = resolve));
  const failed = new Promise((_, reject) => (fails = reject));
  failed.catch(() => {});
  const handlers = {
    processEvents: async (events) => (events.length > 0 ? reads() : calls()),
    processError: async (error) => fails(error),
  };
  const how = { startPosition: sdk.latestEventPosition, maxWaitTimeInSeconds: 1, ...options };
  for (const partition of options.all ? PARTITIONS : ["0"]) one.subscribe(partition, handlers, how);
  return { event, failed, first };
}

const fails = ({ failed }) => soon(failed, "an error of the reader");

async function begun(at, options) {
  at.reader = reading(client(at), options);
  await soon(Promise.race([at.reader.first, at.reader.failed]), "the reader");
}

function overtaken(at) {
  reading(client(at), { ownerLevel: 2 });
  return fails(at.reader);
}

const NO_GROUP = "g".repeat(GROUP_CHARS_MAX + 1);
const READERS_MAX = 5;

// Comes to where so many others read.
async function behind(at, count, options) {
  for (let nth = 0; nth < count; nth++) await begun(at, options);
  at.reader = reading(client(at));
}

// What is sent after the fault comes to the same reader. It begins anew with the latest: what came meanwhile is not for it.
async function readsOn(at) {
  const device = Client.fromConnectionString(await at.site.device(at.id), Http);
  let seen = false;
  at.reader.event.then(() => (seen = true));
  await at.site.until(async () => {
    await soon(device.sendEvent(new Message("after")), "sendEvent");
    return seen;
  }, "an event");
  return "nothing; it reads on";
}

async function sendsThere(at) {
  const one = new sdk.EventHubProducerClient(textOf(at), optionsOf(at));
  at.close = () => one.close().catch(() => {});
  await soon(one.sendBatch([{ body: "x" }]), "sendBatch");
  return "success";
}

const replaced = (at, pattern, by) => textOf(at).replace(pattern, by);

const says = (text, code) => new RegExp(`^MessagingError: .*${text}.* \\[${code}`);
const row = (act, pattern, begin) => ({ makes: false, act, begin, says: { amqp: pattern } });
const AGAIN = "the SDK connects again by itself";

const faults = {
  "wrong key": row(
    (at) => asks(at, replaced(at, /SharedAccessKey=[^;]*/, `SharedAccessKey=${keyOf("another")}`)),
    says("invalid signature", "UnauthorizedError"),
  ),
  "entity unknown": row(
    (at) => asks(at, replaced(at, /EntityPath=[^;]*/, "EntityPath=another")),
    says("Unauthorized access", "UnauthorizedError"),
  ),
  "consumer group unknown": row(
    (at) => fails(reading(client(at, textOf(at), NO_GROUP))),
    says("could not be found", "MessagingEntityNotFoundError"),
  ),
  "a higher epoch took the partition": row(
    overtaken,
    says("higher epoch", "ReceiverDisconnectedError"),
    (at) => begun(at, { ownerLevel: 1 }),
  ),
  "a reader with an epoch is there": row(
    (at) => fails(at.reader),
    says("non-epoch receiver is not allowed", "ReceiverDisconnectedError"),
    (at) => behind(at, 1, { ownerLevel: 1 }),
  ),
  "sixth reader of a partition": row(
    (at) => fails(at.reader),
    says("Exceeded the maximum number", "QuotaExceededError"),
    (at) => behind(at, READERS_MAX),
  ),
  "asked at the hub itself": row(
    (at) => fails(reading(client(at, replaced(at, /EntityPath=[^;]*/, "EntityPath=messages/events")))),
    says("null", "LinkRedirectError, address"),
  ),
  "events sent there": row(sendsThere, says("did not match any of the expected formats", "ServiceCommunicationError")),
  "too many tokens on a connection": row(async (at) => {
    await asks(at);
    return fails(reading(at.client));
  }, says("maximum number of tokens per connection", "NoMatchingSubscriptionError")),
  "token refused for a moment": row((at) => asks(at), says("busy", "ServerBusyError")),
  "hub unavailable": row((at) => nothing(at.reader.failed), hidden(/^nothing within 3 s/, AGAIN), (at) => begun(at)),
  "connections reset": { ...row(readsOn, hidden(/^nothing; it reads on/, AGAIN), (at) => begun(at, { all: true })), makes: true },
};

const room = { sdks: { "@azure/event-hubs": Object.keys(ways) }, faults };

module.exports = { room };
