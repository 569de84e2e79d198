// openid-client: discovery at either place, the grant, introspection (plain and signed), revocation.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import * as client from 'openid-client'

import { issuer, site } from './site.mjs'

const [api] = site.apis
const ways = { basic: client.ClientSecretBasic, post: client.ClientSecretPost }
const loopback = [client.allowInsecureRequests]

function connect({ id, secret }, { metadata = {}, way = client.ClientSecretBasic, algorithm = 'oauth2', also = [] } = {}) {
  return client.discovery(issuer, id, metadata, way(secret), { algorithm, execute: [...loopback, ...also] })
}

for (const algorithm of ['oauth2', 'oidc']) {
  for (const [name, way] of Object.entries(ways)) {
    test(`a token, its introspection and its end, found by ${algorithm}, authenticated by ${name}`, async () => {
      const config = await connect(site.client, { way, algorithm })
      const caller = await connect(api, { way, algorithm })
      const got = await client.clientCredentialsGrant(config, { resource: api.audience })
      assert.deepEqual(got.scope.split(' ').sort(), site.roles)
      assert.ok(got.expiresIn() > 0)
      const told = await client.tokenIntrospection(caller, got.access_token)
      assert.equal(told.active, true)
      assert.equal(told.client_id, site.client.id)
      await client.tokenRevocation(config, got.access_token)
      assert.deepEqual(await client.tokenIntrospection(caller, got.access_token), { active: false })
    })
  }
}

for (const each of site.apis) {
  test(`a signed introspection answer in ${each.alg} (RFC 9701), its signature checked`, async () => {
    const config = await connect(site.client)
    const metadata = { introspection_signed_response_alg: each.alg }
    const caller = await connect(each, { metadata, also: [client.enableNonRepudiationChecks] })
    const { access_token: text } = await client.clientCredentialsGrant(config, { resource: each.audience })
    assert.equal((await client.tokenIntrospection(caller, text)).active, true)
    assert.deepEqual(await client.tokenIntrospection(caller, 'no-token'), { active: false })
  })
}

test('a client that asks for one role gets one', async () => {
  const config = await connect(site.client)
  const got = await client.clientCredentialsGrant(config, { resource: api.audience, scope: site.roles[1] })
  assert.equal(got.scope, site.roles[1])
})

test('an unregistered resource is invalid_target', async () => {
  const config = await connect(site.client)
  await assert.rejects(client.clientCredentialsGrant(config, { resource: 'https://nobody.example.com' }), {
    error: 'invalid_target',
  })
})
