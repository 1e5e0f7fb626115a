// Reading responses.

import { expect, test } from "vitest";
import { ApiError, hasReason, nextCursor, unwrap } from "./client.ts";

test("the cursor of the next page is read from the Link header", () => {
  expect(nextCursor('</orgs/1/api_keys?limit=2&cursor=a%2Bb>; rel="next"')).toBe("a+b");
  expect(nextCursor(null)).toBeNull();
  expect(nextCursor('</x?cursor=a>; rel="prev"')).toBeNull();
});

async function thrown(call: Promise<never>): Promise<unknown> {
  return unwrap(call).catch((error: unknown) => error);
}

const failed = (error: unknown, status = 409) =>
  Promise.resolve({ error, response: new Response(null, { status }) } as never);

test("a failed call throws the reason, the invalid fields and the request's id", async () => {
  const body = { message: "m", code: 400, reason: "invalid_fields", fields: { name: "is empty" }, request_id: "r" };
  const error = await thrown(failed(body, 400));
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ reason: "invalid_fields", message: "m", fields: { name: "is empty" }, requestId: "r" });
  expect(hasReason(error, "not_found", "invalid_fields")).toBe(true);
  expect(hasReason(error, "not_found")).toBe(false);
});

test("a response without a reason, and no response, have reasons of their own", async () => {
  expect(await thrown(failed("<html>", 502))).toMatchObject({ reason: "unknown" });
  expect(await thrown(Promise.reject(new TypeError("fetch failed")))).toMatchObject({ reason: "no_answer" });
});
