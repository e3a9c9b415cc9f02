// What the scripts share. They are written as for OpenAI's own service: where that is comes from the environment, which
// the SDK reads by itself (OPENAI_BASE_URL, OPENAI_API_KEY).
import OpenAI from "openai";

// An answer that takes a few seconds, and one that takes none.
export const SLOW = "demo-3000ms";
export const FAST = "demo-fast";

// A client, and what it has sent so far.
export function counted() {
  const sent = [];
  const client = new OpenAI({
    fetch: (url, init) => {
      sent.push(`${init.method ?? "GET"} ${new URL(url).pathname}`);
      return fetch(url, init);
    },
  });
  return { client, sent };
}

export async function finished(client, response) {
  while (response.status === "queued" || response.status === "in_progress") {
    await new Promise((resolve) => setTimeout(resolve, 200));
    response = await client.responses.retrieve(response.id);
  }
  return response;
}

// The error of a promise that has to have one.
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

export async function all(list) {
  const found = [];
  for await (const each of list) found.push(each);
  return found;
}
