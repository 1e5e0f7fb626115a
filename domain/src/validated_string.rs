//! Validated strings that clients send: names, prefixes, metadata. Each type holds only valid text.

mod characters;

use std::fmt;

use ipnet::IpNet;

pub use self::characters::fold;
pub(crate) use self::characters::without_invisible;

/// Why a value is not valid. The API contract adds the name of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidationError {
    /// Fewer than `min` characters after trimming, or more than `max`.
    Length {
        /// The minimum number of characters.
        min: usize,
        /// The maximum number of characters.
        max: usize,
    },
    /// A control character.
    ControlCharacter,
    /// This invisible character.
    InvisibleCharacter(char),
    /// A key prefix that is not 1 to 32 characters of `A-Z a-z 0-9 _ -`.
    Prefix,
    /// Metadata of more than 8 KiB as compact JSON.
    MetadataSize,
    /// A text that is not a resource or an action.
    PermissionToken(String),
    /// More than 256 permissions.
    TooManyPermissions,
    /// More than 16 permission sets, or duplicates.
    AttachedSets,
    /// An expiry that is not in the future.
    ExpiryPassed,
    /// A time more than ten years ahead.
    TooFarAhead,
    /// Not 1 to 64 addresses or networks.
    Networks,
    /// A network with bits set after its prefix, such as 10.0.0.1/8: it is ambiguous.
    NetworkBits {
        /// The network that contains it, such as 10.0.0.0/8.
        network: IpNet,
        /// The network as it was given.
        given: IpNet,
    },
    /// Not 1 to 200 permissions of a catalogue, or duplicates.
    Catalogue,
    /// More than 50 permissions that need an IP allowlist.
    AddressesRequiredFor,
    /// A key policy with more than 16 KiB of permissions and descriptions.
    KeyPolicySize,
    /// Not a valid e-mail address.
    Email,
    /// Secrets with so little entropy that they could be guessed.
    Guessable {
        /// The maximum entropy of such secrets, in bits.
        bits: u32,
        /// The minimum entropy, in bits.
        min: u32,
    },
    /// Permissions of more than 4,096 bytes in flat form.
    PermissionsSize,
    /// Not 1 to 16 claims, or not 1 to 16 different values of each.
    ClaimCount,
    /// Claims and their values of more than 4,096 bytes in total.
    ClaimsSize,
    /// A claim is listed twice.
    ClaimTwice,
    /// The claim `iss` among the conditions of a trust rule.
    IssuerClaim,
    /// No claim that distinguishes tokens of the same issuer.
    CommonClaims,
    /// More than 16 audiences, or duplicates.
    Audiences,
    /// A number outside of its range.
    Range {
        /// The minimum (inclusive).
        min: u64,
        /// The maximum (inclusive).
        max: u64,
    },
    /// Not an origin that browsers reach over HTTPS, or on this machine.
    WebOrigin,
    /// Not a URL that browsers reach over HTTPS, or on this machine.
    WebUrl,
    /// Not a colour as six hexadecimal digits.
    Color,
    /// Not a data URL of a small PNG, JPEG or WebP image.
    Logo,
    /// More than 20 origins.
    Origins,
    /// Permissions for this service in the ceiling of a portal session, or all permissions.
    CeilingForService,
    /// A portal session with more than 64 permissions.
    CeilingSize,
    /// A time later than the longest lifetime of keys of a portal session.
    Lifetime {
        /// The longest lifetime, in seconds.
        seconds: u64,
    },
}

impl fmt::Display for ValidationError {
    /// Writes the rest of a sentence that starts with the name of the field.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { min: 0, max } => write!(f, "must be at most {max} characters"),
            Self::Length { min, max } => write!(f, "must be {min} to {max} characters"),
            Self::ControlCharacter => f.write_str("must not contain control characters"),
            Self::InvisibleCharacter(character) => {
                write!(f, "must not contain the invisible character U+{:04X}", u32::from(*character))
            }
            Self::Prefix => f.write_str("must be 1 to 32 characters of A-Z a-z 0-9 _ -"),
            Self::MetadataSize => f.write_str("must be at most 8192 bytes as compact JSON"),
            Self::PermissionToken(text) => {
                write!(f, "must contain permissions such as read, files:read or *; {text:?} is not one")
            }
            Self::TooManyPermissions => f.write_str("must contain at most 256 permissions"),
            Self::AttachedSets => f.write_str("must contain at most 16 permission sets, without duplicates"),
            Self::ExpiryPassed => f.write_str("must be in the future"),
            Self::TooFarAhead => f.write_str("must be at most ten years ahead"),
            Self::Networks => f.write_str("must contain 1 to 64 addresses or networks such as 203.0.113.0/24"),
            Self::NetworkBits { network, given } => {
                write!(f, "must contain networks without bits after the prefix: {network}, not {given}")
            }
            Self::Catalogue => f.write_str("must contain 1 to 200 permissions, without duplicates"),
            Self::AddressesRequiredFor => f.write_str("must contain at most 50 permissions"),
            Self::KeyPolicySize => {
                f.write_str("must make the policy at most 16384 bytes of permissions and descriptions")
            }
            Self::Email => f.write_str("must be an email address"),
            Self::Guessable { bits, min } => {
                write!(f, "must make secrets of at least {min} bits; this length and alphabet hold {bits}")
            }
            Self::PermissionsSize => f.write_str("must be at most 4096 bytes in total"),
            Self::ClaimCount => f.write_str("must have 1 to 16 claims, each with 1 to 16 different values"),
            Self::ClaimsSize => f.write_str("must have at most 4096 bytes of names and values in total"),
            Self::ClaimTwice => f.write_str("must have each claim only once"),
            Self::IssuerClaim => f.write_str("must not have the claim iss: it is compared with issuer"),
            Self::CommonClaims => f.write_str("must have a claim besides aud, which all tokens for this service have"),
            Self::Audiences => f.write_str("must contain at most 16 audiences, without duplicates"),
            Self::Range { min, max } => write!(f, "must be a whole number from {min} to {max}"),
            Self::WebOrigin => f.write_str(
                "must contain origins such as https://shop.example.com, without a path; http only with localhost, \
                 127.0.0.1 or [::1]",
            ),
            Self::WebUrl => f.write_str(
                "must be a URL such as https://shop.example.com/account, of at most 2048 visible ASCII characters; http \
                 only with localhost, 127.0.0.1 or [::1]",
            ),
            Self::Color => f.write_str("must be a colour such as #3b5bdb"),
            Self::Logo => f.write_str("must be a data URL, in base64, of a PNG, JPEG or WebP image of at most 32 KiB"),
            Self::Origins => f.write_str("must contain at most 20 origins"),
            Self::CeilingForService => f.write_str(
                "must contain only permissions for your own API: neither * nor one whose resource belongs to this \
                 service, such as api_keys:read",
            ),
            Self::CeilingSize => f.write_str("must contain at most 64 permissions"),
            Self::Lifetime { seconds } => write!(f, "must be at most {seconds} seconds ahead"),
        }
    }
}

/// Trims, normalizes and validates a name: at most 100 characters, at least `min` after trimming, as [`line()`].
pub(crate) fn name(text: &str, min: usize) -> Result<String, ValidationError> {
    line(text, min, MAX_NAME)
}

/// Trims a text, converts it to NFC and validates it: at most `max` characters before trimming, as the OpenAPI document
/// says it, `min` to `max` afterwards, neither control characters nor invisible ones.
pub(crate) fn line(text: &str, min: usize, max: usize) -> Result<String, ValidationError> {
    identifier(text, min, max).and_then(|text| stored_line(&characters::nfc(&text), min, max))
}

/// As [`line()`], but not normalized: a text that other systems compare byte by byte.
pub(crate) fn identifier(text: &str, min: usize, max: usize) -> Result<String, ValidationError> {
    if text.chars().count() > max {
        return Err(ValidationError::Length { min, max });
    }
    match characters::invisible(text) {
        Some(character) => Err(ValidationError::InvisibleCharacter(character)),
        None => stored_line(text, min, max),
    }
}

/// The maximum number of characters of a name.
pub(crate) const MAX_NAME: usize = 100;

/// Trims a text and validates it: `min` to `max` characters, no control characters. Earlier versions had no other rule,
/// so a stored text may break those of [`line()`].
pub(crate) fn stored_line(text: &str, min: usize, max: usize) -> Result<String, ValidationError> {
    let text = text.trim();
    if !(min..=max).contains(&text.chars().count()) {
        return Err(ValidationError::Length { min, max });
    }
    if text.chars().any(char::is_control) {
        return Err(ValidationError::ControlCharacter);
    }
    Ok(text.to_owned())
}

/// Declares a newtype of a validated string, with its rule. `stored` is the rule for stored texts, if earlier versions
/// accepted more.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule_doc:literal, $rule:expr, stored $stored:expr) => {
        $crate::validated_string::text!($(#[$doc])* $name, $rule_doc, $rule);

        impl $name {
            /// Parses a stored text. Earlier versions accepted some that [`Self::parse`] refuses.
            pub fn stored(text: &str) -> Result<Self, $crate::validated_string::ValidationError> {
                let rule: fn(&str) -> Result<String, $crate::validated_string::ValidationError> = $stored;
                rule(text).map(Self)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $rule_doc:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            #[doc = $rule_doc]
            pub fn parse(text: &str) -> Result<Self, $crate::validated_string::ValidationError> {
                let rule: fn(&str) -> Result<String, $crate::validated_string::ValidationError> = $rule;
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
