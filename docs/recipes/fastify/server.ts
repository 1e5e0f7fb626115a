// An API with Fastify that only answers requests with a key.

import Fastify, { type onRequestAsyncHookHandler } from "fastify";
import { authorize, type ApiKey } from "./claviger.js";

declare module "fastify" {
  interface FastifyRequest {
    apiKey: ApiKey;
  }
}

/** A hook: the request needs a key with the permission. Handlers find the key in `request.apiKey`. */
function requireKey(permission: string): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const decision = await authorize(request.headers, request.ip, permission);
    reply.headers(decision.headers);
    if (decision.apiKey === null) return reply.code(decision.status).send({ code: decision.code });
    request.apiKey = decision.apiKey;
  };
}

// Behind a proxy: Fastify({ trustProxy: "10.0.0.0/8" }), so that request.ip is the visitor's address.
const app = Fastify();
app.decorateRequest("apiKey");
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));

app.get("/files", { onRequest: requireKey("files:read") }, async ({ apiKey }) => {
  return { customer: apiKey.external_id, key_id: apiKey.key_id, name: apiKey.name };
});

// `onRequest` hooks run before the body is read.
app.post("/files", { onRequest: requireKey("files:write") }, async (request, reply) => {
  return reply.type("application/octet-stream").send(request.body);
});

const address = await app.listen({ port: Number(process.env.PORT ?? 3000), host: process.env.HOST ?? "127.0.0.1" });
console.log(`listening on ${address}`);
