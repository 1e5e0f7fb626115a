//! Reads the members of the JSON objects in the issuers file, and collects everything that is wrong by the path of the member.
//! Values are never repeated: they may have been meant for another file, and be secret.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// What is wrong with a file.
#[derive(Default)]
pub(super) struct Mistakes(RefCell<Vec<String>>);

impl Mistakes {
    /// Records that the member at this path is wrong. `what` is the rest of the sentence.
    pub(super) fn add(&self, path: &str, what: &str) {
        self.0.borrow_mut().push(format!("{path} {what}"));
    }

    /// An error with all mistakes, if there are any.
    pub(super) fn into_result(self) -> Result<(), String> {
        let mistakes = self.0.into_inner();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes.join("; ")) }
    }
}

/// An object of the file, whose members are taken out one by one.
pub(super) struct FileObject<'a> {
    path: String,
    left: Map<String, Value>,
    mistakes: &'a Mistakes,
}

impl<'a> FileObject<'a> {
    /// The object at this path. `None`: it is not an object.
    pub(super) fn of(value: Value, path: String, mistakes: &'a Mistakes) -> Option<Self> {
        let Value::Object(left) = value else {
            mistakes.add(&path, "must be an object");
            return None;
        };
        Some(Self { path, left, mistakes })
    }

    /// Takes a member. `None`: it is absent, `null` or wrong; `expected` says what it must be.
    pub(super) fn take<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.left.shift_remove(name).filter(|value| !value.is_null())?;
        let read = read(&value);
        if read.is_none() {
            self.wrong(name, &format!("must be {expected}"));
        }
        read
    }

    /// Takes a required member.
    pub(super) fn require<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.left.shift_remove(name);
            self.mistakes.add(&self.path, &format!("has the missing field `{name}`: set it to {expected}"));
            return None;
        }
        self.take(name, expected, read)
    }

    /// Whether a member is there, and not `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a member that is `true` or `false`; absent is `false`.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.take(name, "true or false", Value::as_bool).unwrap_or(false)
    }

    /// Takes a member that is an object, with the names and values of its members.
    pub(super) fn members(&mut self, name: &str) -> Option<Vec<(String, Value)>> {
        let members = |value: &Value| value.as_object().map(|members| members.clone().into_iter().collect());
        self.take(name, "an object", members)
    }

    /// Takes a member that is an object.
    pub(super) fn object(&mut self, name: &str) -> Option<Self> {
        let value = self.left.shift_remove(name).filter(|value| !value.is_null())?;
        Self::of(value, self.path_of(name), self.mistakes)
    }

    /// Records that a member is wrong.
    pub(super) fn wrong(&self, name: &str, what: &str) {
        self.mistakes.add(&self.path_of(name), what);
    }

    /// Ends the reading: members that were not taken are wrong.
    pub(super) fn finish(self) {
        for name in self.left.keys() {
            self.mistakes.add(&self.path, &format!("has the unknown field `{name}`: remove it, or correct its name"));
        }
    }

    fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }
}

/// A string that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A list that is not empty, whose elements are parsed by `read`.
pub(super) fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array().filter(|values| !values.is_empty())?.iter().map(read).collect()
}

/// A value, or a list of such values that is not empty.
pub(super) fn one_or_more<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    if value.is_array() { list(value, read) } else { read(value).map(|only| vec![only]) }
}
