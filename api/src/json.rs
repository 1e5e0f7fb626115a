//! Reading JSON that people wrote: strictly, and telling every wrong field at once.

use std::{cell::Cell, collections::HashSet, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use domain::change::Change;

use crate::failure::{Failure, Fields};

/// Reads one JSON document of a moderate size. For what is refused see [`check`].
pub fn parse(bytes: &[u8]) -> Result<Value, Failure> {
    check(bytes, MODERATE)?.parse()
}

/// The memory that a document may take that is a part of something else.
const MODERATE: usize = 2 * 1024 * 1024;

/// Looks through one JSON document (RFC 8259) without keeping anything of it. Refused: invalid UTF-8, anything after the
/// document, an object that names a member twice, because what it means would depend on who reads it, and a document that
/// would take more than `memory` bytes, about, once it is parsed.
pub fn check(bytes: &[u8], memory: usize) -> Result<Checked<'_>, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(&"it is not UTF-8"))?;
    // By this name the reader tells numbers from objects; an object that has it would not be kept as it is.
    if text.contains("$serde_json::private::") {
        return Err(malformed(&"an object has a member that cannot be kept"));
    }
    let left = Cell::new(memory);
    let checked = Check(&left).deserialize(&mut serde_json::Deserializer::from_str(text));
    if left.get() == 0 {
        return Err(Failure::MalformedBody("The body holds too many values, send fewer at once".to_owned()));
    }
    checked.map_err(|error| malformed(&error))?;
    Ok(Checked { text, memory: memory - left.get() })
}

fn malformed(error: &dyn fmt::Display) -> Failure {
    Failure::MalformedBody(format!("The body is not valid JSON: {error}"))
}

/// A document that may be parsed.
#[derive(Debug)]
pub struct Checked<'a> {
    text: &'a str,
    memory: usize,
}

impl Checked<'_> {
    /// About how many bytes the parsed document takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The document.
    pub fn parse(self) -> Result<Value, Failure> {
        serde_json::from_str(self.text).map_err(|error| malformed(&error))
    }
}

/// What a value takes in a list: lists grow by doubling.
const VALUE: usize = 2 * size_of::<Value>();

/// What a member of an object takes: its value, its name, its hash and its place in the table; objects grow by doubling.
const MEMBER: usize = 2 * (size_of::<Value>() + size_of::<String>() + 2 * size_of::<usize>());

/// The members that an object has room for once it has one.
const FIRST_MEMBERS: usize = 4;

/// What a text takes beyond its bytes.
const TEXT: usize = 16;

/// The reader shows a number, as it is written, as an object with this one member. No object of a document has it.
const NUMBER: &str = "$serde_json::private::Number";

/// Walks through a document, refuses objects that name a member twice, and subtracts what each value takes once it is parsed
/// from what is left.
struct Check<'a>(&'a Cell<usize>);

impl Check<'_> {
    /// Ends the walk where nothing is left.
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
        self.take(VALUE)?;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER {
                return self.take(TEXT + map.next_value::<String>()?.len());
            }
            if names.contains(&name) {
                return Err(A::Error::custom("an object names a member twice"));
            }
            let room = if names.is_empty() { FIRST_MEMBERS * MEMBER } else { MEMBER };
            self.take(room + TEXT + name.len())?;
            names.insert(name);
            map.next_value_seed(Self(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.take(VALUE)?;
        while seq.next_element_seed(Self(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.take(VALUE)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.take(VALUE + TEXT)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.take(VALUE + TEXT)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.take(VALUE + TEXT)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(VALUE + TEXT + text.len())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(VALUE)
    }
}

/// What is wrong with a field that is not there.
pub const REQUIRED: &str = "is required";

/// The members of a JSON object, taken out one by one under their documented types.
#[derive(Debug)]
pub struct Members {
    left: Map<String, Value>,
    wrong: Fields,
}

impl Members {
    /// The members of a document that must be an object.
    pub fn of(document: Value) -> Result<Self, Failure> {
        match document {
            Value::Object(left) => Ok(Self { left, wrong: Fields::default() }),
            _ => Err(Failure::MalformedBody("The body must be a JSON object".to_owned())),
        }
    }

    /// The members themselves, for a contract that reads them in its own way.
    #[must_use]
    pub fn into_map(self) -> Map<String, Value> {
        self.left
    }

    /// Takes a member that must be there.
    pub fn required<T: FromMember>(&mut self, name: &str) -> Option<T> {
        let value = self.left.remove(name);
        if value.is_none() {
            self.wrong.add(name, REQUIRED);
        }
        self.typed(name, value?)
    }

    /// Ends the reading of a document whose one member is a list of 1 to `most` documents.
    pub fn only_list<T>(
        mut self,
        name: &str,
        most: usize,
        what: &str,
        read: impl Fn(Self) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let items: Option<Vec<Map<String, Value>>> = self.required(name);
        self.finish_strictly()?;
        let items = items.unwrap_or_default();
        if !(1..=most).contains(&items.len()) {
            return Err(Failure::Invalid(Fields::one(name, format_args!("must hold 1 to {most} {what}"))));
        }
        each(name, items, |item| Members::of(Value::Object(item)).and_then(&read))
    }

    /// Takes a member that may be absent or `null`.
    pub fn optional<T: FromMember>(&mut self, name: &str) -> Option<T> {
        match self.left.remove(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.typed(name, value),
        }
    }

    /// Takes a member whose absence keeps a setting, and whose `null` clears it.
    pub fn change<T: FromMember>(&mut self, name: &str) -> Change<T> {
        match self.left.remove(name) {
            None => Change::Keep,
            Some(Value::Null) => Change::Clear,
            Some(value) => self.typed(name, value).map_or(Change::Keep, Change::Set),
        }
    }

    fn typed<T: FromMember>(&mut self, name: &str, value: Value) -> Option<T> {
        let typed = T::from_member(value);
        if typed.is_none() {
            self.wrong.add(name, format_args!("must be {}", T::EXPECTED));
        }
        typed
    }

    /// Ends the reading; members that nobody took are ignored.
    pub fn finish(self) -> Result<(), Failure> {
        self.wrong.into_result()
    }

    /// Ends the reading; members that nobody took are wrong: a mistyped limit must not make a key without limits.
    pub fn finish_strictly(mut self) -> Result<(), Failure> {
        for name in self.left.keys() {
            self.wrong.add(name, "is not a known field");
        }
        self.wrong.into_result()
    }
}

/// Does the same with each element of a list; what is wrong with one is told by its place, like `keys[3].name`.
pub fn each<T, U>(name: &str, items: Vec<T>, mut work: impl FnMut(T) -> Result<U, Failure>) -> Result<Vec<U>, Failure> {
    let items = items.into_iter().enumerate();
    items.map(|(n, item)| work(item).map_err(|failure| failure.within(&format!("{name}[{n}]")))).collect()
}

/// The largest whole number that every reader of JSON keeps (2^53 - 1).
const MOST: u64 = 9_007_199_254_740_991;

/// A JSON value of one type, without any coercion.
pub trait FromMember: Sized {
    /// What is expected, to end the sentence "must be …".
    const EXPECTED: &'static str;

    /// The value, if it has the type.
    fn from_member(value: Value) -> Option<Self>;
}

impl FromMember for String {
    const EXPECTED: &'static str = "a string";

    fn from_member(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl FromMember for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_member(value: Value) -> Option<Self> {
        value.as_bool()
    }
}

impl FromMember for u64 {
    const EXPECTED: &'static str = "a whole number from 0 to 9007199254740991";

    fn from_member(value: Value) -> Option<Self> {
        value.as_u64().filter(|number| *number <= MOST)
    }
}

impl FromMember for Vec<String> {
    const EXPECTED: &'static str = "an array of strings";

    fn from_member(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(String::from_member).collect(),
            _ => None,
        }
    }
}

impl FromMember for Map<String, Value> {
    const EXPECTED: &'static str = "an object";

    fn from_member(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
}

impl FromMember for Vec<Map<String, Value>> {
    const EXPECTED: &'static str = "an array of objects";

    fn from_member(value: Value) -> Option<Self> {
        match value {
            Value::Array(items) => items.into_iter().map(Map::from_member).collect(),
            _ => None,
        }
    }
}

/// Text that [`parse`] accepted before is read back the same.
#[must_use]
pub fn stored_object(text: &str) -> Map<String, Value> {
    Map::deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_that_are_refused() {
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
        assert!(parse("[".repeat(1000).as_bytes()).is_err(), "deeper than anyone needs");
    }

    #[test]
    fn a_document_takes_no_more_memory_than_it_may() {
        let many = |value: &str| format!("[{}0]", format!("{value},").repeat(40_000));
        for value in ["{}", "[]", "0", "\"\"", "null", r#"{"":0}"#, "[[[]]]", "1e5"] {
            let refused = check(many(value).as_bytes(), 2 * 1024 * 1024).expect_err(value);
            assert!(
                matches!(&refused, Failure::MalformedBody(text) if text.contains("too many values")),
                "{refused:?}"
            );
        }
        let long = format!("[\"{}\"]", "x".repeat(1_000_000));
        let checked = check(long.as_bytes(), 2 * 1024 * 1024).expect("one long text");
        assert!((1_000_000..1_001_000).contains(&checked.memory()), "{}", checked.memory());
        // The widest key: everything that a key may have in one body of 64 KiB.
        let permissions: Vec<String> = (0..1_000).map(|n| format!("resource{n}:action")).collect();
        let metadata: Map<String, Value> = (0..500).map(|n| (format!("k{n}"), Value::from(n))).collect();
        let wide = serde_json::json!({"name": "n", "permissions": permissions, "metadata": metadata}).to_string();
        assert!(wide.len() < 64 * 1024 && check(wide.as_bytes(), 2 * 1024 * 1024).is_ok());
    }

    #[test]
    fn documents_are_kept_as_they_are() {
        let text = r#"{"z":1,"a":{"n":123456789012345678901234567890,"f":1.10,"e":1e+400},"s":"\u0000ü"}"#;
        let document = parse(text.as_bytes()).expect("valid");
        assert_eq!(document.to_string(), text);
        assert_eq!(Value::Object(stored_object(text)).to_string(), text);
    }

    #[test]
    fn every_wrong_field_is_told() {
        let mut members = Members::of(serde_json::json!({"a": 1, "b": "x", "d": 1})).expect("an object");
        assert_eq!(members.required::<String>("a"), None);
        assert_eq!(members.optional::<String>("b"), Some("x".to_owned()));
        assert_eq!(members.required::<Vec<String>>("c"), None);
        let Err(Failure::Invalid(wrong)) = members.finish_strictly() else { panic!("three fields are wrong") };
        assert_eq!(
            wrong.iter().collect::<Vec<_>>(),
            [("a", "must be a string"), ("c", "is required"), ("d", "is not a known field")]
        );
    }
}
