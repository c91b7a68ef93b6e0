// Microsoft's device SDK, unpatched, against the simulator: registers with a key derived from the group's, sends over HTTPS,
// and says on standard output, as one line of JSON, what it was told. Whether messages arrived is judged by the record, not here.
// Takes as arguments: host, id scope, group key. The CA comes in NODE_EXTRA_CA_CERTS, as Node reads it only when it starts.
"use strict";

const crypto = require("node:crypto");
const { Client, Message } = require("azure-iot-device");
const { Http: HubHttp } = require("azure-iot-device-http");
const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const { Http: ProvisioningHttp } = require("azure-iot-provisioning-device-http");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");

const [host, scope, groupKey] = process.argv.slice(2);

const keyOf = (id) => crypto.createHmac("sha256", Buffer.from(groupKey, "base64")).update(id).digest("base64");

function register(id, key) {
  const security = new SymmetricKeySecurityClient(id, key);
  return ProvisioningDeviceClient.create(host, scope, new ProvisioningHttp(), security).register();
}

function connect(hub, id, key) {
  return Client.fromConnectionString(`HostName=${hub};DeviceId=${id};SharedAccessKey=${key}`, HubHttp);
}

// How the SDK names what went wrong, or that nothing did.
async function failure(promise) {
  try {
    await promise;
    return "none";
  } catch (error) {
    return error.name;
  }
}

// Sends from a client of its own. It has to be closed: its timer for the next token keeps Node running.
async function sendFrom(id, key) {
  const client = connect(host, id, key);
  try {
    await client.sendEvent(new Message("x"));
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

async function main() {
  const id = "sdk-over-http";
  const assigned = await register(id, keyOf(id));
  const client = connect(assigned.assignedHub, assigned.deviceId, keyOf(id));
  await client.open();
  await client.sendEvent(new Message("plain text"));
  await client.sendEvent(described());
  await client.sendEvent(new Message(Buffer.from([0x00, 0xff, 0x10])));
  const first = new Message('{"batch":1}');
  first.properties.add("Nth", "first");
  await client.sendEventBatch([first, new Message('{"batch":2}')]);

  const seen = {
    assigned,
    registerWithWrongKey: await failure(register(id, keyOf("another"))),
    sendWithWrongKey: await failure(sendFrom(id, keyOf("another"))),
    sendAsUnknown: await failure(sendFrom("nobody", keyOf("nobody"))),
    sendTooLarge: await failure(client.sendEvent(new Message("x".repeat(262145)))),
  };
  await client.close();
  process.stdout.write(JSON.stringify(seen) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
