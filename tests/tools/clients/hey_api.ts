// Ask with the client that hey-api made: see test_clients.py.
import { readFileSync } from "node:fs";
import { createClient } from "./made/client/index.ts";
import { getBulkActionJob, type Job, type Problem } from "./made/index.ts";

const [baseUrl, how] = process.argv.slice(2);

async function ask(token: string, id: string, etag: string) {
  const { data, error, response } = await getBulkActionJob({
    client: createClient({ baseUrl, auth: token }),
    headers: etag ? { "If-None-Match": etag } : {},
    parseAs: how === "text" ? "text" : "auto",
    path: { id },
  });
  if (error instanceof Error) return { raised: error.name }; // of zod
  if (how === "text") return { status: response?.status, body: data ?? error };
  const job: Job | undefined = data;
  const problem: Problem | undefined = error;
  const body = job ? { ...job, completed_at: String(job.completed_at) } : problem;
  return { status: response?.status, body };
}

for (const [token, id, etag] of JSON.parse(readFileSync(0, "utf8")))
  console.log(JSON.stringify(await ask(token, id, etag)));
