//! Verify as services ask it: the credential in one header, the caller remembered and good, the body in its plainest form.
//! Such a request is answered here, without routing, extraction and a line in the log; it is counted instead. Any other
//! request is given on untouched to the operation that the document describes, which knows all rules and all refusals.
//!
//! What is answered here is what the operation would answer: they share the decision and the writing of the answer, and
//! tests send the same requests both ways.

use std::{borrow::Cow, fmt, marker::PhantomData, net::IpAddr, sync::Arc, time::Duration};

use domain::{
    id::OrganizationId,
    keys::Question,
    permission::{Permission, PermissionSet},
    verdict::Verdict,
};
use http_body_util::{BodyDataStream, BodyExt};
use hyper::body::{Bytes, Incoming};
use poem::http::{
    self, HeaderMap, HeaderValue, Method, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use prometheus::{Histogram, IntCounter};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    address::ClientAddress,
    body,
    body_budget::{BodyBudget, Held, UNCOUNTED},
    credentials::in_one_header,
    failure::Failure,
    gate::Gate,
    json_text::JsonText,
    metrics::Metrics,
    refused::Witness,
    verifier::Verifier,
};

/// How a contract asks for verify.
pub struct HotVerify {
    /// Where.
    pub path: &'static str,
    /// The operation at this path.
    pub operation: &'static str,
    /// Reads a body in its plainest form. `None`: it is not, and may be wrong.
    pub read: fn(&[u8]) -> Option<Asked<'_>>,
    /// Writes the answer.
    pub write: fn(&Verdict) -> JsonText,
}

/// What a use costs where nothing is said about it.
pub const USUAL_COST: u64 = 1;

/// What is asked about a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Its text.
    pub key: Cow<'a, str>,
    /// What it must hold.
    pub permissions: PermissionSet,
    /// Which organization it must belong to.
    pub organization: Option<OrganizationId>,
    /// From where it is used.
    pub from: Option<IpAddr>,
    /// What the use costs.
    pub cost: u64,
}

impl Asked<'_> {
    /// As the domain asks.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        Question {
            text: &self.key,
            permissions: &self.permissions,
            organization: self.organization,
            from: self.from,
            cost: self.cost,
        }
    }
}

/// The short way to an answer.
pub struct Hot {
    gate: Arc<Gate>,
    bodies: Arc<BodyBudget>,
    ways: Vec<Way>,
}

/// The short way of one contract.
pub struct Way {
    verify: HotVerify,
    verifier: Arc<Verifier>,
    answers: IntCounter,
    seconds: Histogram,
}

impl Way {
    /// Where it begins.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.verify.path
    }

    /// The operation that it stands for.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.verify.operation
    }

    /// Counts an answer that was made here.
    pub fn count(&self, took: Duration) {
        self.answers.inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

/// What came of trying the short way.
pub enum Answered {
    /// The answer: 200, JSON.
    Here(Vec<u8>),
    /// The request, with its body as far as it was read.
    NotHere(Box<Parts>, Unanswered),
}

/// The body of a request that was not answered here.
pub enum Unanswered {
    /// Not read.
    Unread(Incoming),
    /// Read to its end, and what it takes of the budget.
    Read(Bytes, Option<Arc<Held>>),
}

impl Hot {
    /// The short ways of these contracts.
    #[must_use]
    pub fn new(
        gate: Arc<Gate>,
        bodies: Arc<BodyBudget>,
        metrics: &Metrics,
        contracts: Vec<(HotVerify, Arc<Verifier>)>,
    ) -> Self {
        let way = |(verify, verifier): (HotVerify, _)| Way {
            answers: metrics.answered(verify.operation, 200),
            seconds: metrics.seconds(verify.operation),
            verify,
            verifier,
        };
        Self { gate, bodies, ways: contracts.into_iter().map(way).collect() }
    }

    /// The way that a request may take. What asks for something in its query is not plain.
    #[must_use]
    pub fn way(&self, method: &Method, uri: &Uri) -> Option<&Way> {
        let is_plain = method == Method::POST && uri.query().is_none();
        self.ways.iter().find(|way| way.verify.path == uri.path()).filter(|_| is_plain)
    }

    /// Answers a verify in its plain form.
    ///
    /// # Errors
    /// The database is away, or the client.
    pub async fn answer(
        &self,
        way: &Way,
        request: http::Request<Incoming>,
        address: ClientAddress,
    ) -> Result<Answered, Failure> {
        let (parts, body) = request.into_parts();
        let caller = in_one_header(&parts.headers).and_then(|text| self.gate.recognize(text, address));
        let caller = caller.filter(|caller| caller.allows(&Permission::API_KEYS_VERIFY));
        let Some((caller, length)) = caller.zip(plain_length(&parts.headers)) else {
            return Ok(Answered::NotHere(Box::new(parts), Unanswered::Unread(body)));
        };
        let (body, held) = if length <= UNCOUNTED {
            (body.collect().await.map_err(|_| body::ended_early())?.to_bytes(), None)
        } else {
            let witness = Witness::default();
            witness.saw(&caller);
            let held = Arc::new(self.bodies.hold(address, witness));
            // Boxed, because most bodies are smaller and would copy it around with them.
            let read = Box::pin(body::bounded(BodyDataStream::new(body), body::LIMIT, Some(&held))).await?;
            (read.into(), Some(held))
        };
        let in_reach = |asked: &Asked<'_>| asked.organization.is_none_or(|organization| caller.sees(organization));
        let Some(asked) = (way.verify.read)(&body).filter(in_reach) else {
            return Ok(Answered::NotHere(Box::new(parts), Unanswered::Read(body, held)));
        };
        let verdict = way.verifier.verify(&caller, asked.question()).await?;
        Ok(Answered::Here((way.verify.write)(&verdict).into_bytes()))
    }
}

/// The length of a body that is declared as JSON, whole and not too large.
fn plain_length(headers: &HeaderMap) -> Option<usize> {
    let header = |name| headers.get(name).map(HeaderValue::as_bytes);
    let length = header(CONTENT_LENGTH).and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    let is_json = header(CONTENT_TYPE).is_none_or(|value| value.eq_ignore_ascii_case(b"application/json"));
    length.filter(|length| *length <= body::LIMIT && is_json)
}

/// Whether a text has only characters that a key has, so that no reader can see anything else in it.
#[must_use]
pub fn is_plain_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A `T` that is written as an object; a derived reader would take an array of its members as well.
pub struct Plain<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Plain<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Plain)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

/// Resource → actions, as written.
#[derive(Default)]
pub struct PlainMap<'a>(pub Vec<(&'a str, Vec<&'a str>)>);

impl<'de: 'a, 'a> Deserialize<'de> for PlainMap<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = PlainMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<&str, Vec<&str>>()? {
                    let is_double = entries.iter().any(|(name, _)| *name == entry.0);
                    if is_double || entries.len() == PermissionSet::MAX {
                        return Err(A::Error::custom("not plain"));
                    }
                    entries.push(entry);
                }
                Ok(PlainMap(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// What is known about who shows the key.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainContext<'a> {
    #[serde(borrow)]
    ip: Option<&'a str>,
}

impl PlainContext<'_> {
    /// What is written.
    #[must_use]
    pub fn ip(&self) -> Option<&str> {
        self.ip
    }

    /// The address. `None`: it is none.
    #[must_use]
    pub fn from(context: Option<&Plain<Self>>) -> Option<Option<IpAddr>> {
        context.and_then(|context| context.0.ip).map(str::parse).transpose().ok()
    }
}
