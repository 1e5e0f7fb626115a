// Examples of a call that verifies a key, by language.

type Example = (url: string, secret: string, permission: string | undefined) => string;

const listOf = (permission: string | undefined) => (permission === undefined ? [] : [permission]);

export const EXAMPLES = {
  curl: (url, secret, permission) => `curl -s -X POST ${url}/api_keys/verify \\
  -H "Authorization: Bearer $SERVICE_KEY" -H 'Content-Type: application/json' \\
  -d '${JSON.stringify({ key: secret, permissions: listOf(permission) })}'`,
  JavaScript: (url, secret, permission) => `const response = await fetch("${url}/api_keys/verify", {
  method: "POST",
  headers: {
    Authorization: \`Bearer \${process.env.SERVICE_KEY}\`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({ key: "${secret}", permissions: ${JSON.stringify(listOf(permission))} }),
});
const { valid, code } = await response.json();`,
  Python: (url, secret, permission) => `import os, requests

response = requests.post(
    "${url}/api_keys/verify",
    headers={"Authorization": f"Bearer {os.environ['SERVICE_KEY']}"},
    json={"key": "${secret}", "permissions": ${JSON.stringify(listOf(permission))}},
).json()
print(response["valid"], response["code"])`,
  Rust: (url, secret, permission) => `let response: serde_json::Value = reqwest::Client::new()
    .post("${url}/api_keys/verify")
    .bearer_auth(std::env::var("SERVICE_KEY")?)
    .json(&serde_json::json!({"key": "${secret}", "permissions": ${JSON.stringify(listOf(permission))}}))
    .send().await?
    .json().await?;`,
} satisfies Record<string, Example>;

export type Language = keyof typeof EXAMPLES;
