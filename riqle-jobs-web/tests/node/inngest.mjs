// Sends events with the official npm package `inngest`, as a web application does that has set INNGEST_BASE_URL.
// `node inngest.mjs NODE_MODULES`; standard input: {"baseUrl", "eventKey", "sends": [events of one call of send()]}.
// Its last line: for each call its ids, or its error.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { text } from "node:stream/consumers";

const { baseUrl, eventKey, sends } = JSON.parse(await text(process.stdin));
process.env.INNGEST_BASE_URL = baseUrl;
if (eventKey) process.env.INNGEST_EVENT_KEY = eventKey;
const { Inngest } = await import(pathToFileURL(join(process.argv[2], "inngest", "index.js")));
const inngest = new Inngest({ id: "shop", isDev: !eventKey });
const answers = [];
for (const events of sends) {
  try {
    answers.push({ ids: (await inngest.send(events)).ids });
  } catch (error) {
    answers.push({ error: String(error) });
  }
}
console.log(JSON.stringify(answers));
