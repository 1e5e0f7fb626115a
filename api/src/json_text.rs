//! Writing JSON piece by piece, for the answers that are given most. A general serializer looks at every byte of every
//! member's name; here the names are written as they stand in the source.

use chrono::SecondsFormat;
use domain::clock::Timestamp;
use uuid::{Uuid, fmt::Hyphenated};

use crate::time::{Millis, utc};

/// A JSON text that is being written. That the pieces make a document is for who writes them to see to, and to test.
#[derive(Debug)]
pub struct JsonText(Vec<u8>);

impl Default for JsonText {
    fn default() -> Self {
        Self(Vec::with_capacity(1_024))
    }
}

impl JsonText {
    /// The text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The same object with one member more, whose value is JSON as it stands.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: &str) -> Self {
        assert_eq!(self.0.pop(), Some(b'}'), "an object that is whole");
        self.raw(",\"").raw(name).raw("\":").raw(value).raw("}");
        self
    }

    /// A piece that is JSON as it stands.
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> &mut Self {
        if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            serde_json::to_writer(&mut self.0, text).expect("a string is JSON");
            return self;
        }
        self.raw("\"").raw(text).raw("\"")
    }

    /// True or false.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// A whole number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    /// An identifier.
    pub fn id(&mut self, id: Uuid) -> &mut Self {
        self.raw("\"").raw(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH])).raw("\"")
    }

    /// A moment with milliseconds.
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

    /// What there may be; else `null`.
    pub fn nullable<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => {
                self.raw("null");
            }
        }
        self
    }

    /// Pieces with commas between them.
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
    use super::*;

    #[test]
    fn strings_are_escaped() {
        for text in ["", "plain", "ü \u{1f511}", "\"", "\\", "\u{0}\n\u{1f}\u{7f}"] {
            let mut json = JsonText::default();
            json.string(text);
            assert_eq!(serde_json::from_slice::<String>(&json.into_bytes()).expect("JSON"), text);
        }
    }
}
