//! Parameters of lists: text → domain. What is wrong is told by the parameter's name.

use domain::{
    act::Action,
    audit::Outcome,
    clock::Timestamp,
    listing::{By, Holder, MemberName, Order},
    permission::Permission,
    usage::Step,
};
use poem_openapi::registry::MetaSchema;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    failure::Fields,
    json::{self, FromMember},
    time::Moment,
    wire::{Id, ParameterSchema, Unread},
};

/// `true` or `false`.
#[derive(Debug)]
pub(super) struct Flag;

/// A moment (RFC 3339).
#[derive(Debug)]
pub(super) struct Instant;

/// A user, or `none`.
#[derive(Debug)]
pub(super) struct OfUser;

/// What came of what was tried.
#[derive(Debug)]
pub(super) struct OfOutcome;

/// What a point of a series is about.
#[derive(Debug)]
pub(super) struct OfStep;

/// A place in a list that is numbered.
#[derive(Debug)]
pub(super) struct Serial;

/// What a list of keys is ordered by.
#[derive(Debug)]
pub(super) struct Sort;

/// A JSON object with the members that metadata has.
#[derive(Debug)]
pub(super) struct Members;

impl ParameterSchema for Flag {
    fn schema() -> MetaSchema {
        MetaSchema::new("boolean")
    }
}

impl ParameterSchema for Instant {
    fn schema() -> MetaSchema {
        MetaSchema::new_with_format("string", "date-time")
    }
}

impl ParameterSchema for OfOutcome {
    fn schema() -> MetaSchema {
        let codes = OUTCOMES.map(|outcome| Value::from(outcome.code()));
        MetaSchema { enum_items: codes.to_vec(), ..MetaSchema::new("string") }
    }
}

impl ParameterSchema for OfStep {
    fn schema() -> MetaSchema {
        MetaSchema { enum_items: vec!["hour".into(), "day".into()], ..MetaSchema::new("string") }
    }
}

impl ParameterSchema for Serial {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

const OUTCOMES: [Outcome; 3] = [Outcome::Done, Outcome::Refused, Outcome::Alarm];

impl ParameterSchema for OfUser {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

impl ParameterSchema for Members {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

const SORTS: [(&str, By); 5] = [
    ("created_at", By::CreatedAt),
    ("name", By::Name),
    ("last_used_at", By::LastUsedAt),
    ("expires_at", By::ExpiresAt),
    ("request_count", By::RequestCount),
];

impl ParameterSchema for Sort {
    fn schema() -> MetaSchema {
        let both = SORTS.iter().flat_map(|(name, _)| [Value::from(*name), Value::from(format!("-{name}"))]);
        MetaSchema { enum_items: both.collect(), ..MetaSchema::new("string") }
    }
}

/// A parameter that is `true` or `false`; `None` where it is absent or wrong, which is noted.
pub(super) fn flag(fields: &mut Fields, name: &str, text: Option<&Unread<Flag>>) -> Option<bool> {
    match text?.text() {
        "true" => Some(true),
        "false" => Some(false),
        _ => wrong(fields, name, "must be true or false"),
    }
}

pub(super) fn instant(fields: &mut Fields, name: &str, text: Option<&Unread<Instant>>) -> Option<Timestamp> {
    match Moment::from_member(text?.text().into()) {
        Some(Moment(at)) => Some(at),
        None => wrong(fields, name, &format!("must be {}", Moment::EXPECTED)),
    }
}

pub(super) fn holder(fields: &mut Fields, name: &str, text: Option<&Unread<OfUser>>) -> Option<Holder> {
    match text?.text() {
        "none" => Some(Holder::Organization),
        text => match text.parse() {
            Ok(user) => Some(Holder::User(user)),
            Err(_) => wrong(fields, name, "must be the id of a user, or none"),
        },
    }
}

pub(super) fn actions(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Vec<Action>> {
    let actions = Action::matching(text?);
    Some(actions)
        .filter(|actions| !actions.is_empty())
        .or_else(|| wrong(fields, name, "is no word for what can be done"))
}

/// A part of a text, without characters that none has.
pub(super) fn part(fields: &mut Fields, name: &str, text: Option<String>) -> Option<String> {
    let is_plain = |text: &String| !text.chars().any(char::is_control) && text.chars().count() <= 100;
    match text {
        Some(text) if !is_plain(&text) => {
            wrong(fields, name, "must be at most 100 characters, none a control character")
        }
        text => text,
    }
}

pub(super) fn outcome(fields: &mut Fields, name: &str, text: Option<&Unread<OfOutcome>>) -> Option<Outcome> {
    let outcome = Outcome::parse(text?.text());
    outcome.or_else(|| wrong(fields, name, "must be done, refused or alarm"))
}

pub(super) fn step(fields: &mut Fields, name: &str, text: Option<&Unread<OfStep>>) -> Step {
    match text.map(Unread::text) {
        None | Some("hour") => Step::Hour,
        Some("day") => Step::Day,
        Some(_) => wrong(fields, name, "must be hour or day").unwrap_or(Step::Hour),
    }
}

pub(super) fn id(fields: &mut Fields, name: &str, text: Option<&Unread<Id>>) -> Option<Uuid> {
    let id = Uuid::try_parse(text?.text()).ok();
    id.or_else(|| wrong(fields, name, "must be an id"))
}

pub(super) fn permission(fields: &mut Fields, name: &str, text: Option<&str>) -> Option<Permission> {
    text.and_then(|text| fields.check(name, Permission::parse(text)))
}

pub(super) fn order(fields: &mut Fields, name: &str, text: Option<&Unread<Sort>>) -> Order {
    let Some(text) = text else { return Order::default() };
    let (plain, is_descending) = text.text().strip_prefix('-').map_or((text.text(), false), |plain| (plain, true));
    match SORTS.iter().find(|(name, _)| *name == plain) {
        Some((_, by)) => Order { by: *by, is_descending },
        None => wrong(fields, name, "is not one of the orders of this list").unwrap_or_default(),
    }
}

/// Texts, whole numbers, true and false: what is written in one way only, so that equal values are equal texts.
pub(super) fn members(fields: &mut Fields, name: &str, text: Option<&str>) -> Vec<(MemberName, String)> {
    const EXPECTED: &str = "must be a JSON object of 1 to 8 members, each a text, a whole number, true or false, with a name of \
                            A-Z a-z 0-9 _ . -";
    let Some(text) = text else { return Vec::new() };
    let member = |(name, value): (String, Value)| {
        let is_plain = value.is_string() || value.is_boolean() || value.is_i64() || value.is_u64();
        Some((MemberName::parse(&name)?, value.to_string())).filter(|_| is_plain)
    };
    let read = match json::parse(text.as_bytes()) {
        Ok(Value::Object(map)) if (1..=8).contains(&map.len()) => map.into_iter().map(member).collect(),
        _ => None,
    };
    read.or_else(|| wrong(fields, name, EXPECTED)).unwrap_or_default()
}

fn wrong<T>(fields: &mut Fields, name: &str, sentence: &str) -> Option<T> {
    fields.add(name, sentence);
    None
}
