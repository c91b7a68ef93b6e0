// The simulator as all cells see it: the service's side, and the events that come out of it.
// What it is comes in the environment as JSON: what `azure-sim --json` prints, and the page's port.
"use strict";

const crypto = require("node:crypto");
const { EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");
const service = require("azure-iothub");
const { bounded } = require("./harness.cjs");

const STARTED = JSON.parse(process.env.AZURE_SIM);
// For what follows at once. What the hub holds back (feedback) has a bound of its own.
const SOON_MS = 8_000;
const FEEDBACK_MS = 25_000;

const keyOf = (id) => crypto.createHmac("sha256", Buffer.from(STARTED.group_key, "base64")).update(id).digest("base64");

// What has come, kept for those who ask later, and waiters for what has not.
class Log {
  constructor() {
    this.seen = [];
    this.waiting = new Set();
  }

  push(item) {
    this.seen.push(item);
    for (const waiter of this.waiting) waiter(item);
  }

  // The first that fits, be it here or to come.
  wait(fits, what, ms = SOON_MS) {
    const found = this.seen.find(fits);
    if (found) return Promise.resolve(found);
    let waiter;
    const comes = new Promise((resolve) => {
      waiter = (item) => fits(item) && resolve(item);
      this.waiting.add(waiter);
    });
    return bounded(comes, ms, what).finally(() => this.waiting.delete(waiter));
  }
}

class Site {
  constructor() {
    this.started = STARTED;
    this.hub = STARTED.hub;
    this.connectionString = STARTED.service_connection_string;
    this.registry = service.Registry.fromConnectionString(this.connectionString);
    this.events = new Log();
    this.feedback = new Log();
    this.devices = new Map();
  }

  async start() {
    const reader = new EventHubConsumerClient("$Default", STARTED.event_hub_connection_string, { retryOptions: { maxRetries: 0 } });
    reader.subscribe({
      processEvents: async (events) => events.forEach((event) => this.events.push(event)),
      processError: async (error) => process.stderr.write(`reader of events: ${error.stack}\n`),
    }, { startPosition: earliestEventPosition, skipParsingBodyAsJson: true, maxWaitTimeInSeconds: 1 });
    this.client = await this.serviceClient(service.Amqp);
    this.listen((await bounded(this.client.getFeedbackReceiver(), SOON_MS, "getFeedbackReceiver")).result);
  }

  // A client of the service that is open.
  async serviceClient(transport) {
    const client = service.Client.fromConnectionString(this.connectionString, transport);
    await bounded(client.open(), SOON_MS, "open of the service client");
    return client;
  }

  registryOf(hub) {
    const found = [STARTED, ...(STARTED.more_hubs || [])].find((one) => one.hub === hub);
    if (!found) throw new Error(`${hub} is none of the simulator's hubs`);
    return service.Registry.fromConnectionString(found.service_connection_string);
  }

  // A device of its own for each cell, made when it is first asked for.
  device(id) {
    if (!this.devices.has(id)) this.devices.set(id, this.make(id));
    return this.devices.get(id);
  }

  // With the key that it would have from its registration.
  async make(id) {
    const symmetricKey = { primaryKey: keyOf(id), secondaryKey: keyOf(`${id} (second)`) };
    await this.registry.create({ deviceId: id, status: "enabled", authentication: { type: "sas", symmetricKey } });
    return `HostName=${this.hub};DeviceId=${id};SharedAccessKey=${symmetricKey.primaryKey}`;
  }

  // The event with this body of this device.
  event(id, body, what = "the event at the reader") {
    return this.events.wait((event) =>
      event.systemProperties["iothub-connection-device-id"] === id && event.body.toString() === body, what);
  }

  async twin(id) {
    return (await this.registry.getTwin(id)).responseBody;
  }

  async patch(id, patch) {
    return (await this.registry.updateTwin(id, patch, "*")).responseBody;
  }

  async queued(id) {
    return (await this.registry.get(id)).responseBody.cloudToDeviceMessageCount;
  }

  // Asks until it is so. The SDKs have no call that waits for it.
  async until(ask, what, ms = SOON_MS) {
    for (const end = Date.now() + ms; Date.now() < end;) {
      if (await ask()) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${what}: not within ${ms / 1000} s`);
  }

  feedbackOf(messageId) {
    return this.feedback.wait((record) => record.originalMessageId === messageId, "feedback", FEEDBACK_MS);
  }

  // Settles what it takes, and puts the records into the one log: receivers of feedback share it among them.
  listen(receiver) {
    receiver.on("message", (message) => {
      for (const record of JSON.parse(message.data.toString())) this.feedback.push(record);
      receiver.complete(message, () => {});
    });
    receiver.on("error", () => {});
  }
}

module.exports = { FEEDBACK_MS, Log, SOON_MS, Site, keyOf };
