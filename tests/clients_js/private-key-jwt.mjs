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

for (const alg of ['ES256', 'PS256', 'RS256', 'Ed25519']) {
  test(`DPoP with ${alg}: oauth4webapi gets a bound token, and its own verifier takes it with the proof alone`, async () => {
    const as = await server()
    const [keyed] = site.keyed
    const me = { client_id: keyed.id }
    const DPoP = oauth.DPoP(me, await oauth.generateKeyPair(alg))
    const key = await cryptoKey(keyed)
    const once = async () => {
      const answer = await oauth.clientCredentialsGrantRequest(
        as, me, oauth.PrivateKeyJwt(key), { resource: api.audience }, { DPoP, ...insecure },
      )
      return oauth.processClientCredentialsResponse(as, me, answer)
    }
    // RFC 9449 §8: the first proof has no nonce; it was kept from the refusal for the second.
    await assert.rejects(once(), (error) => oauth.isDPoPNonceError(error) && error.error === 'use_dpop_nonce')
    const got = await once()
    assert.equal(got.token_type, 'dpop')
    let called
    const url = new URL(`${api.audience}/things`)
    await oauth.protectedResourceRequest(got.access_token, 'GET', url, new Headers(), null, {
      DPoP,
      [oauth.customFetch]: async (address, options) => {
        called = new Request(address, { method: options.method, headers: options.headers })
        return new Response()
      },
    })
    const claims = await oauth.validateJwtAccessToken(as, called, api.audience, { requireDPoP: true, ...insecure })
    assert.equal(claims.client_id, keyed.id)
    const bearer = new Request(url, { headers: { authorization: `Bearer ${got.access_token}` } })
    await assert.rejects(oauth.validateJwtAccessToken(as, bearer, api.audience, insecure))
  })
}

test('FAPI 2.0: openid-client with private_key_jwt and DPoP, and the introspection of what it got', async () => {
  const keyed = site.keyed.find(({ alg }) => alg === 'PS256')
  const config = await client.discovery(issuer, keyed.id, {}, client.PrivateKeyJwt(await cryptoKey(keyed)), {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
  })
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'))
  const got = await client.clientCredentialsGrant(config, { resource: api.audience }, { DPoP })
  assert.equal(got.token_type, 'dpop')
  const caller = await client.discovery(issuer, api.id, {}, client.ClientSecretBasic(api.secret), {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
  })
  const told = await client.tokenIntrospection(caller, got.access_token)
  assert.equal(told.token_type, 'DPoP')
  assert.equal(told.cnf.jkt, await DPoP.calculateThumbprint())
})

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
  await assert.rejects(ask(as, first.id, elsewhere), { status: 401 })
  const foreign = oauth.PrivateKeyJwt(await cryptoKey(second))
  await assert.rejects(ask(as, first.id, foreign), { status: 401 })
})
