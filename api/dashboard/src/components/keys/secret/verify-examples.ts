// Examples of a call that verifies a key, by language. None of them has a secret, which would get into source code or the history of a
// shell: the key to verify comes from the request of a caller.

type Example = (url: string, permission: string | undefined) => string;

const listOf = (permission: string | undefined) => JSON.stringify(permission === undefined ? [] : [permission]);

export const EXAMPLES = {
  curl: (url, permission) => `# KEY is the key to verify, and SERVICE_KEY that of your service.
curl -s -X POST ${url}/api_keys/verify \\
  -H "Authorization: Bearer $SERVICE_KEY" -H 'Content-Type: application/json' \\
  -d "{\\"key\\": \\"$KEY\\", \\"permissions\\": ${listOf(permission).replaceAll('"', '\\"')}}"`,
  JavaScript: (url, permission) => `const response = await fetch("${url}/api_keys/verify", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${process.env.SERVICE_KEY}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({ key: request.headers["x-api-key"], permissions: ${listOf(permission)} }),
});
const { valid, code } = await response.json();`,
  Python: (url, permission) => `import os, requests

response = requests.post(
    "${url}/api_keys/verify",
    headers={"Authorization": f"Bearer {os.environ['SERVICE_KEY']}"},
    json={"key": request.headers["x-api-key"], "permissions": ${listOf(permission)}},
).json()
print(response["valid"], response["code"])`,
  Rust: (url, permission) => `let response: serde_json::Value = reqwest::Client::new()
    .post("${url}/api_keys/verify")
    .bearer_auth(std::env::var("SERVICE_KEY")?)
    .json(&serde_json::json!({"key": api_key, "permissions": ${listOf(permission)}}))
    .send().await?
    .json().await?;`,
} satisfies Record<string, Example>;

export type Language = keyof typeof EXAMPLES;
