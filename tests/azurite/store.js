// Serves files as an Azure store that checks keys and signatures (Azurite), for the tests of wsi-reader.
//
// node store.js CONTAINER FILE...
//
// Puts the files into a private container, prints one line of JSON (the endpoint, the account, its key, a shared access
// signature that holds and one that has expired), and serves until its standard input ends.

"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { spawn } = require("node:child_process");

const ACCOUNT = "hospital";
const KEY = Buffer.from("open sesame, for tests only").toString("base64");
const VERSION = "2021-12-02";
const HOUR = 3600 * 1000;

function hmac(text) {
  return crypto.createHmac("sha256", Buffer.from(KEY, "base64")).update(text, "utf8").digest("base64");
}

/** The start of Azurite, as the address that it says. */
function started(azurite) {
  return new Promise((resolve, reject) => {
    let said = "";
    azurite.stdout.on("data", (data) => {
      said += data;
      const found = said.match(/successfully listens on (http:\/\/[^\s]+)/);
      if (found) resolve(found[1]);
    });
    azurite.on("exit", (code) => reject(new Error(`Azurite ended with ${code}`)));
  });
}

/** Puts something, signed by the key. */
function put(endpoint, name, query, headers, body) {
  const date = new Date().toUTCString();
  const own = { ...headers, "x-ms-date": date, "x-ms-version": VERSION };
  const lines = Object.keys(own).sort().map((header) => `${header}:${own[header]}`);
  const resource = [`/${ACCOUNT}/${ACCOUNT}/${name}`, ...query.map(([key, value]) => `${key}:${value}`)];
  const length = body.length || "";
  const signed = ["PUT", "", "", length, "", "", "", "", "", "", "", "", ...lines, ...resource].join("\n");
  const settings = query.map((pair) => pair.join("=")).join("&");
  const options = {
    method: "PUT",
    headers: { ...own, "content-length": body.length, authorization: `SharedKey ${ACCOUNT}:${hmac(signed)}` },
  };
  return new Promise((resolve, reject) => {
    const address = `${endpoint}/${ACCOUNT}/${name}${settings && `?${settings}`}`;
    const request = http.request(address, options, (answer) => {
      answer.resume();
      answer.on("end", () =>
        answer.statusCode === 201 ? resolve() : reject(new Error(`${name}: ${answer.statusCode}`)),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** A shared access signature that allows to read a container until a time. */
function sharedAccess(container, until) {
  const expiry = new Date(until).toISOString().replace(/\.\d+Z/, "Z");
  const resource = `/blob/${ACCOUNT}/${container}`;
  const fields = ["r", "", expiry, resource, "", "", "https,http", VERSION, "c", "", "", "", "", "", "", ""];
  const settings = { sv: VERSION, spr: "https,http", se: expiry, sr: "c", sp: "r", sig: hmac(fields.join("\n")) };
  return new URLSearchParams(settings).toString();
}

async function main() {
  const [container, ...files] = process.argv.slice(2);
  const program = path.join(__dirname, "node_modules/azurite/dist/src/blob/main.js");
  const azurite = spawn(
    process.execPath,
    [program, "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent"],
    { env: { ...process.env, AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` }, stdio: ["ignore", "pipe", "inherit"] },
  );
  process.stdin.on("end", () => azurite.kill()).resume();
  const endpoint = await started(azurite);
  await put(endpoint, container, [["restype", "container"]], {}, Buffer.alloc(0));
  for (const file of files) {
    const name = encodeURIComponent(path.basename(file)).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
    await put(endpoint, `${container}/slides/${name}`, [], { "x-ms-blob-type": "BlockBlob" }, fs.readFileSync(file));
  }
  const told = {
    endpoint: `${endpoint}/${ACCOUNT}`,
    account: ACCOUNT,
    key: KEY,
    signature: sharedAccess(container, Date.now() + HOUR),
    expired: sharedAccess(container, Date.now() - HOUR),
  };
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
