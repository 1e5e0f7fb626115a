//! Short texts that people give: names, prefixes, metadata. Each type holds only what its rule allows.

use std::fmt;

/// Why a given value is not acceptable. The contract that took it says which field it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Fewer than `min` or more than `max` characters after trimming.
    Length {
        /// The fewest characters that are allowed.
        min: usize,
        /// The most characters that are allowed.
        max: usize,
    },
    /// Holds a control character.
    ControlCharacter,
    /// A key prefix has other characters than `A-Z a-z 0-9 _ -`, or is not 1 to 32 of them.
    Prefix,
    /// Metadata of more than 8 KiB, written compactly.
    MetadataSize,
    /// Not a resource or action: the text that is not.
    PermissionToken(String),
    /// More than 256 permissions.
    TooManyPermissions,
    /// More than 16 permission sets, or one twice.
    AttachedSets,
    /// An expiry that has already passed.
    ExpiryPassed,
    /// A moment more than ten years ahead.
    TooFarAhead,
    /// Not 1 to 64 addresses or networks, or one with bits beyond its prefix.
    Networks,
    /// Not an e-mail address that we take.
    Email,
    /// Secrets of so few random bits that they could be guessed.
    Guessable {
        /// The bits that such a secret holds at most.
        bits: u32,
        /// The fewest that are allowed.
        min: u32,
    },
    /// A number outside of its range.
    Range {
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
}

impl fmt::Display for Invalid {
    /// The rest of a sentence that starts with the field's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min: 0, max } => write!(f, "must be at most {max} characters"),
            Self::Length { min, max } => write!(f, "must be {min} to {max} characters"),
            Self::ControlCharacter => f.write_str("must not contain control characters"),
            Self::Prefix => f.write_str("must be 1 to 32 characters of A-Z a-z 0-9 _ -"),
            Self::MetadataSize => f.write_str("must be at most 8192 bytes as compact JSON"),
            Self::PermissionToken(text) => {
                write!(f, "must hold permissions like read, files:read or *; {text:?} is not one")
            }
            Self::TooManyPermissions => f.write_str("must hold at most 256 permissions"),
            Self::AttachedSets => f.write_str("must hold at most 16 permission sets, each once"),
            Self::ExpiryPassed => f.write_str("must be in the future"),
            Self::TooFarAhead => f.write_str("must be at most ten years ahead"),
            Self::Networks => f.write_str(
                "must hold 1 to 64 addresses or networks like 203.0.113.0/24, without bits beyond the prefix",
            ),
            Self::Email => f.write_str("must be an email address"),
            Self::Guessable { bits, min } => {
                write!(f, "must make secrets of at least {min} bits; so many characters of this alphabet hold {bits}")
            }
            Self::Range { min, max } => write!(f, "must be a whole number from {min} to {max}"),
        }
    }
}

/// Trims `text` and holds it against the rule for all names: `min` to 100 characters, none of them a control character.
pub(crate) fn name(text: &str, min: usize) -> Result<String, Invalid> {
    line(text, min, 100)
}

/// Trims `text`, which must have `min` to `max` characters, none of them a control character.
pub(crate) fn line(text: &str, min: usize, max: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if !(min..=max).contains(&text.chars().count()) {
        return Err(Invalid::Length { min, max });
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::ControlCharacter);
    }
    Ok(text.to_owned())
}

/// Declares a newtype over a checked text, with its rule.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule_doc:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            #[doc = $rule_doc]
            pub fn parse(text: &str) -> Result<Self, $crate::text::Invalid> {
                let rule: fn(&str) -> Result<String, $crate::text::Invalid> = $rule;
                rule(text).map(Self)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) use text;
