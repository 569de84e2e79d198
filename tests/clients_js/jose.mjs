// jose: the JWKS over HTTP, tokens in every algorithm, RFC 7638 thumbprints (K-03).

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { calculateJwkThumbprint, createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose'

import { site } from './site.mjs'

const place = new URL(`${site.issuer}/.well-known/jwks.json`)
const keys = createRemoteJWKSet(place)

async function token(resource) {
  const answer = await fetch(`${site.issuer}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials', client_id: site.client.id, client_secret: site.client.secret, resource,
    }),
  })
  assert.equal(answer.status, 200)
  return (await answer.json()).access_token
}

test('K-03: every kid is the SHA-256 thumbprint of its key', async () => {
  const { keys: published } = await (await fetch(place)).json()
  assert.ok(published.length >= site.apis.length)
  for (const jwk of published) {
    assert.equal(await calculateJwkThumbprint(jwk, 'sha256'), jwk.kid)
    assert.equal(jwk.use, 'sig')
  }
})

for (const { audience, alg } of site.apis) {
  test(`a token in ${alg} verifies as at+jwt and as nothing else`, async () => {
    const text = await token(audience)
    const asked = { issuer: site.issuer, audience, typ: 'at+jwt', algorithms: [alg], requiredClaims: ['jti', 'exp'] }
    const { payload, protectedHeader } = await jwtVerify(text, keys, asked)
    assert.equal(protectedHeader.alg, alg)
    assert.equal(payload.client_id, site.client.id)
    await assert.rejects(jwtVerify(text, keys, { ...asked, typ: 'JWT' }), errors.JWTClaimValidationFailed)
    await assert.rejects(jwtVerify(text, keys, { ...asked, audience: 'https://other.example.com' }))
    const others = site.apis.map((api) => api.alg).filter((other) => other !== alg)
    await assert.rejects(jwtVerify(text, keys, { ...asked, algorithms: others }), errors.JOSEAlgNotAllowed)
  })
}

test('one changed character of the signature is enough', async () => {
  const [{ audience }] = site.apis
  const text = await token(audience)
  const [head, body, signature] = text.split('.')
  const other = signature[0] === 'A' ? 'B' : 'A'
  const forged = [head, body, other + signature.slice(1)].join('.')
  await assert.rejects(jwtVerify(forged, keys), errors.JWSSignatureVerificationFailed)
  assert.ok(decodeProtectedHeader(text).kid)
})
