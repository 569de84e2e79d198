// private_key_jwt by clients that nobody here wrote: oauth4webapi and openid-client, at the token and revocation endpoints.

import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { test } from 'node:test'

import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'

import { issuer, site } from './site.mjs'

const [api] = site.apis
const insecure = { [oauth.allowInsecureRequests]: true }
const parameters = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  EdDSA: { name: 'Ed25519' },
}

function cryptoKey({ key, alg }) {
  const der = createPrivateKey(key).export({ type: 'pkcs8', format: 'der' })
  return crypto.subtle.importKey('pkcs8', der, parameters[alg], false, ['sign'])
}

async function server() {
  const answer = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  return oauth.processDiscoveryResponse(issuer, answer)
}

async function ask(as, id, authentication) {
  const answer = await oauth.clientCredentialsGrantRequest(
    as, { client_id: id }, authentication, new URLSearchParams({ resource: api.audience }), insecure,
  )
  return oauth.processClientCredentialsResponse(as, { client_id: id }, answer)
}

for (const keyed of site.keyed) {
  test(`oauth4webapi signs with ${keyed.alg}, gets a token and ends it`, async () => {
    const as = await server()
    const key = await cryptoKey(keyed)
    const got = await ask(as, keyed.id, oauth.PrivateKeyJwt({ key, kid: keyed.kid }))
    assert.deepEqual(got.scope.split(' ').sort(), site.roles)
    const ended = await oauth.revocationRequest(
      as, { client_id: keyed.id }, oauth.PrivateKeyJwt(key), got.access_token, insecure,
    )
    assert.equal(await oauth.processRevocationResponse(ended), undefined)
  })

  test(`openid-client signs with ${keyed.alg}, gets a token and ends it`, async () => {
    const config = await client.discovery(issuer, keyed.id, {}, client.PrivateKeyJwt(await cryptoKey(keyed)), {
      algorithm: 'oauth2',
      execute: [client.allowInsecureRequests],
    })
    const got = await client.clientCredentialsGrant(config, { resource: api.audience })
    assert.equal(got.token_type, 'bearer')
    const caller = await client.discovery(issuer, api.id, {}, client.ClientSecretBasic(api.secret), {
      algorithm: 'oauth2',
      execute: [client.allowInsecureRequests],
    })
    assert.equal((await client.tokenIntrospection(caller, got.access_token)).client_id, keyed.id)
    await client.tokenRevocation(config, got.access_token)
    assert.deepEqual(await client.tokenIntrospection(caller, got.access_token), { active: false })
  })
}

test('an assertion for the token endpoint, or signed by the key of another client, is invalid_client', async () => {
  const as = await server()
  const [first, second] = site.keyed
  const changed = (more) => oauth.PrivateKeyJwt(more.key, { [oauth.modifyAssertion]: more.modify ?? (() => {}) })
  const elsewhere = changed({
    key: await cryptoKey(first),
    modify: (_header, claims) => {
      claims.aud = as.token_endpoint
    },
  })
  await assert.rejects(ask(as, first.id, elsewhere), { error: 'invalid_client' })
  const foreign = oauth.PrivateKeyJwt(await cryptoKey(second))
  await assert.rejects(ask(as, first.id, foreign), { error: 'invalid_client' })
})
