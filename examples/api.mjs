// An API for whoever has logged in. Needs Node 20 or later, and: npm install jose
// OTPD_URL is where the keys are (http://127.0.0.1:8080). It listens on 127.0.0.1, at PORT (8000).

import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { OTPD_URL = "http://127.0.0.1:8080", PORT = 8000 } = process.env;
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", OTPD_URL));

// Resolves to who has logged in.
async function userOf(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["EdDSA"], typ: "at+jwt", issuer: "otpd", audience: "otpd", requiredClaims: ["exp", "sub"],
  });
  if (payload.purpose !== "login") throw new Error("not of a login"); // a code for something else must open no account
  return payload.sub;
}

const server = createServer(async (request, response) => {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  try {
    response.end(`Hello, ${await userOf(scheme.toLowerCase() === "bearer" ? token : "")}\n`);
  } catch {
    response.writeHead(401).end("Log in first.\n");
  }
});
server.listen(PORT, "127.0.0.1", () => console.log("Listening at", server.address().port));
