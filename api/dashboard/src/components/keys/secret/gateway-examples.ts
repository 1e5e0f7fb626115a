// The part of a gateway's configuration that asks Claviger, by gateway.

import { BASE_PATH } from "../../../lib/service-url.ts";

type Example = (origin: string, org: string, permission: string | undefined) => string;

const path = (org: string) => `${BASE_PATH}/forward-auth/${org}`;
const query = (permission: string | undefined) => (permission === undefined ? "" : `permission=${permission}`);
const withQuery = (org: string, ...parameters: string[]) => {
  const given = parameters.filter((parameter) => parameter !== "");
  return given.length === 0 ? path(org) : `${path(org)}?${given.join("&")}`;
};

export const GATEWAYS = {
  nginx: (origin, org, permission) => `location / {
    auth_request /_claviger;
    # The API must trust no other header that begins with Claviger: visitors can send them.
    auth_request_set $customer $upstream_http_claviger_external_id;
    proxy_set_header Claviger-External-Id $customer;
    proxy_pass http://127.0.0.1:3000;
}
location = /_claviger {
    internal;
    proxy_pass ${origin}${withQuery(org, query(permission), "on_limit=403")};
    proxy_pass_request_body off;
    proxy_pass_request_headers off;
    proxy_set_header Content-Length "";
    proxy_set_header Claviger-Gateway "secret=GATEWAY_SECRET";
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Authorization $http_authorization;
    proxy_set_header X-Api-Key $http_x_api_key;
}`,
  Caddy: (origin, org, permission) => `api.example.com {
	route {
		request_header -Claviger*
		# No upgrade passes: after it nothing would be checked. docs/gateways has the rules for WebSocket.
		request_header -Connection
		@tunnel method CONNECT
		respond @tunnel 405
		forward_auth ${origin} {
			uri ${withQuery(org, query(permission))}
			header_up Claviger-Gateway "secret=GATEWAY_SECRET"
			copy_headers Claviger-Key-Id Claviger-External-Id
		}
		reverse_proxy 127.0.0.1:3000
	}
}`,
  Envoy: (origin, org, permission) => `- name: envoy.filters.http.ext_authz
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    failure_mode_allow: false
    status_on_error: { code: ServiceUnavailable }
    allowed_headers: { patterns: [{ exact: x-api-key }, { exact: x-forwarded-for }] }
    http_service:
      server_uri: { uri: "${origin}", cluster: claviger, timeout: 6s }
      path_prefix: ${path(org)}
      authorization_request:
        headers_to_add:
          - key: Claviger-Gateway
            value: ${["secret=GATEWAY_SECRET", query(permission)].filter((pair) => pair !== "").join("&")}
      authorization_response:
        allowed_upstream_headers: { patterns: [{ prefix: claviger-, ignore_case: true }] }`,
} satisfies Record<string, Example>;

export type Gateway = keyof typeof GATEWAYS;
