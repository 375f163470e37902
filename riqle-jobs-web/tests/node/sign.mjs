// Signs webhooks with the official npm packages `stripe` and `svix`, which Resend signs with.
// `node sign.mjs NODE_MODULES`; standard input: {"stripeSecret", "svixSecret", "time" (seconds), "id", "body"}. Its last line: the two headers.
import { createRequire } from "node:module";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const require = createRequire(join(process.argv[2], "x.js"));
const { stripeSecret, svixSecret, time, id, body } = JSON.parse(await text(process.stdin));
const Stripe = require("stripe");
const { Webhook } = require("svix");
const stripe = (Stripe.default ?? Stripe).webhooks ?? new Stripe("sk_test").webhooks;
const signatures = {
  stripe: stripe.generateTestHeaderString({ payload: body, secret: stripeSecret, timestamp: time }),
  svix: new Webhook(svixSecret).sign(id, new Date(time * 1000), body),
};
console.log(JSON.stringify(signatures));
