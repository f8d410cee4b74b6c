// Ask with openapi-fetch and the types that openapi-typescript made: see test_clients.py.
import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./made.ts";

type Job = components["schemas"]["Job"];
type Problem = components["schemas"]["Problem"];
type Path = operations["getBulkActionJob"]["parameters"]["path"];
const client = createClient<paths>({ baseUrl: process.argv.at(-1) });

async function ask(token: string, path: Path, etag: string) {
  const { data, error, response } = await client.GET("/api/actions/bulk/jobs/{id}", {
    headers: {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(etag && { "If-None-Match": etag }),
    },
    params: { path },
    parseAs: process.argv.includes("--text") ? "text" : "json",
  });
  if (typeof data === "string") return `{"status": ${response.status}, "body": ${data.trim() || null}}`;
  const job: Job | undefined = data;
  const problem: Problem | undefined = error;
  const body = job ? { ...job, completed_at: String(job.completed_at) } : problem;
  return JSON.stringify({ status: response.status, body });
}

for (const [token, id, etag] of JSON.parse(readFileSync(0, "utf8")))
  console.log(await ask(token, { id }, etag));
