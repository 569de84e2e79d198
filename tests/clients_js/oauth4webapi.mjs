// oauth4webapi as client and as resource server. It form-encodes Basic credentials to the last '-' (RFC 6749 §2.3.1).

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as oauth from 'oauth4webapi'

import { issuer, site } from './site.mjs'

const loopback = { [oauth.allowInsecureRequests]: true }
const client = { client_id: site.client.id }
const ways = { basic: oauth.ClientSecretBasic, post: oauth.ClientSecretPost }

async function discover(algorithm) {
  const answer = await oauth.discoveryRequest(issuer, { algorithm, ...loopback })
  return oauth.processDiscoveryResponse(issuer, answer)
}

const server = await discover('oauth2')

async function token(parameters = {}, way = oauth.ClientSecretBasic) {
  const answer = await oauth.clientCredentialsGrantRequest(
    server, client, way(site.client.secret), new URLSearchParams(parameters), loopback,
  )
  return oauth.processClientCredentialsResponse(server, client, answer)
}

async function introspect(api, text, { signed = false, way = oauth.ClientSecretBasic } = {}) {
  const caller = { client_id: api.id, ...(signed && { introspection_signed_response_alg: api.alg }) }
  const answer = await oauth.introspectionRequest(server, caller, way(api.secret), text, loopback)
  const told = await oauth.processIntrospectionResponse(server, caller, answer)
  if (signed) {
    assert.equal(answer.headers.get('content-type'), 'application/token-introspection+jwt')
    await oauth.validateApplicationLevelSignature(server, answer, loopback)
  }
  return told
}

async function accepted(text, audience) {
  const request = new Request(`${audience}/reports`, { headers: { authorization: `Bearer ${text}` } })
  return oauth.validateJwtAccessToken(server, request, audience, loopback)
}

test('both well-known places tell the same', async () => {
  const openid = await discover('oidc')
  assert.equal(openid.issuer, site.issuer)
  for (const [name, value] of Object.entries(server)) assert.deepEqual(openid[name], value, name)
  assert.deepEqual(server.grant_types_supported, ['client_credentials'])
})

for (const [name, way] of Object.entries(ways)) {
  test(`a token by ${name}`, async () => {
    const got = await token({ resource: site.apis[0].audience }, way)
    assert.equal(got.token_type, 'bearer') // the library lowers it
    assert.deepEqual(got.scope.split(' ').sort(), site.roles)
    assert.ok(got.expires_in > 0)
    assert.equal(got.refresh_token, undefined)
  })

  test(`introspection by ${name}`, async () => {
    const [api] = site.apis
    const { access_token: text } = await token({ resource: api.audience })
    const told = await introspect(api, text, { way })
    assert.equal(told.active, true)
    assert.equal(told.aud, api.audience)
    assert.equal(told.client_id, site.client.id)
  })

  test(`revocation by ${name}`, async () => {
    const [api] = site.apis
    const { access_token: text } = await token({ resource: api.audience })
    const answer = await oauth.revocationRequest(server, client, way(site.client.secret), text, loopback)
    await oauth.processRevocationResponse(answer)
    assert.deepEqual(await introspect(api, text), { active: false })
  })
}

test('a wrong secret is invalid_client with a challenge that can be read', async () => {
  const answer = await oauth.clientCredentialsGrantRequest(
    server, client, oauth.ClientSecretBasic('wrong'), new URLSearchParams(), loopback,
  )
  await assert.rejects(oauth.processClientCredentialsResponse(server, client, answer), (error) => {
    assert.equal(error.code, oauth.WWW_AUTHENTICATE_CHALLENGE)
    assert.equal(error.status, 401)
    assert.equal(error.cause[0].scheme, 'basic')
    assert.ok(error.cause[0].parameters.realm)
    return true
  })
})

test('a role that is not to be had is invalid_scope', async () => {
  await assert.rejects(token({ scope: 'somebody.else' }), { code: oauth.RESPONSE_BODY_ERROR, error: 'invalid_scope' })
})

for (const api of site.apis) {
  test(`a resource server takes a token in ${api.alg}`, async () => {
    const { access_token: text } = await token({ resource: api.audience, scope: site.roles[0] })
    const claims = await accepted(text, api.audience)
    assert.equal(claims.client_id, site.client.id)
    assert.deepEqual(claims.act, { sub: site.client.id })
    assert.deepEqual(claims.roles, [site.roles[0]])
    assert.equal(claims.scope, site.roles[0])
  })

  test(`a signed introspection answer in ${api.alg} (RFC 9701)`, async () => {
    const { access_token: text } = await token({ resource: api.audience })
    const told = await introspect(api, text, { signed: true })
    assert.equal(told.active, true)
    assert.equal(told.aud, api.audience)
    assert.deepEqual(await introspect(api, 'no-token', { signed: true }), { active: false })
  })
}

test('a token for one resource server is refused by another', async () => {
  const [one, other] = site.apis
  const { access_token: text } = await token({ resource: one.audience })
  await assert.rejects(accepted(text, other.audience), { code: oauth.JWT_CLAIM_COMPARISON })
})
