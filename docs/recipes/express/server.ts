// An API with Express that only answers requests with a key.

import type { AddressInfo } from "node:net";
import express, { type RequestHandler } from "express";
import { authorize, type ApiKey } from "./claviger.js";

declare global {
  namespace Express {
    interface Locals {
      apiKey: ApiKey;
    }
  }
}

/** Middleware: the request needs a key with the permission. Handlers find the key in `response.locals.apiKey`. */
function requireKey(permission: string): RequestHandler {
  return async (request, response, next) => {
    const decision = await authorize(request.headers, request.ip, permission);
    response.set(decision.headers);
    if (decision.apiKey === null) {
      response.status(decision.status).json({ code: decision.code });
      return;
    }
    response.locals.apiKey = decision.apiKey;
    next();
  };
}

const app = express();
// Behind a proxy: app.set("trust proxy", "10.0.0.0/8"), so that request.ip is the visitor's address.

app.get("/files", requireKey("files:read"), (_request, response) => {
  const { external_id, key_id, name } = response.locals.apiKey;
  response.json({ customer: external_id, key_id, name });
});

// The key is checked before the body is read.
app.post("/files", requireKey("files:write"), express.raw({ type: () => true }), (request, response) => {
  response.type("application/octet-stream").send(request.body);
});

const server = app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? "127.0.0.1", () => {
  const { address, port } = server.address() as AddressInfo;
  console.log(`listening on http://${address}:${port}`);
});
