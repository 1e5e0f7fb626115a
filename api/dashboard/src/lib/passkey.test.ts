// Passkeys: texts, bytes and messages.

import { expect, test } from "vitest";
import {
  creationOptions,
  fromBase64url,
  passkeyMessage,
  requestOptions,
  toBase64url,
  toJson,
  whyNoPasskeys,
} from "./passkey.ts";

test("bytes are base64url without padding", () => {
  const bytes = new Uint8Array([0xfb, 0xff, 0xfe, 0x01]);
  expect(toBase64url(bytes.buffer)).toBe("-__-AQ");
  expect([...fromBase64url("-__-AQ")]).toEqual([...bytes]);
  expect(toBase64url(new ArrayBuffer(0))).toBe("");
});

test("options have bytes instead of texts", () => {
  const created = creationOptions({
    challenge: "AQI",
    rp: { id: "keys.example", name: "keys.example" },
    user: { id: "Aw", name: "Ada", displayName: "Ada" },
    excludeCredentials: [{ id: "BA", type: "public-key" }],
    timeout: 300_000,
  });
  expect([...(created.challenge as Uint8Array)]).toEqual([1, 2]);
  expect([...(created.user.id as Uint8Array)]).toEqual([3]);
  expect(created.excludeCredentials).toEqual([{ id: new Uint8Array([4]), type: "public-key" }]);
  expect(created.timeout).toBe(300_000);
  const requested = requestOptions({ challenge: "AQI", rpId: "keys.example" });
  expect([...(requested.challenge as Uint8Array)]).toEqual([1, 2]);
  expect(requested.allowCredentials).toEqual([]);
});

test("a signature is JSON with texts", () => {
  const bytes = (...list: number[]) => new Uint8Array(list).buffer;
  const credential = {
    id: "AQ",
    rawId: bytes(1),
    type: "public-key",
    authenticatorAttachment: "platform",
    response: { clientDataJSON: bytes(2), authenticatorData: bytes(3), signature: bytes(4), userHandle: bytes(5) },
  };
  expect(toJson(credential as unknown as PublicKeyCredential)).toEqual({
    id: "AQ",
    rawId: "AQ",
    type: "public-key",
    authenticatorAttachment: "platform",
    clientExtensionResults: {},
    response: { clientDataJSON: "Ag", authenticatorData: "Aw", signature: "BA", userHandle: "BQ" },
  });
});

test("errors of the browser say what to do", () => {
  expect(passkeyMessage(new DOMException("", "NotAllowedError"))).toContain("canceled");
  expect(passkeyMessage(new DOMException("", "InvalidStateError"))).toContain("already has a passkey");
  expect(passkeyMessage(new Error("x"))).toContain("another browser");
});

test("a page without passkeys says why", () => {
  expect(whyNoPasskeys({ hostname: "127.0.0.1", protocol: "http:" })).toContain("at localhost");
  expect(whyNoPasskeys({ hostname: "203.0.113.9", protocol: "https:" })).toContain("IP address");
  expect(whyNoPasskeys({ hostname: "keys.example", protocol: "http:" })).toContain("https");
  expect(whyNoPasskeys({ hostname: "keys.example", protocol: "https:" })).toContain("public URL");
});
