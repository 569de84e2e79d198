// A real OpenID Connect provider on loopback; settings come as JSON on standard input, the port goes to standard output.
// Whoever signs in is whom they say they are: it is the console's side that is under test.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import Provider from "oidc-provider";

const told = JSON.parse(await text(process.stdin));
const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: told.client_id,
    client_secret: told.client_secret,
    redirect_uris: [told.redirect_uri],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    ...told.client,
  }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: "ada@example.com", email_verified: true }) }),
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ["a key of this test"] },
  ttl: { Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
});
server.on("request", provider.callback());
console.log(issuer);
