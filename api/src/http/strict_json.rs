//! Reads JSON strictly, and reports all wrong fields at once.

mod document;

pub(crate) use self::document::document;
pub use self::document::{Field, Part};

use std::{cell::Cell, collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use domain::{change::Change, keys::quota::MAX_INTEGER};

use crate::http::api_error::{ApiError, Fields};

/// Parses a JSON document that takes at most 2 MiB of memory.
///
/// # Errors
/// As [`check`].
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    check(bytes, MAX_PARSE_MEMORY)?.parse()
}

/// The maximum memory of a document for [`parse`], in bytes.
const MAX_PARSE_MEMORY: usize = 2 * 1024 * 1024;

/// Checks a JSON document (RFC 8259) without storing it. `memory`: the approximate maximum memory of the parsed document, in
/// bytes.
///
/// # Errors
/// [`ApiError::MalformedBody`] for invalid JSON or UTF-8, data after the document, an object with a duplicate member (which
/// parsers treat differently), and a document that would take more memory.
pub fn check(bytes: &[u8], memory: usize) -> Result<Checked<'_>, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(&"it is not UTF-8"))?;
    // serde_json uses a member with this name for numbers of arbitrary precision; an object that has it would become a number.
    if text.contains("$serde_json::private::") {
        return Err(malformed(&"an object has a member that cannot be stored"));
    }
    let remaining = Cell::new(memory);
    let checked = Check(&remaining).deserialize(&mut serde_json::Deserializer::from_str(text));
    if remaining.get() == 0 {
        return Err(ApiError::MalformedBody("The body contains too many values; send fewer at once".to_owned()));
    }
    checked.map_err(|error| malformed(&error))?;
    Ok(Checked { text, memory: memory - remaining.get() })
}

fn malformed(error: &dyn fmt::Display) -> ApiError {
    ApiError::MalformedBody(format!("The body is not valid JSON: {error}"))
}

/// A valid JSON document that was not parsed yet.
#[derive(Debug)]
pub struct Checked<'a> {
    text: &'a str,
    memory: usize,
}

impl Checked<'_> {
    /// The approximate memory of the parsed document, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Parses the document.
    ///
    /// # Errors
    /// [`ApiError::MalformedBody`] if the parser has a limit that [`check`] does not have.
    pub fn parse(self) -> Result<Value, ApiError> {
        serde_json::from_str(self.text).map_err(|error| malformed(&error))
    }
}

/// The memory of a value in an array, in bytes: arrays grow by doubling.
const VALUE_BYTES: usize = 2 * size_of::<Value>();

/// The memory of a member of an object, in bytes: its value, its name, its hash and its index in the table; objects grow by
/// doubling.
const MEMBER_BYTES: usize = 2 * (size_of::<Value>() + size_of::<String>() + 2 * size_of::<usize>());

/// The number of members that memory is allocated for with the first member of an object.
const INITIAL_MEMBERS: usize = 4;

/// The memory of a string in addition to its length, in bytes.
const STRING_BYTES: usize = 16;

/// `serde_json` passes a number of arbitrary precision as an object with this member. [`check`] rejects documents that contain it.
const NUMBER_MEMBER: &str = "$serde_json::private::Number";

/// Visits a document, rejects duplicate members, and subtracts the memory of each value from the remaining memory.
struct Check<'a>(&'a Cell<usize>);

impl Check<'_> {
    /// Subtracts `bytes`. An error if no memory remains.
    fn take<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        self.0.set(self.0.get().saturating_sub(bytes));
        if self.0.get() == 0 { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.take(VALUE_BYTES)?;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER_MEMBER {
                return self.take(STRING_BYTES + map.next_value::<String>()?.len());
            }
            if names.contains(&name) {
                return Err(A::Error::custom("an object has a duplicate member"));
            }
            let room = if names.is_empty() { INITIAL_MEMBERS * MEMBER_BYTES } else { MEMBER_BYTES };
            self.take(room + STRING_BYTES + name.len())?;
            names.insert(name);
            map.next_value_seed(Self(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.take(VALUE_BYTES)?;
        while seq.next_element_seed(Self(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.take(VALUE_BYTES)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.take(VALUE_BYTES + STRING_BYTES)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.take(VALUE_BYTES + STRING_BYTES)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.take(VALUE_BYTES + STRING_BYTES)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(VALUE_BYTES + STRING_BYTES + text.len())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(VALUE_BYTES)
    }
}

/// The message for a missing field.
pub const REQUIRED: &str = "is required";

/// The fields of a JSON object. They are taken one by one with their documented types; errors are collected.
#[derive(Debug)]
pub struct JsonFields {
    remaining: Map<String, Value>,
    wrong: Fields,
}

impl JsonFields {
    /// The fields of a document.
    ///
    /// # Errors
    /// [`ApiError::MalformedBody`] if it is not an object.
    pub fn of(document: Value) -> Result<Self, ApiError> {
        match document {
            Value::Object(remaining) => Ok(Self { remaining, wrong: Fields::default() }),
            _ => Err(ApiError::MalformedBody("The body must be a JSON object".to_owned())),
        }
    }

    /// The fields that were not taken, for a contract that does not read strictly.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.remaining
    }

    /// Takes a required field. `None`: it is missing or has another type, which is recorded.
    pub fn required<T: FromJson>(&mut self, name: &str) -> Option<T> {
        let value = self.remaining.remove(name);
        if value.is_none() {
            self.wrong.add(name, REQUIRED);
        }
        self.typed(name, value?)
    }

    /// Reads a document whose only field is an array of 1 to `max` objects, each with `read`. `what` names the items in the
    /// message.
    ///
    /// # Errors
    /// [`ApiError::Invalid`], or the first error of `read`, with its fields prefixed like `keys[3].name`.
    pub fn finish_with_list<T>(
        mut self,
        name: &str,
        max: usize,
        what: &str,
        read: impl Fn(Self) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let items: Option<Vec<Map<String, Value>>> = self.required(name);
        self.finish_strictly()?;
        let items = items.unwrap_or_default();
        require_length(name, items.len(), max, what)?;
        each_object(name, items, read)
    }

    /// Takes an optional field. `None`: it is absent, `null`, or has another type, which is recorded.
    pub fn optional<T: FromJson>(&mut self, name: &str) -> Option<T> {
        match self.remaining.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.typed(name, value),
        }
    }

    /// Takes a field of an update: if it is absent, the setting is unchanged; `null` clears it.
    pub fn change<T: FromJson>(&mut self, name: &str) -> Change<T> {
        match self.remaining.remove(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => self.typed(name, value).map_or(Change::Keep, Change::Set),
        }
    }

    /// Takes a required field that is an object, read with `read`. `None`: it is missing or invalid, which is recorded, with the
    /// names of its fields as `name.field`.
    pub fn required_object<T>(&mut self, name: &str, read: impl FnOnce(Self) -> Result<T, ApiError>) -> Option<T> {
        let object = self.required(name);
        self.object(name, object?, read)
    }

    /// As [`JsonFields::required_object`], for a field that may be absent or `null`.
    pub fn optional_object<T>(&mut self, name: &str, read: impl FnOnce(Self) -> Result<T, ApiError>) -> Option<T> {
        let object = self.optional(name);
        self.object(name, object?, read)
    }

    /// As [`JsonFields::change`], for a field that is an object, read with `read`.
    pub fn change_object<T>(&mut self, name: &str, read: impl FnOnce(Self) -> Result<T, ApiError>) -> Change<T> {
        match self.change(name) {
            Change::Keep => Change::Keep,
            Change::Clear => Change::Clear,
            Change::Set(object) => Change::set_or_keep(self.object(name, object, read)),
        }
    }

    /// Takes a field that is an array of objects, each read with `read`, or absent or `null`. `None`: it is absent, `null`, or
    /// invalid, which is recorded.
    pub fn optional_objects<T>(&mut self, name: &str, read: impl Fn(Self) -> Result<T, ApiError>) -> Option<Vec<T>> {
        let objects: Vec<Map<String, Value>> = self.optional(name)?;
        let objects = each_object(name, objects, read);
        self.record(name, objects)
    }

    fn object<T>(
        &mut self,
        name: &str,
        remaining: Map<String, Value>,
        read: impl FnOnce(Self) -> Result<T, ApiError>,
    ) -> Option<T> {
        let object = read(Self { remaining, wrong: Fields::default() }).map_err(|error| error.within(name));
        self.record(name, object)
    }

    /// The value of a field. `None`: it is invalid, which is recorded.
    fn record<T>(&mut self, name: &str, value: Result<T, ApiError>) -> Option<T> {
        match value {
            Ok(value) => return Some(value),
            Err(ApiError::Invalid(fields)) => fields.iter().for_each(|(name, wrong)| self.wrong.add(name, wrong)),
            Err(_) => self.wrong.add(name, "is invalid"),
        }
        None
    }

    /// Takes a field of an update that cannot be empty. `None`: it is absent, so the setting is unchanged; or it is `null` or has
    /// another type, which is recorded.
    pub fn replacement<T: FromJson>(&mut self, name: &str) -> Option<T> {
        match self.remaining.remove(name)? {
            Value::Null => {
                self.wrong.add(name, "must not be null; leave it out to keep its value");
                None
            }
            value => self.typed(name, value),
        }
    }

    fn typed<T: FromJson>(&mut self, name: &str, value: Value) -> Option<T> {
        let typed = T::from_json(value);
        if typed.is_none() {
            self.wrong.add(name, format_args!("must be {}", T::EXPECTED));
        }
        typed
    }

    /// Reports the recorded errors; fields that were not taken are ignored.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn finish(self) -> Result<(), ApiError> {
        self.wrong.into_result()
    }

    /// Reports the recorded errors, and unknown fields as errors: a misspelled limit must not create a key without limits.
    ///
    /// # Errors
    /// [`ApiError::Invalid`].
    pub fn finish_strictly(mut self) -> Result<(), ApiError> {
        for name in self.remaining.keys() {
            self.wrong.add(name, "is not a known field");
        }
        self.wrong.into_result()
    }
}

/// Requires that an array has 1 to `max` items. `what` names the items in the message.
///
/// # Errors
/// [`ApiError::Invalid`].
pub fn require_length(name: &str, length: usize, max: usize, what: &str) -> Result<(), ApiError> {
    if (1..=max).contains(&length) {
        Ok(())
    } else {
        Err(ApiError::Invalid(Fields::one(name, format_args!("must contain 1 to {max} {what}"))))
    }
}

/// Reads each object of an array.
///
/// # Errors
/// The first error of `read`, with its fields prefixed like `keys[3].name`.
pub fn each_object<T>(
    name: &str,
    items: Vec<Map<String, Value>>,
    read: impl Fn(JsonFields) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    each(name, items, |item| JsonFields::of(Value::Object(item)).and_then(&read))
}

/// Applies `work` to each item of an array.
///
/// # Errors
/// The first error of `work`, with its fields prefixed like `keys[3].name`.
pub fn each<T, U>(
    name: &str,
    items: Vec<T>,
    mut work: impl FnMut(T) -> Result<U, ApiError>,
) -> Result<Vec<U>, ApiError> {
    let items = items.into_iter().enumerate();
    items.map(|(n, item)| work(item).map_err(|failure| failure.within(&format!("{name}[{n}]")))).collect()
}

/// A type that is read from a JSON value, without coercion.
pub trait FromJson: Sized {
    /// The end of the message "must be …".
    const EXPECTED: &'static str;

    /// The value, if it has the type.
    fn from_json(value: Value) -> Option<Self>;
}

impl FromJson for String {
    const EXPECTED: &'static str = "a string";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_json(value: Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromJson for u64 {
    const EXPECTED: &'static str = "a whole number from 0 to 9007199254740991";

    fn from_json(value: Value) -> Option<Self> {
        value.as_u64().filter(|number| *number <= MAX_INTEGER)
    }
}

impl FromJson for Vec<String> {
    const EXPECTED: &'static str = "an array of strings";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(String::from_json).collect(),
            _ => None,
        }
    }
}

impl FromJson for Map<String, Value> {
    const EXPECTED: &'static str = "an object";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
}

impl FromJson for Vec<Map<String, Value>> {
    const EXPECTED: &'static str = "an array of objects";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(Map::from_json).collect(),
            _ => None,
        }
    }
}

/// Parses an object that was stored. Text that [`parse`] has accepted is read unchanged; invalid text is an empty object.
#[must_use]
pub fn stored_object(text: &str) -> Map<String, Value> {
    Map::deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_json_documents_are_refused() {
        for text in [
            "",
            "{",
            "{} {}",
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
            r#""\ud800""#,
            "NaN",
            "{'a':1}",
            "[1,]",
            r#"{"a":{"$serde_json::private::Number":"5"}}"#,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "invalid UTF-8");
        assert!(parse("[".repeat(1000).as_bytes()).is_err(), "nested too deeply");
    }

    #[test]
    fn the_memory_of_a_parsed_document_is_bounded() {
        let many = |value: &str| format!("[{}0]", format!("{value},").repeat(40_000));
        for value in ["{}", "[]", "0", "\"\"", "null", r#"{"":0}"#, "[[[]]]", "1e5"] {
            let refused = check(many(value).as_bytes(), 2 * 1024 * 1024).expect_err(value);
            assert!(
                matches!(&refused, ApiError::MalformedBody(text) if text.contains("too many values")),
                "{refused:?}"
            );
        }
        let long = format!("[\"{}\"]", "x".repeat(1_000_000));
        let checked = check(long.as_bytes(), 2 * 1024 * 1024).expect("one long text");
        assert!((1_000_000..1_001_000).contains(&checked.memory()), "{}", checked.memory());
        // The key with the most values that fit into one body of 64 KiB.
        let permissions: Vec<String> = (0..1_000).map(|n| format!("resource{n}:action")).collect();
        let metadata: Map<String, Value> = (0..500).map(|n| (format!("k{n}"), Value::from(n))).collect();
        let wide = serde_json::json!({"name": "n", "permissions": permissions, "metadata": metadata}).to_string();
        assert!(wide.len() < 64 * 1024 && check(wide.as_bytes(), 2 * 1024 * 1024).is_ok());
    }

    #[test]
    fn valid_json_documents_are_read_unchanged() {
        let text = r#"{"z":1,"a":{"n":123456789012345678901234567890,"f":1.10,"e":1e+400},"s":"\u0000ü"}"#;
        let document = parse(text.as_bytes()).expect("valid");
        assert_eq!(document.to_string(), text);
        assert_eq!(Value::Object(stored_object(text)).to_string(), text);
    }

    #[test]
    fn every_invalid_field_is_reported() {
        let mut members = JsonFields::of(serde_json::json!({"a": 1, "b": "x", "d": 1})).expect("an object");
        assert_eq!(members.required::<String>("a"), None);
        assert_eq!(members.optional::<String>("b"), Some("x".to_owned()));
        assert_eq!(members.required::<Vec<String>>("c"), None);
        let Err(ApiError::Invalid(wrong)) = members.finish_strictly() else { panic!("three fields are wrong") };
        assert_eq!(
            wrong.iter().collect::<Vec<_>>(),
            [("a", "must be a string"), ("c", "is required"), ("d", "is not a known field")]
        );
    }
}
