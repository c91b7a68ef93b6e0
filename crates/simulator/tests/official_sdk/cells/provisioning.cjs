// azure-iot-provisioning-device: the client is not exported, `create` makes it; one kind for each attestation.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { ProvisioningDeviceClient } = require("azure-iot-provisioning-device");
const { SymmetricKeySecurityClient } = require("azure-iot-security-symmetric-key");
const { bounded, operationsOf } = require("./harness.cjs");
const { SOON_MS, keyOf } = require("./site.cjs");

const packages = {
  Http: require("azure-iot-provisioning-device-http").Http,
  ...require("azure-iot-provisioning-device-amqp"),
  ...require("azure-iot-provisioning-device-mqtt"),
};
const transports = Object.keys(packages).filter((name) => packages[name].prototype && packages[name].prototype.registrationRequest);

// How long somebody who was told already may take to call back.
const QUIET_MS = 1000;

const soon = (promise, what) => bounded(promise, SOON_MS, what);

// Security clients of a device whose key is in a TPM or a certificate: as much of them as `create` and `register` ask for.
const tpm = (id) => ({
  getEndorsementKey: (done) => done(null, Buffer.from("endorsement")),
  getStorageRootKey: (done) => done(null, Buffer.from("storage root")),
  getRegistrationId: (done) => done(null, id),
  activateIdentityKey: (_, done) => done(),
  signWithIdentity: (data, done) => done(null, Buffer.from("signed")),
});
const x509 = (id, certificate) => ({ getRegistrationId: () => id, getCertificate: (done) => done(null, certificate) });

const create = ({ site, transport }, security, over = new packages[transport]()) =>
  ProvisioningDeviceClient.create(site.started.dps, site.started.id_scope, over, security);
const withKey = (at, key = keyOf(at.id)) => create(at, new SymmetricKeySecurityClient(at.id, key));

async function register(at) {
  const assigned = await soon(withKey(at).register(), "register");
  assert.deepEqual([assigned.status, assigned.deviceId], ["assigned", at.id]);
  // Where there are several hubs it is one of them.
  const { responseBody } = await at.site.registryOf(assigned.assignedHub).get(at.id);
  assert.equal(responseBody.authentication.symmetricKey.primaryKey, keyOf(at.id));
  return "assigned, and the hub has the device with the key of its own";
}

async function payload(at) {
  const client = withKey(at);
  client.setProvisioningPayload({ modelId: "dtmi:com:example:Thermostat;1" });
  const assigned = await soon(client.register(), "register");
  assert.equal(assigned.status, "assigned");
  return "taken; assigned";
}

// While a poll is under way: the SDK cancels requests, and between them there is none. While it connects over AMQP its
// cancel does not come back.
async function cancel(at) {
  const transport = new packages[at.transport]();
  const poll = transport.queryOperationStatus.bind(transport);
  const polling = new Promise((resolve) => {
    transport.queryOperationStatus = (...request) => {
      poll(...request);
      resolve();
    };
  });
  const security = new SymmetricKeySecurityClient(at.id, keyOf(at.id));
  const client = ProvisioningDeviceClient.create(at.site.started.dps, at.site.started.id_scope, transport, security);
  const ended = soon(client.register(), "register after a cancel").then(() => "assigned", (error) => error.name);
  await soon(Promise.race([polling, ended]), "a poll");
  await soon(client.cancel(), "cancel");
  const end = await ended;
  if (end === "assigned") throw new Error("cancel does nothing, register ends as assigned");
  assert.equal(end, "OperationCancelledError");
  return "register ends with OperationCancelledError";
}

// Over AMQP the SDK is told at once, and never calls back: what its connection was told says why.
async function withTpm(at) {
  const transport = new packages[at.transport]();
  const refused = new Promise((resolve) => refusalOf(transport, resolve));
  const registered = soon(create(at, tpm(at.id), transport).register(), "register");
  const silent = refused.then(async (error) => {
    await bounded(registered, QUIET_MS, "register").catch((late) => {
      if (!/nothing within/.test(late.message)) throw late;
      throw new Error(`nothing, as it keeps to itself what it was told: ${error.message}`);
    });
  });
  return Promise.race([registered, silent]);
}

// What the connection under the SDK is told, where the transport has one over AMQP.
function refusalOf(transport, tell) {
  const base = transport._amqpBase;
  if (!base) return;
  const connect = base.connect.bind(base);
  base.connect = (...request) => {
    connect(...request);
    base._rheaConnection.on("connection_error", ({ error }) => tell(error));
  };
}
const withCertificate = (at) => soon(create(at, x509(at.id, certificate())).register(), "register");

// Made by itself, trusted by nobody.
let made;
function certificate() {
  if (made) return made;
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "cells-"));
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(directory, name));
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=device"];
  execFileSync("openssl", ["req", "-x509", ...kind, "-out", cert, "-keyout", key], { stdio: "ignore", timeout: 30_000 });
  made = { key: fs.readFileSync(key, "utf8"), cert: fs.readFileSync(cert, "utf8") };
  fs.rmSync(directory, { recursive: true });
  return made;
}

const kinds = {
  SymmetricKeyRegistration: new SymmetricKeySecurityClient("x", keyOf("x")),
  TpmRegistration: tpm("x"),
  X509Registration: x509("x", {}),
};
const TPM = { Mqtt: /ArgumentError/, MqttWs: /ArgumentError/ };
const NO_TPM = "no TPM attestation";
const NO_X509 = "no X.509 attestation";

const operations = Object.entries(kinds).flatMap(([name, security]) =>
  operationsOf(name, ProvisioningDeviceClient.create("x", "x", new packages.Amqp(), security)));

const table = {
  "SymmetricKeyRegistration.register": register,
  "SymmetricKeyRegistration.setProvisioningPayload": payload,
  "SymmetricKeyRegistration.cancel": { check: cancel, cannot: { Http: /cancel does nothing/ } },
  "TpmRegistration.register": { check: withTpm, cannot: TPM, absent: NO_TPM },
  "TpmRegistration.setProvisioningPayload": { check: withTpm, cannot: TPM, absent: NO_TPM },
  "TpmRegistration.cancel": { check: withTpm, cannot: TPM, absent: NO_TPM },
  "X509Registration.register": { check: withCertificate, absent: NO_X509 },
  "X509Registration.setProvisioningPayload": { check: withCertificate, absent: NO_X509 },
  "X509Registration.cancel": { check: withCertificate, absent: NO_X509 },
};

const parts = (site) => [{
  name: "provisioning",
  sdk: "azure-iot-provisioning-device",
  version: require("azure-iot-provisioning-device/package.json").version,
  transports,
  operations,
  table,
  context: { site },
}];

module.exports = { packages, parts, transports };
