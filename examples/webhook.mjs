// Receives the codes and events that otpd posts. Needs Node 18 or later, and: npm install standardwebhooks
// WEBHOOK_SECRET is one of the secrets that otpd signs with. It listens on 127.0.0.1, at PORT (9000).

import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const { WEBHOOK_SECRET, PORT = 9000 } = process.env;
const webhook = new Webhook(WEBHOOK_SECRET);

// Does what there is to do. An application sends the code to the user, and does not show it.
function handle({ type, data }) {
  if (type === "otp.code") console.log("Code:", data.code, "for", data.to);
  if (type === "otpd.events") for (const { event, id } of data.events) console.log("Event:", event, id);
}

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    if ((size += part.length) > 1 << 20) throw new Error("too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

const handled = new Set(); // an application keeps it in its database, for a day

const server = createServer(async (request, response) => {
  let message;
  try {
    message = webhook.verify(await bodyOf(request), request.headers); // not more than five minutes old
  } catch {
    response.writeHead(401, { Connection: "close" }).end();
    return;
  }
  const id = request.headers["webhook-id"];
  try {
    // What comes again is the same, and was handled: otpd did not get the answer.
    if (!handled.has(id)) handle(message);
    handled.add(id);
    response.writeHead(204).end();
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(); // otpd sends it again
  }
});
server.listen(PORT, "127.0.0.1", () => console.log("Listening at", server.address().port));
