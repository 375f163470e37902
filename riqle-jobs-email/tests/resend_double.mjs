// Resend as the npm package `emulate` plays it, with real idempotency, until standard input closes.
// `node resend_double.mjs NODE_MODULES`: the first line of its output is the base URL.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = process.argv[2];
const { createEmulator } = await import(pathToFileURL(join(folder, "emulate", "dist", "api.js")));
const resend = await createEmulator({ service: "resend", port: 0 });
console.log(resend.url);
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
