// azure-iothub: the registry, twins and queries over HTTPS, and the client for messages and methods over AMQP.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { setTimeout: sleep } = require("node:timers/promises");
const { Message: DeviceMessage, Client: DeviceClient } = require("azure-iot-device");
const { Amqp: DeviceAmqp } = require("azure-iot-device-amqp");
const { Http: DeviceHttp } = require("azure-iot-device-http");
const { Message } = require("azure-iot-common");
const sdk = require("azure-iothub");
const { called, nextMessage, soon } = require("./device.cjs");
const { operationsOf, prefixed } = require("./harness.cjs");
const { keyOf } = require("./site.cjs");

const transports = Object.keys(sdk).filter((name) => sdk[name].prototype && sdk[name].prototype.getFeedbackReceiver && name !== "Client");
const fields = ({ connectionString }) => ({
  host: /HostName=([^;]*)/.exec(connectionString)[1],
  policy: /SharedAccessKeyName=([^;]*)/.exec(connectionString)[1],
  key: /SharedAccessKey=([^;]*)/.exec(connectionString)[1],
});

function signature(site) {
  const { host, policy, key } = fields(site);
  return sdk.SharedAccessSignature.create(host, policy, key, Math.floor(Date.now() / 1000) + 3600).toString();
}

// As a credential of Azure AD; who it is nobody here can know.
const credential = { getToken: async () => ({ token: "a.b.c", expiresOnTimestamp: Date.now() + 3_600_000 }) };
const NO_AAD = "there is no Azure AD whose tokens could be checked";

const body = async (promise, what) => (await soon(promise, what)).responseBody;

const fromConnectionString = async ({ site, id }) => {
  await site.device(id);
  const registry = sdk.Registry.fromConnectionString(site.connectionString);
  assert.equal((await body(registry.get(id), "get")).deviceId, id);
  return "it may read";
};
const fromSharedAccessSignature = async ({ site, id }) => {
  await site.device(id);
  const registry = sdk.Registry.fromSharedAccessSignature(signature(site));
  assert.equal((await body(registry.get(id), "get")).deviceId, id);
  return "it may read";
};
const registryFromCredential = async ({ site, id }) => {
  await site.device(id);
  return body(sdk.Registry.fromTokenCredential(site.hub, credential).get(id), "get");
};

async function create({ site, id }) {
  const made = await body(site.registry.create({ deviceId: id, status: "enabled" }), "create");
  assert.equal(made.deviceId, id);
  const { primaryKey, secondaryKey } = made.authentication.symmetricKey;
  assert.ok(primaryKey && secondaryKey && primaryKey !== secondaryKey);
  const client = DeviceClient.fromConnectionString(`HostName=${site.hub};DeviceId=${id};SharedAccessKey=${secondaryKey}`, DeviceHttp);
  await soon(client.sendEvent(new DeviceMessage("made")), "sendEvent");
  await site.event(id, "made");
  await assert.rejects(soon(site.registry.create({ deviceId: id }), "create"), { name: "DeviceAlreadyExistsError" });
  return "it sends with the key that the hub made; a second time DeviceAlreadyExistsError";
}

async function update({ site, id }) {
  await site.device(id);
  await body(site.registry.update({ deviceId: id, status: "disabled", statusReason: "lost" }), "update");
  const device = await body(site.registry.get(id), "get");
  assert.deepEqual([device.status, device.statusReason], ["disabled", "lost"]);
  return "a get shows it disabled, and why";
}

async function get({ site, id }) {
  await site.device(id);
  const device = await body(site.registry.get(id), "get");
  assert.equal(device.authentication.symmetricKey.primaryKey, keyOf(id));
  assert.ok(device.etag && device.generationId);
  await assert.rejects(soon(site.registry.get(`no-${id}`), "get"), { name: "DeviceNotFoundError" });
  return "the device with keys, etag and generation; DeviceNotFoundError for another";
}

async function list({ site, id }) {
  await site.device(id);
  const devices = await body(site.registry.list(), "list");
  assert.ok(devices.some((device) => device.deviceId === id));
  return "the device is in it";
}

async function remove({ site, id }) {
  await site.device(id);
  await soon(site.registry.delete(id), "delete");
  await assert.rejects(soon(site.registry.get(id), "get"), { name: "DeviceNotFoundError" });
  return "a get says DeviceNotFoundError";
}

const both = (id) => [{ deviceId: `${id}-1` }, { deviceId: `${id}-2` }];

async function addDevices({ site, id }) {
  const answer = await body(site.registry.addDevices(both(id)), "addDevices");
  assert.equal(answer.isSuccessful, true);
  const names = await Promise.all(both(id).map(({ deviceId }) => body(site.registry.get(deviceId), "get")));
  assert.equal(names.length, 2);
  const again = await body(site.registry.addDevices(both(id)), "addDevices").catch((error) => JSON.parse(error.responseBody));
  assert.equal(again.isSuccessful, false);
  assert.equal(again.errors.length, 2);
  return "both are there; a second time two errors";
}

async function updateDevices({ site, id }) {
  await body(site.registry.addDevices(both(id)), "addDevices");
  const changed = both(id).map((device) => ({ ...device, status: "disabled" }));
  await body(site.registry.updateDevices(changed, true), "updateDevices");
  assert.equal((await body(site.registry.get(`${id}-2`), "get")).status, "disabled");
  return "a get shows them disabled";
}

async function removeDevices({ site, id }) {
  await body(site.registry.addDevices(both(id)), "addDevices");
  await body(site.registry.removeDevices(both(id), true), "removeDevices");
  await assert.rejects(soon(site.registry.get(`${id}-1`), "get"), { name: "DeviceNotFoundError" });
  return "a get says DeviceNotFoundError";
}

async function getTwin({ site, id }) {
  await site.device(id);
  const twin = await body(site.registry.getTwin(id), "getTwin");
  assert.deepEqual([twin.deviceId, twin.properties.desired.$version, twin.properties.reported.$version], [id, 1, 1]);
  assert.ok(twin.etag && twin.properties.desired.$metadata);
  return "the twin of a new device, with etag and $metadata";
}

async function updateTwin({ site, id }) {
  await site.device(id);
  const twin = await body(site.registry.updateTwin(id, { tags: { floor: 3 }, properties: { desired: { pace: 60 } } }, "*"), "updateTwin");
  assert.deepEqual([twin.tags, twin.properties.desired.pace, twin.properties.desired.$version], [{ floor: 3 }, 60, 2]);
  const stale = site.registry.updateTwin(id, { tags: { floor: 4 } }, "AAAAAAAAAAA=");
  await assert.rejects(soon(stale, "updateTwin"), (error) => /Precondition|412|etag/i.test(`${error.name} ${error.message}`));
  return "tags and desired are changed, $version 2; with another etag it is refused";
}

// Twins of devices with a tag of their own, page by page.
async function pages({ site, id }, next) {
  const ids = ["a", "b", "c"].map((name) => `${id}-${name}`);
  for (const one of ids) {
    await site.device(one);
    await site.patch(one, { tags: { cell: id } });
  }
  const query = site.registry.createQuery(`SELECT * FROM devices WHERE tags.cell = '${id}'`, 2);
  const found = [];
  for (let page = 0; query.hasMoreResults && page < 5; page += 1) {
    const { result } = await soon(next(query), "the next page");
    assert.ok(result.length <= 2);
    found.push(...result);
  }
  assert.deepEqual(found.map((twin) => twin.deviceId).sort(), ids);
  return found;
}

async function createQuery(at) {
  // Without the token this SDK's promise asks for the first page again.
  await pages(at, (query) => query.next(query.continuationToken));
  return "three twins by a tag, in pages of two";
}

async function nextAsTwin(at) {
  const [twin] = await pages(at, (query) => query.nextAsTwin());
  assert.ok(twin instanceof sdk.Twin);
  return "three twins by a tag, in pages of two, as Twin";
}

async function statistics({ site, id }) {
  await site.device(id);
  const { totalDeviceCount, enabledDeviceCount, disabledDeviceCount } = await body(site.registry.getRegistryStatistics(), "getRegistryStatistics");
  assert.ok(totalDeviceCount > 0);
  assert.equal(totalDeviceCount, enabledDeviceCount + disabledDeviceCount);
  return "all devices are the enabled and the disabled ones";
}

const MODULE = "m";
async function addModule({ site, id }) {
  await site.device(id);
  await soon(site.registry.addModule({ deviceId: id, moduleId: MODULE }), "addModule");
  const module_ = await body(site.registry.getModule(id, MODULE), "getModule");
  assert.equal(module_.moduleId, MODULE);
  return module_;
}
const moduleCheck = (check, detail) => async (at) => {
  const module_ = await addModule(at);
  await check(at.site.registry, at.id, module_);
  return detail;
};

const modules = {
  addModule: moduleCheck(async () => {}, "a get shows it"),
  getModule: moduleCheck(async (_, id, module_) => assert.equal(module_.deviceId, id), "the module of the device"),
  getModulesOnDevice: moduleCheck(async (registry, id) => {
    assert.deepEqual((await body(registry.getModulesOnDevice(id), "getModulesOnDevice")).map((one) => one.moduleId), [MODULE]);
  }, "it is the only one"),
  updateModule: moduleCheck(async (registry, id, module_) => {
    await soon(registry.updateModule({ ...module_, managedBy: "me" }, true), "updateModule");
    assert.equal((await body(registry.getModule(id, MODULE), "getModule")).managedBy, "me");
  }, "a get shows the change"),
  removeModule: moduleCheck(async (registry, id) => {
    await soon(registry.removeModule(id, MODULE), "removeModule");
    await assert.rejects(soon(registry.getModule(id, MODULE), "getModule"));
  }, "a get does not find it"),
  getModuleTwin: moduleCheck(async (registry, id) => {
    assert.equal((await body(registry.getModuleTwin(id, MODULE), "getModuleTwin")).moduleId, MODULE);
  }, "the twin of the module"),
  updateModuleTwin: moduleCheck(async (registry, id) => {
    const twin = await body(registry.updateModuleTwin(id, MODULE, { properties: { desired: { a: 1 } } }, "*"), "updateModuleTwin");
    assert.equal(twin.properties.desired.a, 1);
  }, "desired is changed"),
};

const JOBS = "jobs are not simulated";
const BLOBS = "import and export need a store of blobs";
const CONFIGURATIONS = "configurations are for IoT Edge and fleets, not simulated";
const DIGITAL_TWINS = "digital twins are not simulated";
const URI = "https://blobs.invalid/container?sig=x";
const configuration = { id: "c", content: { deviceContent: {} }, targetCondition: "*", priority: 1, etag: "x" };
const absent = (reason, call) => ({ check: ({ site, id }) => soon(call(site.registry, id), "the call"), absent: reason });

const registry = {
  fromConnectionString,
  fromSharedAccessSignature,
  fromTokenCredential: { check: registryFromCredential, absent: NO_AAD },
  create,
  update,
  get,
  list,
  delete: remove,
  addDevices,
  updateDevices,
  removeDevices,
  getTwin,
  updateTwin,
  createQuery,
  getRegistryStatistics: statistics,
  ...modules,
  importDevicesFromBlob: absent(BLOBS, (one) => one.importDevicesFromBlob(URI, URI)),
  importDevicesFromBlobByIdentity: absent(BLOBS, (one) => called((done) => one.importDevicesFromBlobByIdentity(URI, URI, done), "import")),
  exportDevicesToBlob: absent(BLOBS, (one) => one.exportDevicesToBlob(URI, true)),
  exportDevicesToBlobByIdentity: absent(BLOBS, (one) => called((done) => one.exportDevicesToBlobByIdentity(URI, true, done), "export")),
  listJobs: absent(JOBS, (one) => one.listJobs()),
  getJob: absent(JOBS, (one) => one.getJob("j")),
  cancelJob: absent(JOBS, (one) => one.cancelJob("j")),
  addConfiguration: absent(CONFIGURATIONS, (one) => one.addConfiguration({ ...configuration })),
  getConfiguration: absent(CONFIGURATIONS, (one) => one.getConfiguration("c")),
  getConfigurations: absent(CONFIGURATIONS, (one) => one.getConfigurations()),
  updateConfiguration: absent(CONFIGURATIONS, (one) => one.updateConfiguration({ ...configuration }, true)),
  removeConfiguration: absent(CONFIGURATIONS, (one) => one.removeConfiguration("c")),
  applyConfigurationContentOnDevice: absent(CONFIGURATIONS, (one, id) => one.applyConfigurationContentOnDevice(id, { modulesContent: {} })),
};

const twin = {
  async get({ site, id }) {
    await site.device(id);
    const one = await body(site.registry.getTwin(id), "getTwin");
    await site.patch(id, { tags: { floor: 5 } });
    await called((done) => one.get(done), "get");
    assert.deepEqual(one.tags, { floor: 5 });
    return "it has the tags that were set in between";
  },
  async update({ site, id }) {
    await site.device(id);
    const one = await body(site.registry.getTwin(id), "getTwin");
    const other = await body(site.registry.getTwin(id), "getTwin");
    await called((done) => one.update({ tags: { floor: 6 } }, done), "update");
    assert.deepEqual((await site.twin(id)).tags, { floor: 6 });
    await assert.rejects(called((done) => other.update({ tags: { floor: 7 } }, done), "update"));
    return "the tags are changed; with the etag of before it is refused";
  },
  async toJSON({ site, id }) {
    await site.device(id);
    const one = await body(site.registry.getTwin(id), "getTwin");
    assert.equal(JSON.parse(JSON.stringify(one)).deviceId, id);
    return "the twin as JSON";
  },
};

const job = (call) => ({
  check: ({ site }) => soon(call(sdk.JobClient.fromConnectionString(site.connectionString)), "the call"),
  absent: JOBS,
});
const jobs = {
  fromConnectionString: job((client) => client.getJob("j")),
  fromSharedAccessSignature: { check: ({ site }) => soon(sdk.JobClient.fromSharedAccessSignature(signature(site)).getJob("j"), "getJob"), absent: JOBS },
  fromTokenCredential: { check: ({ site }) => soon(sdk.JobClient.fromTokenCredential(site.hub, credential).getJob("j"), "getJob"), absent: NO_AAD },
  getJob: job((client) => client.getJob("j")),
  createQuery: job((client) => client.createQuery().next()),
  cancelJob: job((client) => client.cancelJob("j")),
  scheduleDeviceMethod: job((client) => client.scheduleDeviceMethod("j", "*", { methodName: "x" }, new Date(), 60)),
  scheduleTwinUpdate: job((client) => client.scheduleTwinUpdate("j", "*", { tags: {} }, new Date(), 60)),
};

const digital = (call) => ({
  check: async ({ site, id }) => {
    await site.device(id);
    return soon(call(new sdk.DigitalTwinClient(new sdk.IoTHubTokenCredentials(site.connectionString)), id), "the call");
  },
  absent: DIGITAL_TWINS,
});
const digitalTwins = {
  getDigitalTwin: digital((client, id) => client.getDigitalTwin(id)),
  updateDigitalTwin: digital((client, id) => client.updateDigitalTwin(id, [{ op: "add", path: "/a", value: 1 }])),
  invokeComponentCommand: digital((client, id) => client.invokeComponentCommand(id, "c", "x", "{}")),
  invokeCommand: digital((client, id) => client.invokeCommand(id, "x", "{}")),
};

// A device that takes what comes, over AMQP.
async function listening({ site, id }, use) {
  const device = DeviceClient.fromConnectionString(await site.device(id), DeviceAmqp);
  device.on("error", () => {});
  try {
    await soon(device.open(), "open of the device");
    return await use(device);
  } finally {
    device.close().catch(() => {});
  }
}

async function withService({ site, transport }, use, make) {
  const client = make ? make(sdk[transport]) : sdk.Client.fromConnectionString(site.connectionString, sdk[transport]);
  client.on("error", () => {});
  try {
    await soon(client.open(), "open");
    return await use(client);
  } finally {
    client.close().catch(() => {});
  }
}

function message(text, id) {
  const one = new Message(text);
  one.messageId = id;
  one.ack = "full";
  one.properties.add("colour", "red");
  return one;
}

const sends = (make) => (at) =>
  listening(at, (device) =>
    withService(at, async (client) => {
      const coming = soon(nextMessage(device), "the message at the device");
      await soon(client.send(at.id, message("hello", at.id)), "send");
      const [seen] = await coming;
      assert.deepEqual([seen.getData().toString(), seen.messageId], ["hello", at.id]);
      await soon(device.complete(seen), "complete");
      return "the device gets it";
    }, make && ((Transport) => make(at, Transport))));

async function invokeDeviceMethod(at) {
  return listening(at, (device) =>
    withService(at, async (client) => {
      device.onDeviceMethod("reboot", (request, response) => response.send(201, { got: request.payload }).catch(() => {}));
      let answer;
      await at.site.until(async () => {
        const params = { methodName: "reboot", payload: [1], responseTimeoutInSeconds: 6 };
        answer = await soon(client.invokeDeviceMethod(at.id, params), "invokeDeviceMethod").catch((error) => {
          // DeviceNotOnline has no class in this SDK.
          if (!/not found/i.test(error.message)) throw error;
        });
        return answer;
      }, "an invocation that finds the device");
      assert.deepEqual([answer.result.status, answer.result.payload], [201, { got: [1] }]);
      return "the device is asked, and its answer is here";
    }));
}

async function getFeedbackReceiver(at) {
  return listening(at, (device) =>
    withService(at, async (client) => {
      at.site.listen((await soon(client.getFeedbackReceiver(), "getFeedbackReceiver")).result);
      const coming = soon(nextMessage(device), "the message at the device");
      await soon(client.send(at.id, message("tell me", at.id)), "send");
      const [seen] = await coming;
      await soon(device.complete(seen), "complete");
      const record = await at.site.feedbackOf(at.id);
      assert.deepEqual([record.deviceId, record.statusCode], [at.id, "Success"]);
      return "feedback of a message that the device completed";
    }));
}

async function getFileNotificationReceiver(at) {
  return withService(at, async (client) => {
    const dropped = new Promise((_, reject) => client.on("disconnect", () => reject(new Error("the client is disconnected"))));
    const { result } = await soon(client.getFileNotificationReceiver(), "getFileNotificationReceiver");
    // Refusing the link would end the whole client, feedback with it. The uploads themselves are refused.
    const heard = Promise.race([dropped, once(result, "message").then(() => "a file")]);
    const nothing = await Promise.race([heard, sleep(1000)]);
    assert.equal(nothing, undefined);
    throw new Error("nothing: the link stays, and as no upload is taken no file is ever told of");
  });
}

async function setRetryPolicy(at) {
  return withService(at, async (client) => {
    const policy = { times: 0, shouldRetry() { this.times += 1; return false; }, nextRetryTimeout: () => 1 };
    client.setRetryPolicy(policy);
    await assert.rejects(soon(client.send(`no-${at.id}`, new Message("x")), "send"));
    assert.ok(policy.times > 0);
    return "the policy is asked about a message for nobody";
  });
}

const client = {
  fromConnectionString: sends(),
  fromSharedAccessSignature: sends(({ site }, Transport) => sdk.Client.fromSharedAccessSignature(signature(site), Transport)),
  fromTokenCredential: {
    check: sends(({ site }, Transport) => sdk.Client.fromTokenCredential(site.hub, credential, Transport)),
    absent: NO_AAD,
  },
  open: sends(),
  async close(at) {
    const one = sdk.Client.fromConnectionString(at.site.connectionString, sdk[at.transport]);
    await soon(one.open(), "open");
    await soon(one.close(), "close");
    return "it opens and closes";
  },
  send: sends(),
  invokeDeviceMethod,
  getFeedbackReceiver,
  getFileNotificationReceiver: { check: getFileNotificationReceiver, absent: "file upload needs a store of blobs" },
  setRetryPolicy,
};

const query = { next: createQuery, nextAsTwin };

const parts = (site) => {
  const common = { sdk: "azure-iothub", version: require("azure-iothub/package.json").version, context: { site } };
  const https = [
    ["Registry", sdk.Registry, registry],
    ["Twin", sdk.Twin, twin],
    ["Query", site.registry.createQuery("SELECT * FROM devices"), query],
    ["JobClient", sdk.JobClient, jobs],
    ["DigitalTwinClient", sdk.DigitalTwinClient, digitalTwins],
  ];
  return [
    ...https.map(([name, Class, table]) => ({
      ...common, name, transports: ["https"], operations: operationsOf(name, Class), table: prefixed(name, table),
    })),
    { ...common, name: "service", transports, operations: operationsOf("Client", sdk.Client), table: prefixed("Client", client) },
  ];
};

module.exports = { parts };
