// Microsoft's reader of events for Node, unpatched: reads all partitions from their beginning until it has enough.
// Takes as arguments: connection string, count, time limit in seconds, the CA's file, and `ws` for AMQP in WebSockets on port
// 443. Prints lines of JSON: first the hub and its partitions, then each event, with its body in base64. Fails when there are
// fewer events; `read_events.py` is its twin.
"use strict";

const { spawnSync } = require("node:child_process");
const { EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");

const [connectionString, count, seconds, caFile, way] = process.argv.slice(2);

const print = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function shown(partition, event) {
  const { properties } = event.getRawAmqpMessage();
  return {
    partition,
    sequence_number: event.sequenceNumber,
    offset: event.offset,
    enqueued_ms: event.enqueuedTimeUtc.getTime(),
    body: event.body.toString("base64"),
    message_id: event.messageId,
    correlation_id: event.correlationId,
    content_type: event.contentType,
    content_encoding: properties && properties.contentEncoding,
    properties: event.properties || {},
    system_properties: event.systemProperties || {},
  };
}

async function describe(client) {
  const { name, partitionIds } = await client.getEventHubProperties();
  const partitions = await Promise.all(partitionIds.map((id) => client.getPartitionProperties(id)));
  const parts = partitions.map((one) => ({
    id: one.partitionId, begin: one.beginningSequenceNumber, last: one.lastEnqueuedSequenceNumber, is_empty: one.isEmpty,
  }));
  print({ name, partition_ids: partitionIds, partitions: parts });
}

async function main() {
  const webSocketOptions = way === "ws" ? { webSocket: require("ws") } : undefined;
  const options = { retryOptions: { maxRetries: 0 }, webSocketOptions };
  const client = new EventHubConsumerClient("$Default", connectionString, options);
  await describe(client);
  const events = [];
  const failure = await new Promise((resolve) => {
    setTimeout(() => resolve(Error(`only ${events.length} of ${count} events came in ${seconds} s`)), 1000 * seconds);
    const handlers = {
      async processEvents(received, { partitionId }) {
        events.push(...received.map((event) => shown(partitionId, event)));
        if (events.length >= count) resolve();
      },
      async processError(error) {
        resolve(error);
      },
    };
    client.subscribe(handlers, { startPosition: earliestEventPosition, skipParsingBodyAsJson: true, maxWaitTimeInSeconds: 1 });
  });
  events.forEach(print);
  if (failure) throw failure;
}

// Node reads NODE_EXTRA_CA_CERTS only when it starts. A child ends by its own time limit, whatever becomes of this process.
if (process.env.NODE_EXTRA_CA_CERTS !== caFile) {
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: caFile };
  process.exitCode = spawnSync(process.execPath, process.argv.slice(1), { env, stdio: "inherit" }).status ?? 1;
} else {
  // Not closed but left: closing takes the SDK seconds, and cutting is the simulator's daily bread.
  // A pipe takes 64 KiB: the rest has to be out first.
  main().then(() => process.stdout.write("", () => process.exit()), (error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
  });
}
