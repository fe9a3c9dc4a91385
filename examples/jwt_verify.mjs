// Verifies access tokens, as an API does that takes them. Needs the package jose 6 and Node 20 or later.
//
//     node jwt_verify.mjs JWKS_URL ISSUER AUDIENCE
//
// It reads tokens, one a line, and prints for each what it says, as JSON, or that it is refused. The keys are
// fetched once, and again after ten minutes or, twice a minute at most, for a key that is not known.

import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [jwksURL, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(jwksURL));

// Resolves to the claims of a token. Another kind of JWT is no access token, whoever has signed it (RFC 9068
// section 4): hence typ.
async function verify(token) {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["EdDSA", "ES256", "RS256"],
    typ: "at+jwt",
    requiredClaims: ["exp", "iat", "sub"],
    issuer,
    audience,
  });
  return payload;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await verify(line.trim())));
  } catch (error) {
    console.log("refused:", error.code ?? error.name);
  }
}
