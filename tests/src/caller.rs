//! A client of the service, with the credential and the headers that it sends.

use std::sync::OnceLock;

use api::routes::ErrorReason;
use reqwest::{Client, ClientBuilder, Method, header::HeaderMap, redirect::Policy};
use serde_json::Value;

use crate::MAX_WAIT;

/// The three documented ways to send a key.
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

/// A response.
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

    /// The value of a header. Empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The cookie that the response sets, as a browser sends it back: `name=value`.
    #[must_use]
    pub fn cookie(&self) -> &str {
        self.header("set-cookie").split(';').next().unwrap_or_default()
    }

    /// The names of the invalid fields in an error.
    #[must_use]
    pub fn wrong_fields(&self) -> Vec<String> {
        self.json()["fields"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }

    /// Asserts that an error of the native API has a reason whose status is that of the response. Errors of other contracts have
    /// no request id in the body.
    fn assert_reason(&self) {
        let Some(body) = serde_json::from_str::<Value>(&self.text).ok().filter(|_| self.status >= 400) else { return };
        if let Some(reason) = self.headers.get("claviger-deny-reason") {
            // Forward-auth has its own reasons.
            assert_eq!(body["reason"], reason.to_str().expect("text"));
        } else if body.get("request_id").is_some() {
            let reason = ErrorReason::ALL.into_iter().find(|reason| body["reason"] == reason.code());
            assert_eq!(reason.map(|reason| reason.status().as_u16()), Some(self.status), "{}", self.text);
        }
    }

    /// The body of an error without the request id, for comparing two errors.
    #[must_use]
    pub fn failure(&self) -> Value {
        let mut body = self.json();
        if let Some(body) = body.as_object_mut() {
            assert!(body.remove("request_id").is_some(), "an error has its request id: {}", self.text);
        }
        body
    }
}

impl Caller {
    /// A caller without a credential.
    #[must_use]
    pub fn anyone(base: String) -> Self {
        static CLIENT: OnceLock<Client> = OnceLock::new();
        // No pool, because a connection belongs to the runtime of one test.
        let client = CLIENT.get_or_init(|| client(|builder| builder.pool_max_idle_per_host(0)));
        Self { base, headers: Vec::new(), client: client.clone() }
    }

    /// The same caller, with its own connections, which are kept alive.
    #[must_use]
    pub fn keeping_connections(&self) -> Self {
        Self { client: client(|builder| builder), ..self.clone() }
    }

    /// The same caller of another service.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same caller with one more header.
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

    /// The same caller with a key, sent in one of the three ways.
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

    /// Any request with a JSON document.
    pub async fn send_json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.with("content-type", "application/json").send(method, path, Some(body.to_string().into_bytes())).await
    }

    /// Any request, with the body as it is.
    ///
    /// # Panics
    /// The connection fails, or the response is not complete within [`MAX_WAIT`].
    pub async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Answer {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// Any request, with the body as it is.
    ///
    /// # Errors
    /// The connection fails, or the response is not complete within [`MAX_WAIT`].
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
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await?,
        };
        answer.assert_reason();
        Ok(answer)
    }
}

fn client(change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    // Redirects are answers that tests look at.
    change(Client::builder().timeout(MAX_WAIT).redirect(Policy::none())).build().expect("a client")
}
