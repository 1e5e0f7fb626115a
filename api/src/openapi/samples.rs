//! Samples of code in the OpenAPI document (`x-codeSamples`). They send the example of the request. `tests/clients/samples` runs
//! them; those in Rust are compiled with `tests/clients/rust`.

use serde_json::{Value, json};

/// The operations of the quick start.
pub(super) const OPERATIONS: [&str; 10] = [
    "signUp",
    "createApiKey",
    "listApiKeys",
    "verifyApiKey",
    "updateApiKey",
    "rotateApiKey",
    "getPreviousSecret",
    "getApiKeyUsage",
    "listAuditEvents",
    "deleteApiKey",
];

/// The samples for an operation: the address of the service, the key and ids are environment variables.
pub(super) fn of(method: &str, path: &str, is_public: bool, body: Option<&Value>) -> Value {
    let request = Request { method, path, is_public, body };
    json!([
        {"lang": "Shell", "label": "curl", "source": request.curl()},
        {"lang": "TypeScript", "label": "TypeScript", "source": request.typescript()},
        {"lang": "Python", "label": "Python", "source": request.python()},
        {"lang": "Rust", "label": "Rust", "source": request.rust()},
    ])
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    is_public: bool,
    body: Option<&'a Value>,
}

impl Request<'_> {
    /// The path, with each parameter `{name}` replaced.
    fn path(&self, replace: impl Fn(&str) -> String) -> String {
        let parts = self.path.split('{').enumerate();
        parts
            .map(|(n, part)| match part.split_once('}') {
                Some((name, rest)) if n > 0 => replace(&name.to_uppercase()) + rest,
                _ => part.to_owned(),
            })
            .collect()
    }

    fn curl(&self) -> String {
        let path = self.path(|name| format!("${name}"));
        let mut lines = vec![format!("curl --request {} \"$CLAVIGER_URL{path}\"", self.method.to_uppercase())];
        if !self.is_public {
            lines.push("--header \"Authorization: Bearer $CLAVIGER_KEY\"".to_owned());
        }
        if let Some(body) = self.body {
            lines.push("--header 'Content-Type: application/json'".to_owned());
            lines.push(format!("--data '{}'", body.to_string().replace('\'', "'\\''")));
        }
        lines.join(" \\\n  ")
    }

    fn typescript(&self) -> String {
        let path = self.path(|name| format!("${{process.env.{name}}}"));
        let mut headers = Vec::new();
        if !self.is_public {
            headers.push("Authorization: `Bearer ${process.env.CLAVIGER_KEY}`");
        }
        let body = self.body.map(|body| {
            headers.push("\"Content-Type\": \"application/json\"");
            format!("\n  body: JSON.stringify({}),", indented(&format!("{body:#}")))
        });
        format!(
            "const response = await fetch(`${{process.env.CLAVIGER_URL}}{path}`, {{\n  method: \"{}\",\n  headers: {{ {} }},{}\n}});\n\
             if (!response.ok) throw new Error(await response.text());\nconsole.log(await response.json());",
            self.method.to_uppercase(),
            headers.join(", "),
            body.unwrap_or_default(),
        )
    }

    fn python(&self) -> String {
        let path = self.path(|name| format!("{{os.environ['{name}']}}"));
        let mut arguments = vec![format!("f\"{{os.environ['CLAVIGER_URL']}}{path}\"")];
        if !self.is_public {
            arguments.push("headers={\"Authorization\": f\"Bearer {os.environ['CLAVIGER_KEY']}\"}".to_owned());
        }
        if let Some(body) = self.body {
            arguments.push(format!("json={}", python(body)));
        }
        let method = self.method;
        format!(
            "import os\nimport httpx\n\nresponse = httpx.{method}(\n    {},\n)\nresponse.raise_for_status()\nprint(response.json())",
            arguments.join(",\n    ")
        )
    }

    fn rust(&self) -> String {
        let path = self.path(|name| format!("{{{}}}", name.to_lowercase()));
        let mut names = vec!["CLAVIGER_URL".to_owned()];
        let parameters = self.path.split('{').skip(1).filter_map(|part| part.split_once('}'));
        names.extend(parameters.map(|(name, _)| name.to_uppercase()));
        if !self.is_public {
            names.push("CLAVIGER_KEY".to_owned());
        }
        let variables = names.iter().map(|name| format!("let {} = std::env::var(\"{name}\")?;\n", name.to_lowercase()));
        let variables = variables.collect::<Vec<_>>().concat();
        let mut calls = vec![format!(".{}(format!(\"{{claviger_url}}{path}\"))", self.method)];
        if !self.is_public {
            calls.push(".bearer_auth(claviger_key)".to_owned());
        }
        if let Some(body) = self.body {
            let body = with_wide_numbers(&format!("{body:#}"));
            calls.push(format!(".json(&serde_json::json!({}))", indented(&indented(&body))));
        }
        format!(
            "{variables}let response = reqwest::Client::new()\n    {}\n    .send()\n    .await?\n    .error_for_status()?;\n\
             println!(\"{{}}\", response.text().await?);",
            calls.join("\n    ")
        )
    }
}

/// The text with all lines but the first indented by two spaces more.
fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// JSON with one value on each line, in which numbers beyond 32 bits have a suffix: without one, `json!` does not accept them.
fn with_wide_numbers(json: &str) -> String {
    let line = |line: &str| {
        let (text, comma) = line.strip_suffix(',').map_or((line, ""), |text| (text, ","));
        let number = text.rsplit(' ').next().and_then(|number| number.parse::<i64>().ok());
        let suffix = number.filter(|number| i32::try_from(*number).is_err()).map_or("", |_| "_i64");
        format!("{text}{suffix}{comma}")
    };
    json.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as a Python literal.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members =
                members.iter().map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), python(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        // The strings and numbers of JSON are literals of Python, too.
        other => other.to_string(),
    }
}
