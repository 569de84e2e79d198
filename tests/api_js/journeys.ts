// What an integrator does with the client that openapi-fetch makes of the schema: typed requests against a real server.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { env: Record<string, string | undefined>; pid: number };

const [baseUrl, token] = [process.env.BASE_URL!, process.env.TOKEN!];
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });

function must<T>(answer: { data?: T; error?: { title: string; detail: string }; response: Response }): T {
  if (answer.error !== undefined || answer.data === undefined) {
    throw new Error(`${answer.response.status}: ${answer.error?.title} ${answer.error?.detail}`);
  }
  return answer.data;
}

function refused(answer: { error?: { type: string; status: number } }, status: number, code: string): void {
  if (answer.error?.status !== status || !answer.error.type.endsWith(`/${code}`)) {
    throw new Error(`expected ${status} ${code}, got ${JSON.stringify(answer.error)}`);
  }
}

const done: string[] = [];
const me = must(await client.GET("/me"));
done.push(`me ${me.username}`);

// Create once, although it is sent twice.
const body = { name: "from typescript", expires_at: "2027-03-01T00:00:00Z", roles: ["reader"] };
const header = { "Idempotency-Key": `ts-${process.pid}` };
const made = must(await client.POST("/credentials", { params: { header }, body }));
const again = must(await client.POST("/credentials", { params: { header }, body }));
if (made.client_secret === null || again.client_secret !== null || again.client_id !== made.client_id) {
  throw new Error("a create that is sent twice makes one, and tells its secret once");
}
done.push("created");

// Edit the version that was read; the same version again is refused.
const path = { client_id: made.client_id };
const read = await client.GET("/credentials/{client_id}", { params: { path } });
const etag = read.response.headers.get("ETag")!;
const edit = { params: { path, header: { "If-Match": etag } }, body: { name: "renamed" } };
if (must(await client.PATCH("/credentials/{client_id}", edit)).name !== "renamed") throw new Error("not renamed");
refused(await client.PATCH("/credentials/{client_id}", edit), 412, "precondition_failed");
done.push("edited");

// Lists come in parts.
let cursor: string | null | undefined;
const names = new Set<string>();
do {
  const query = { limit: 1, q: "rename", ...(cursor ? { cursor } : {}) };
  const part = must(await client.GET("/credentials", { params: { query } }));
  part.items.forEach((each) => names.add(each.name));
  cursor = part.next_cursor;
} while (cursor);
if (!names.has("renamed")) throw new Error("not in the list");
done.push("listed");

const any = { "If-Match": "*" };
must(await client.POST("/credentials/{client_id}/secrets", { params: { path }, body: { overlap_seconds: 3600 } }));
must(await client.POST("/credentials/{client_id}/disable", { params: { path, header: any } }));
must(await client.POST("/credentials/{client_id}/enable", { params: { path, header: any } }));
const timeline = must(await client.GET("/credentials/{client_id}/timeline", { params: { path } }));
if (timeline.items[0]?.event !== "credential.enabled") throw new Error(JSON.stringify(timeline.items[0]));
const gone = await client.DELETE("/credentials/{client_id}", { params: { path, header: any } });
if (gone.response.status !== 204) throw new Error(`${gone.response.status}`);
refused(await client.GET("/credentials/{client_id}", { params: { path } }), 404, "not_found");
done.push("deleted");

const user = must(await client.POST("/users", { body: { username: "typed", roles: ["reader"] } }));
const preview = must(
  await client.GET("/users/{username}/preview", {
    params: { path: { username: user.username }, query: { change: "disable" } },
  }),
);
done.push(`user would lose ${preview.live_tokens}`);
must(await client.GET("/resource-servers"));
must(await client.GET("/settings"));
must(await client.GET("/signing-keys"));
const head = must(await client.GET("/audit/head"));
if (!head.intact) throw new Error(head.fault);
done.push("audited");
console.log(JSON.stringify(done));
