//! Writes the JSON of the most frequent responses without a serializer. A serializer checks every byte of the member names for
//! characters to escape; here the names are literals that are copied.

use chrono::SecondsFormat;
use domain::clock::Timestamp;
use uuid::{Uuid, fmt::Hyphenated};

use crate::http::rfc3339::{Millis, utc};

/// JSON text that is being written. The caller has to write a valid document, and to test that.
#[derive(Debug)]
pub struct JsonText(Vec<u8>);

impl Default for JsonText {
    fn default() -> Self {
        Self(Vec::with_capacity(1_024))
    }
}

impl JsonText {
    /// The text as UTF-8.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds a member to the end of an object that is complete and not empty. `value` is JSON; `name` needs no escapes.
    ///
    /// # Panics
    /// The text does not end with `}`.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: &str) -> Self {
        assert_eq!(self.0.pop(), Some(b'}'), "an object that is whole");
        self.raw(",\"").raw(name).raw("\":").raw(value).raw("}");
        self
    }

    /// Appends text that is JSON already.
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a string, with escapes.
    pub fn string(&mut self, text: &str) -> &mut Self {
        if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            serde_json::to_writer(&mut self.0, text).expect("a string is JSON");
            return self;
        }
        self.raw("\"").raw(text).raw("\"")
    }

    /// Appends `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// Appends an integer.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    /// Appends a UUID as a string.
    pub fn id(&mut self, id: Uuid) -> &mut Self {
        self.raw("\"").raw(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH])).raw("\"")
    }

    /// Appends a time as RFC 3339 in UTC with milliseconds.
    pub fn millis(&mut self, timestamp: Timestamp) -> &mut Self {
        match Millis(timestamp).digits() {
            Some(digits) => {
                self.raw("\"");
                self.0.extend_from_slice(&digits);
                self.raw("\"")
            }
            None => self.string(&utc(timestamp).to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }

    /// Appends a value with `write`; `null` for `None`.
    pub fn nullable<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.raw("null");
            }
        }
        self
    }

    /// Appends values with `write`, separated by commas. The caller writes the brackets.
    pub fn list<T>(&mut self, values: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) -> &mut Self {
        for (n, value) in values.into_iter().enumerate() {
            if n > 0 {
                self.raw(",");
            }
            write(self, value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::verifier::samples;

    fn written(write: impl FnOnce(&mut JsonText)) -> String {
        let mut json = JsonText::default();
        write(&mut json);
        String::from_utf8(json.into_bytes()).expect("UTF-8")
    }

    fn by_serde(value: impl serde::Serialize) -> String {
        serde_json::to_string(&value).expect("JSON")
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in samples::text()) {
            prop_assert_eq!(written(|json| { json.string(&text); }), by_serde(&text));
        }

        #[test]
        fn values_are_written_as_serde_json_writes_them(
            number: u64,
            boolean: bool,
            id: u128,
            millis: i64,
            strings in vec(samples::text(), 0..4),
            optional in option::of(any::<u64>()),
        ) {
            let (id, time) = (Uuid::from_u128(id), Timestamp::from_millis(millis));
            prop_assert_eq!(written(|json| { json.number(number); }), by_serde(number));
            prop_assert_eq!(written(|json| { json.boolean(boolean); }), by_serde(boolean));
            prop_assert_eq!(written(|json| { json.id(id); }), by_serde(id.to_string()));
            prop_assert_eq!(written(|json| { json.millis(time); }), Millis(time).to_json_string());
            let list = written(|json| {
                json.raw("[").list(&strings, |json, text| { json.string(text); }).raw("]");
            });
            prop_assert_eq!(list, by_serde(&strings));
            let nullable = written(|json| { json.nullable(optional, |json, number| { json.number(number); }); });
            prop_assert_eq!(nullable, by_serde(optional));
        }

        #[test]
        fn a_member_is_added_to_an_object(text in samples::text(), value in samples::json()) {
            let mut json = JsonText::default();
            json.raw(r#"{"a":"#).string(&text).raw("}");
            let json = String::from_utf8(json.with_member("b", &value.to_string()).into_bytes()).expect("UTF-8");
            prop_assert_eq!(json, serde_json::json!({"a": text, "b": value}).to_string());
        }
    }
}
