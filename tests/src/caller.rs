//! Somebody who sends requests.

use std::sync::OnceLock;

use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;

/// The three documented ways to show a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    Header,
    /// The cookie `apiKeyCookie`.
    Cookie,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bearer, Self::Header, Self::Cookie];
}

/// A client with the headers that it sends with every request.
#[derive(Clone)]
pub struct Caller {
    base: String,
    headers: Vec<(String, String)>,
    client: Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    /// A header's text; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// What a browser sends back of the cookie that was set: `name=value`.
    #[must_use]
    pub fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap_or_default()
    }

    /// The names of the fields that a refusal complains about.
    #[must_use]
    pub fn wrong_fields(&self) -> Vec<String> {
        self.json()["fields"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    /// The body without the request id, for comparing two failures.
    #[must_use]
    pub fn failure(&self) -> Value {
        let mut body = self.json();
        if let Some(body) = body.as_object_mut() {
            assert!(body.remove("request_id").is_some(), "a failure names its request: {}", self.text);
        }
        body
    }
}

impl Caller {
    /// A caller without a credential.
    #[must_use]
    pub fn anyone(base: String) -> Self {
        static CLIENT: OnceLock<Client> = OnceLock::new();
        // No pool: connections belong to the runtime of one test.
        let client = CLIENT.get_or_init(|| Client::builder().pool_max_idle_per_host(0).build().expect("a client"));
        Self { base, headers: Vec::new(), client: client.clone() }
    }

    /// The same caller, with connections of its own that it keeps.
    #[must_use]
    pub fn keeping_connections(&self) -> Self {
        Self { client: Client::new(), ..self.clone() }
    }

    /// The same caller, asking another service.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same caller, sending one header more.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name.to_owned(), value.to_owned()));
        caller
    }

    /// The same caller without this header.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.retain(|(own, _)| own != name);
        caller
    }

    /// The same caller with a key as a bearer token.
    #[must_use]
    pub fn with_bearer(&self, key: &str) -> Self {
        self.with_key(Scheme::Bearer, key)
    }

    /// The same caller with a key, shown in one of the three ways.
    #[must_use]
    pub fn with_key(&self, scheme: Scheme, key: &str) -> Self {
        match scheme {
            Scheme::Bearer => self.with("authorization", &format!("Bearer {key}")),
            Scheme::Header => self.with("x-api-key", key),
            Scheme::Cookie => self.with("cookie", &format!("apiKeyCookie={key}")),
        }
    }

    /// The key that it sends as a bearer token.
    #[must_use]
    pub fn bearer(&self) -> &str {
        let header = self.headers.iter().find(|(name, _)| name == "authorization");
        header.and_then(|(_, value)| value.strip_prefix("Bearer ")).expect("a bearer token")
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// POST of a JSON document.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_json("POST", path, body).await
    }

    /// PATCH with a JSON document.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send_json("PATCH", path, body).await
    }

    /// PUT of a JSON document.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send_json("PUT", path, body).await
    }

    async fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send(method, path, Some(body.to_string().into_bytes())).await
    }

    /// Any request, with the body as it is.
    pub async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// Any request; fails where the connection does.
    pub async fn try_send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> reqwest::Result<Answer> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }
}
