// Examples for gateways: the address, the organization and the permission.

import { expect, test } from "vitest";
import { type Gateway, GATEWAYS } from "./gateway-examples.ts";

const ORG = "0199f0c2-4d1e-7000-8000-000000000001";

test.each<[Gateway, string, string]>([
  [
    "nginx",
    `proxy_pass https://keys.example.com/forward-auth/${ORG}?permission=files:read&on_limit=403;`,
    `proxy_pass https://keys.example.com/forward-auth/${ORG}?on_limit=403;`,
  ],
  ["Caddy", `uri /forward-auth/${ORG}?permission=files:read\n`, `uri /forward-auth/${ORG}\n`],
  ["Envoy", "value: secret=GATEWAY_SECRET&permission=files:read\n", "value: secret=GATEWAY_SECRET\n"],
])("%s asks for the permission, if there is one", (gateway, withPermission, without) => {
  expect(GATEWAYS[gateway]("https://keys.example.com", ORG, "files:read")).toContain(withPermission);
  expect(GATEWAYS[gateway]("https://keys.example.com", ORG, undefined)).toContain(without);
});

test("Caddy passes on no upgrade, and no CONNECT", () => {
  const example = GATEWAYS.Caddy("https://keys.example.com", ORG, undefined);
  expect(example).toMatch(
    /request_header -Connection\n[^]*@tunnel method CONNECT\n\s+respond @tunnel 405\n[^]*forward_auth/,
  );
});
