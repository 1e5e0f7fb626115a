// A service of a test's own, for settings that the shared one does not have.

import { type ChildProcess, spawn } from "node:child_process";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A port that is free now, for a service whose URL must be known before it starts. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export interface OwnService {
  service: ChildProcess;
  url: string;
}

/** Starts a service with these settings, and its database in this folder. */
export async function startService(settings: Record<string, string>, folder: string): Promise<OwnService> {
  const env = {
    PATH: process.env.PATH,
    CLAVIGER_LISTEN: "127.0.0.1:0",
    CLAVIGER_DATABASE_URL: `sqlite://${join(folder, "claviger.db")}`,
    ...settings,
  };
  const service = spawn(process.env.CLAVIGER_BINARY ?? "claviger", ["serve"], { env, stdio: "pipe" });
  const lines: string[] = [];
  for await (const line of createInterface({ input: service.stderr })) {
    lines.push(line);
    const address = /"address":"([^"]+)"/.exec(line)?.[1];
    if (address !== undefined) {
      service.stderr.resume();
      return { service, url: `http://${address}` };
    }
  }
  throw new Error(`the service did not start: ${lines.join("\n")}`);
}
