// jose with a real cache, fed by tests/keys/test_rotations_under_load.py: one line a token in, one line an outcome out.
//
// The first line is {issuer, jwks: [url, ...], maxAge}. A set is kept for maxAge milliseconds and never
// fetched early for a kid that is not in it: that is the verifier an announcement is made for.

import { createInterface } from 'node:readline'

import { createRemoteJWKSet, jwtVerify } from 'jose'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const told = JSON.parse((await lines.next()).value)
const sets = told.jwks.map((url) =>
  createRemoteJWKSet(new URL(url), { cacheMaxAge: told.maxAge, cooldownDuration: 3_600_000 }),
)
// Each cache is filled before the first key changes.
for (let number = 0, next = await lines.next(); !next.done; number += 1, next = await lines.next()) {
  try {
    await jwtVerify(next.value, sets[number % sets.length], { issuer: told.issuer, typ: 'at+jwt', clockTolerance: 5 })
    console.log('ok')
  } catch (error) {
    console.log(`${error.code ?? ''} ${error.message}`)
  }
}
