// ModuleClient of azure-iot-device: what it shares with a device's client, and what it has of its own.
"use strict";

const { NOT_HTTP, onDeviceMethod, packages, sdk, shared, soon, transports, withClient } = require("./device.cjs");
const { operationsOf, prefixed } = require("./harness.cjs");

const MODULE = "m";

async function make({ site, id }) {
  const connectionString = await site.device(id);
  const { responseBody } = await site.registry.addModule({ deviceId: id, moduleId: MODULE });
  const key = responseBody.authentication.symmetricKey.primaryKey;
  return connectionString.replace(/SharedAccessKey=.*/, `ModuleId=${MODULE};SharedAccessKey=${key}`);
}

const module_ = {
  Client: sdk.ModuleClient,
  // The key is the hub's: a token needs to ask for it.
  make: async (at) => (at.connectionString = await make(at)),
  twin: async ({ site, id }) => (await site.registry.getModuleTwin(id, MODULE)).responseBody,
  patch: async ({ site, id }, patch) => (await site.registry.updateModuleTwin(id, MODULE, patch, "*")).responseBody,
  invoke: ({ site, id }, method) => site.client.invokeDeviceMethod(id, MODULE, method),
  signature: ({ site, id, connectionString }, seconds) =>
    sdk.SharedAccessSignature.create(site.hub, `${id}/modules/${MODULE}`, /SharedAccessKey=(.*)/.exec(connectionString)[1], seconds)
      .toString(),
};

async function setTransportOptions(at) {
  return withClient(at, async (client) => {
    await soon(client.setTransportOptions({ interval: 60 }), "setTransportOptions");
    return "taken, and means nothing here";
  });
}

async function sendOutputEvent(at) {
  return withClient(at, async (client) => {
    await soon(client.sendOutputEvent("out", new sdk.Message("to an output")), "sendOutputEvent");
    await at.site.event(at.id, "to an output");
    return "the event is at the reader";
  });
}

const EDGE = "messages between modules are routed by an Edge hub on the device";

// An Edge hub would send it something.
async function input(at) {
  return withClient(at, async (client) => {
    client.on("inputMessage", () => {});
    throw new Error("nothing: there is nobody who sends");
  });
}

const fromEnvironment = ({ transport }) => soon(sdk.ModuleClient.fromEnvironment(packages[transport]), "fromEnvironment");
const invokeMethod = (at) =>
  withClient(at, (client) => soon(client.invokeMethod(at.id, { methodName: "x", payload: {} }), "invokeMethod"));

const BATCHES = { Amqp: /NotImplementedError/, AmqpWs: /NotImplementedError/, Mqtt: /NotImplementedError/, MqttWs: /NotImplementedError/ };

// Over HTTPS this SDK sends a module's token to the device's address.
const NO_MODULES = { Http: /UnauthorizedError|NotImplementedError/ };
const unlessHttp = ([name, entry]) => {
  const { check, cannot } = typeof entry === "function" ? { check: entry } : entry;
  return [name, { check, cannot: name === "setRetryPolicy" ? cannot : { ...cannot, ...NO_MODULES } }];
};

const table = {
  ...prefixed("ModuleClient", Object.fromEntries(Object.entries(shared).map(unlessHttp))),
  "ModuleClient.setTransportOptions": setTransportOptions,
  "ModuleClient.sendOutputEvent": { check: sendOutputEvent, cannot: NOT_HTTP },
  "ModuleClient.sendOutputEventBatch": {
    check: (at) => withClient(at, (client) => soon(client.sendOutputEventBatch("out", [new sdk.Message("x")]), "sendOutputEventBatch")),
    cannot: { ...BATCHES, ...NOT_HTTP },
  },
  "ModuleClient.onMethod": { check: onDeviceMethod, cannot: NOT_HTTP },
  "ModuleClient.invokeMethod": { check: invokeMethod, absent: "methods between modules go through an Edge hub on the device" },
  "ModuleClient on inputMessage": { check: input, absent: EDGE },
  "ModuleClient.complete": { check: input, absent: EDGE },
  "ModuleClient.reject": { check: input, absent: EDGE },
  "ModuleClient.abandon": { check: input, absent: EDGE },
  "ModuleClient.fromEnvironment": { check: fromEnvironment, absent: "the environment is the one that IoT Edge makes on the device" },
  "ModuleClient.validateEnvironment": {
    check: async () => {
      const error = sdk.ModuleClient.validateEnvironment();
      if (error) throw error;
    },
    absent: "the environment is the one that IoT Edge makes on the device",
  },
};

const parts = (site) => [{
  name: "module",
  sdk: "azure-iot-device",
  version: require("azure-iot-device/package.json").version,
  transports,
  operations: [...operationsOf("ModuleClient", sdk.ModuleClient), "ModuleClient on inputMessage"],
  table,
  context: { site, who: module_ },
}];

module.exports = { parts };
