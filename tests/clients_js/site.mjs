// What the server under test told us to use: one JSON document on standard input, from tests/clients/test_clients_js.py.
//
// {issuer, client: {id, secret}, roles: [...], apis: [{audience, id, secret, alg}, ...]}: each API wants its tokens
// and its signed introspection answers in another algorithm.

import { readFileSync } from 'node:fs'

export const site = JSON.parse(readFileSync(0, 'utf8'))
export const issuer = new URL(site.issuer)
