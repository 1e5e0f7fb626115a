//! Enum schemas of the OpenAPI document for codes of the domain, generated from the lists in the domain.

use std::{borrow::Cow, marker::PhantomData};

use domain::{
    audit::{EventOutcome, context::Action, reason::AuditReason},
    deny_reason::{DenyCode, DenyReason},
    keys::{policy::KeyRule, usage::RankBy},
    permissions::Permission,
    usage::Outcomes,
};
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::http::openapi_types::{ParameterSchema, value_type};

/// A list of codes that has an enum schema in the OpenAPI document.
pub trait CodeList {
    /// The name of the schema in the document.
    const NAME: &'static str;
    /// The description of the schema.
    const DESCRIPTION: &'static str;

    /// All codes, in the order of the schema.
    fn codes() -> Vec<Cow<'static, str>>;
}

/// A code of the list `L`. It is stored as text, because a newer version may have stored a code that this version does not know.
#[derive(Clone, Debug)]
pub struct Code<L> {
    text: Cow<'static, str>,
    list: PhantomData<fn() -> L>,
}

impl<L> Code<L> {
    /// The code with this text.
    #[must_use]
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), list: PhantomData }
    }
}

value_type!([L: CodeList] Code<L>, L::NAME, MetaSchemaRef::Reference(L::NAME.to_owned()), |registry| {
    registry.create_schema::<Self, _>(L::NAME.to_owned(), |_| schema::<L>());
});

fn schema<L: CodeList>() -> MetaSchema {
    MetaSchema {
        description: Some(L::DESCRIPTION),
        enum_items: L::codes().iter().map(|code| code.as_ref().into()).collect(),
        ..MetaSchema::new("string")
    }
}

impl<L: CodeList> ToJSON for Code<L> {
    fn to_json(&self) -> Option<Value> {
        Some(self.text.as_ref().into())
    }
}

impl<L: CodeList> ParseFromJSON for Code<L> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        String::parse_from_json(value).map(Self::new).map_err(ParseError::propagate)
    }
}

/// The schema of a parameter that is a code of the list `L`.
#[derive(Debug)]
pub struct OneOf<L>(PhantomData<fn() -> L>);

impl<L: CodeList> ParameterSchema for OneOf<L> {
    fn schema() -> MetaSchema {
        schema::<L>()
    }

    fn schema_ref() -> MetaSchemaRef {
        Code::<L>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Code::<L>::register(registry);
    }
}

impl CodeList for Action {
    const NAME: &'static str = "AuditAction";
    const DESCRIPTION: &'static str = "What was done: the kind of the target, and the operation.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

impl CodeList for EventOutcome {
    const NAME: &'static str = "AuditOutcome";
    const DESCRIPTION: &'static str = "Result of the action. `done`: it was done. `refused`: it was denied. `alarm`: a sign of \
        misuse that an administrator should investigate.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

impl CodeList for AuditReason {
    const NAME: &'static str = "AuditReason";
    const DESCRIPTION: &'static str = "Why an action was denied: for a request, the `ErrorReason` of its response; for a key that was rejected as a \
        credential, the `DenyCode` in lower case. `not_exchangeable`: in events of earlier versions, one of the reasons why a \
        credential cannot be exchanged for a session or token. `others`: the event counts further events, with different \
        reasons and targets. Later versions may add reasons.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

impl CodeList for DenyCode {
    const NAME: &'static str = "DenyCode";
    const DESCRIPTION: &'static str = "Why a key is invalid: the first that applies, in this order.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

impl CodeList for KeyRule {
    const NAME: &'static str = "KeyRule";
    const DESCRIPTION: &'static str = "A rule of a key policy: the name of its field. Later versions may add rules.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

/// The codes of verify: [`Self::VALID`], or why the key is invalid.
#[derive(Debug)]
pub struct VerdictCode;

impl VerdictCode {
    /// The code for a valid key.
    pub const VALID: &'static str = "VALID";
}

impl CodeList for VerdictCode {
    const NAME: &'static str = "VerdictCode";
    const DESCRIPTION: &'static str = "`VALID`, or why the key is invalid: the first that applies, in this order. `INVALID_API_KEY`: it is malformed or \
        unknown, its secret has expired, or the caller has no access to it.";

    fn codes() -> Vec<Cow<'static, str>> {
        [Self::VALID].into_iter().chain(DenyReason::CODES).map(Cow::Borrowed).collect()
    }
}

impl CodeList for Permission {
    const NAME: &'static str = "ServicePermission";
    const DESCRIPTION: &'static str = "A permission of this service. `*` allows everything.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::SERVICE.iter().map(|permission| permission.flat().into()).collect()
    }
}

impl CodeList for RankBy {
    const NAME: &'static str = "UsageGroup";
    const DESCRIPTION: &'static str = "Whose verifications are added up. `api_key`: those of each key. `user`: those of all keys of a \
        user, and those of the organization's own keys together. `external_id`: those of all keys with the same external id, and \
        those without one together.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}

impl CodeList for Outcomes {
    const NAME: &'static str = "UsageOutcome";
    const DESCRIPTION: &'static str = "The outcome of a verification that is counted: `VALID`, or why the key was invalid. `REFUSED`: \
        all outcomes except `VALID`.";

    fn codes() -> Vec<Cow<'static, str>> {
        Self::CODES.map(Cow::Borrowed).to_vec()
    }
}
