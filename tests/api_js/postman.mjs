// Makes a Postman collection of the OpenAPI document and runs it by newman: every operation is sent once.
import { readFileSync, writeFileSync } from "node:fs";
import converter from "openapi-to-postmanv2";
import newman from "newman";

const [document, output] = process.argv.slice(2);
const { BASE_URL: baseUrl, TOKEN: token } = process.env;
const VALUES = JSON.parse(process.env.VALUES ?? "{}");
const TESTS = `
pm.test("is answered as the document says", () => {
  pm.expect(pm.response.code).to.be.below(500);
  pm.expect(pm.response.code).not.to.be.oneOf([401, 405]);
  const url = pm.request.url.toString();
  if (pm.request.method === "GET" && !url.includes("none")) pm.expect(pm.response.code, url).to.equal(200);
});`;

const made = await new Promise((resolve, reject) =>
  converter.convert({ type: "string", data: readFileSync(document, "utf8") }, { folderStrategy: "Tags" }, (error, result) =>
    error || !result.result ? reject(error ?? new Error(result.reason)) : resolve(result.output[0].data),
  ),
);
made.auth = { type: "bearer", bearer: [{ key: "token", value: "{{token}}", type: "string" }] };
made.event = [{ listen: "test", script: { type: "text/javascript", exec: TESTS.split("\n") } }];
(function prepare(items) {
  for (const each of items) {
    if (each.item) prepare(each.item);
    if (!each.request) continue;
    delete each.request.auth;
    for (const part of each.request.url.variable ?? []) {
      // Compromising the one key would end the token that the other requests carry.
      const spared = part.key === "kid" && each.request.method !== "GET";
      part.value = spared ? "none" : (VALUES[part.key] ?? "none");
    }
    for (const one of each.request.url.query ?? []) {
      one.disabled = !(one.key in VALUES);
      one.value = VALUES[one.key] ?? one.value;
    }
    for (const one of each.request.header ?? []) {
      if (one.key === "If-Match") one.value = "*";
      if (one.key === "Idempotency-Key") one.disabled = true;
    }
    each.response = [];
  }
})(made.item);
writeFileSync(output, JSON.stringify(made));

// What reads is sent before what changes: the order of the folders would delete things before they are read.
const requests = (items) => items.flatMap((each) => (each.item ? requests(each.item) : [each]));
const reads = (each) => each.request.method === "GET";
const all = requests(made.item);
made.item = [...all.filter(reads), ...all.filter((each) => !reads(each))];
const summary = await new Promise((resolve, reject) =>
  newman.run(
    {
      collection: made,
      envVar: [{ key: "baseUrl", value: baseUrl }, { key: "token", value: token }],
      timeoutRequest: 60000,
    },
    (error, result) => (error ? reject(error) : resolve(result.run)),
  ),
);
const failures = summary.failures.map((each) => `${each.source?.name}: ${each.error.message}`);
console.log(JSON.stringify({ requests: summary.stats.requests.total, failures }));
