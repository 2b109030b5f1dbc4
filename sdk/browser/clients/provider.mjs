// An identity provider: oidc-provider, a certified implementation of OpenID Connect, on the port given. Its keys are new at
// each start. Whoever signs in as NAME gets a JWT for the audience "presence", whose claim nickname is NAME.
import { generateKeyPair, randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { Provider } from "../../node_modules/oidc-provider/lib/index.js";

const [port, callback] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;

async function signingKey(type, options, alg) {
  const { privateKey } = await promisify(generateKeyPair)(type, options);
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg, use: "sig" };
}

const provider = new Provider(issuer, {
  jwks: { keys: [await signingKey("rsa", { modulusLength: 2048 }, "RS256"), await signingKey("ec", { namedCurve: "P-256" }, "ES256")] },
  clients: [{
    client_id: "chat", application_type: "native", redirect_uris: [callback], token_endpoint_auth_method: "none",
    response_types: ["code"], grant_types: ["authorization_code"],
  }],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({ nickname: token.accountId }),
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "urn:presence",
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: "", audience: "presence", accessTokenFormat: "jwt", accessTokenTTL: 3600, jwt: { sign: { alg: "ES256" } } }),
    },
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
