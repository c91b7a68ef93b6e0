// Microsoft's device SDK, unpatched, against the simulator: registers with a key derived from the group's, sends, and says on
// standard output, as one line of JSON, what it was told. Whether messages arrived is judged by the record, not here.
// Takes as arguments: host, id scope, group key, transport (Http, Amqp, AmqpWs), device id.
// The CA comes in NODE_EXTRA_CA_CERTS, as Node reads it only when it starts.
"use strict";

const crypto = require("node:crypto");
const hub = { ...require("azure-iot-device-http"), ...require("azure-iot-device-amqp") };
const provisioning = { ...require("azure-iot-provisioning-device-http"), ...require("azure-iot-provisioning-device-amqp") };
const { Client, Message } = require("azure-iot-device");
const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");

const [host, scope, groupKey, transport, id] = process.argv.slice(2);

const keyOf = (name) => crypto.createHmac("sha256", Buffer.from(groupKey, "base64")).update(name).digest("base64");

function register(name, key) {
  const security = new SymmetricKeySecurityClient(name, key);
  return ProvisioningDeviceClient.create(host, scope, new provisioning[transport](), security).register();
}

function connect(hubHost, name, key) {
  return Client.fromConnectionString(`HostName=${hubHost};DeviceId=${name};SharedAccessKey=${key}`, hub[transport]);
}

// How the SDK names what went wrong, or that nothing did. A refused registration over AMQP it passes on without a class.
async function failure(promise) {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error.name || error.condition;
  }
}

// Sends from a client of its own. It has to be closed: its timer for the next token keeps Node running.
async function sendFrom(name, key, body) {
  const client = connect(host, name, key);
  try {
    await client.open();
    await client.sendEvent(new Message(body));
  } finally {
    await client.close();
  }
}

function described() {
  const message = new Message(JSON.stringify({ place: "Zürich ☃", reading: 21.5 }));
  message.messageId = "sdk-2";
  message.correlationId = "c-2";
  message.contentType = "application/json";
  message.contentEncoding = "utf-8";
  message.properties.add("DeviceEUI", "70B3D57ED0051234");
  message.properties.add("Port", "1");
  return message;
}

async function sendBatch(client) {
  const first = new Message('{"batch":1}');
  first.properties.add("Nth", "first");
  await client.sendEventBatch([first, new Message('{"batch":2}')]);
}

async function main() {
  const assigned = await register(id, keyOf(id));
  const client = connect(assigned.assignedHub, assigned.deviceId, keyOf(id));
  await client.open();
  await client.sendEvent(new Message("plain text"));
  await client.sendEvent(described());
  await client.sendEvent(new Message(Buffer.from([0x00, 0xff, 0x10])));
  // The SDK has no batches over AMQP.
  if (transport === "Http") await sendBatch(client);
  else await client.sendEvent(new Message('{"single":4}'));
  await client.close();

  const seen = {
    assigned,
    registerWithWrongKey: await failure(register(id, keyOf("another"))),
    sendWithWrongKey: await failure(sendFrom(id, keyOf("another"), "x")),
    sendAsUnknown: await failure(sendFrom("nobody", keyOf("nobody"), "x")),
    sendTooLarge: await failure(sendFrom(id, keyOf(id), "x".repeat(262145))),
  };
  process.stdout.write(JSON.stringify(seen) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
