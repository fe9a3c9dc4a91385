// Issues a code and asks for it until it is right. Needs Node 18 or later. The service is at OTPD_URL
// (http://127.0.0.1:8080), and OTPD_API_KEY is the secret of an API key, if it has any.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const { OTPD_URL = "http://127.0.0.1:8080", OTPD_API_KEY } = process.env;
const headers = { "Content-Type": "application/json" };
if (OTPD_API_KEY) headers.Authorization = `Bearer ${OTPD_API_KEY}`;

function stop(reason) {
  console.error(reason);
  process.exit(1);
}

// Resolves to the answer. One that says when to try again (429 and 503) is asked for again with the same
// fields, and so is one that did not come. It gives up after the fifth try, and rather than make the user
// wait for more than a minute.
async function post(operation, fields) {
  let reason;
  for (let tries = 0; tries < 5; tries++) {
    let wait = 1;
    try {
      const response = await fetch(`${OTPD_URL}/v1/otp/${operation}`, {
        method: "POST",
        headers,
        body: JSON.stringify(fields),
        signal: AbortSignal.timeout(5000),
      });
      const answer = await response.json();
      if (!response.headers.has("Retry-After")) return answer;
      wait = Number(response.headers.get("Retry-After"));
      reason = answer.error;
    } catch (error) {
      reason = error.message;
    }
    if (wait > 60) break;
    await sleep(wait * 1000);
  }
  stop(`Try again later. ${reason}`);
}

// Resolves to a new code's context. An application sends the code to the user, and does not show it.
async function issue(operation, fields) {
  const answer = await post(operation, fields);
  if (answer.error_code) stop(answer.error);
  console.log("Code:", answer.otp);
  return answer.context;
}

let context = await issue("generate", { identifier: "you@example.com" });
for await (const line of createInterface({ input: process.stdin })) {
  const typed = line.trim();
  if (!typed) continue;
  const answer = await post("verify", { otp: typed, context });
  if (answer.status === "verified") {
    console.log("Verified.");
    process.exit();
  }
  switch (answer.error_code) {
    case "INVALID_OTP": // it counts: the new context says so, and goes with the next attempt
      context = answer.context;
      console.log(answer.error);
      if (answer.attempts_remaining === 0) process.exit(1);
      break;
    case "OTP_EXPIRED": // the verification goes on with a new code
      context = await issue("resend", { context });
      break;
    default: // used, revoked, exhausted, ended: only a new verification helps
      stop(answer.error);
  }
}
stop("Nothing more was typed.");
