//! Users, their e-mail addresses, and their permissions in an organization.

use std::fmt;

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

use crate::{
    clock::Timestamp,
    id::{OrganizationId, SetId, UserId},
    permissions::Permissions,
    validated_string::{MAX_NAME, ValidationError, name, stored_line, text, without_invisible},
};

text!(
    /// The display name of a user.
    UserName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1),
    stored |text| stored_line(text, 1, MAX_NAME)
);

impl UserName {
    /// A name from an identity provider, without invisible characters: a user must not be refused because of them.
    /// `None`: it is not a valid name otherwise.
    #[must_use]
    pub fn from_provider(text: &str) -> Option<Self> {
        Self::parse(&without_invisible(text)).ok()
    }

    /// The name of a user if the identity provider sends none.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::parse("Unnamed").expect("a valid name")
    }
}

/// A user of one organization: a person or a program that API keys can belong to. A person who is in two organizations
/// is a user of each, with different ids, and neither organization can see the other membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The organization.
    pub organization: OrganizationId,
    /// The display name.
    pub name: UserName,
    /// The e-mail address, which is not verified. `None`: not known.
    pub email: Option<Email>,
    /// The user's own permissions. Together with those of the permission sets they limit the user's keys.
    pub permissions: Permissions,
    /// The permission sets of the user. They belong to the same organization.
    pub sets: Vec<SetId>,
    /// How the user was created.
    pub origin: UserOrigin,
    /// When the user was created (UTC).
    pub created_at: Timestamp,
}

impl User {
    /// The e-mail address as it was entered. `None`: not known.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_ref().map(Email::given)
    }
}

/// How a user was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserOrigin {
    /// At sign-up. The e-mail addresses of these users are unique.
    SignUp,
    /// Added by e-mail address. In one organization, the addresses of these users and of those who signed up are
    /// unique.
    Invited,
    /// Added by their identity at an identity provider. Their e-mail address is not an identifier, and need not be
    /// unique.
    IdentityProvider,
}

impl UserOrigin {
    /// The code that is stored and sent.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SignUp => "sign_up",
            Self::Invited => "invited",
            Self::IdentityProvider => "identity_provider",
        }
    }

    /// The origin with this code. `None`: no origin has it.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::SignUp, Self::Invited, Self::IdentityProvider].into_iter().find(|origin| origin.code() == code)
    }
}

/// The id, name and e-mail address of a user, without permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserProfile {
    /// The id.
    pub id: UserId,
    /// The display name.
    pub name: UserName,
    /// The e-mail address, which is not verified. `None`: not known.
    pub email: Option<Email>,
}

/// An e-mail address (RFC 5322 `addr-spec`, internationalized by RFC 6531): as it was entered, and in canonical form.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    given: String,
    canonical: String,
}

impl Email {
    const MAX_BYTES: usize = 254;

    /// Parses an e-mail address. DNS is not queried.
    ///
    /// Apart from syntax errors, these are rejected: more than 254 bytes, a display name, a quoted local part, an
    /// address literal, a domain without a dot or of only digits, a trailing dot.
    pub fn parse(text: &str) -> Result<Self, ValidationError> {
        let given = text.trim();
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let normalized: String = given.nfc().collect();
        if given.len() > Self::MAX_BYTES || EmailAddress::parse_with_options(&normalized, options).is_err() {
            return Err(ValidationError::Email);
        }
        let (local, domain) = normalized.rsplit_once('@').ok_or(ValidationError::Email)?;
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| ValidationError::Email)?;
        let numeric = domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if local.starts_with('"') || numeric || !domain.contains('.') || domain.ends_with('.') {
            return Err(ValidationError::Email);
        }
        let local: String = local.to_lowercase().nfc().collect();
        Ok(Self { given: given.to_owned(), canonical: format!("{local}@{domain}") })
    }

    /// Creates the address of a stored user, which was checked before it was stored.
    #[must_use]
    pub fn from_stored(given: String, canonical: String) -> Self {
        Self { given, canonical }
    }

    /// The address as it was entered, trimmed. Responses contain this form.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The forms in which the address may be stored, at most 13: [`Self::canonical`], and those that the migration to
    /// users of one organization has stored for users of identity providers. These are the entered address in lower
    /// case; PostgreSQL converts all letters, SQLite only those of ASCII.
    #[must_use]
    pub fn stored_forms(&self) -> Vec<String> {
        let (local, domain) = self.canonical.rsplit_once('@').unwrap_or((self.canonical.as_str(), ""));
        let (domain, _) = idna::domain_to_unicode(domain);
        let mut forms = vec![self.canonical.clone()];
        for text in [self.given.clone(), format!("{local}@{domain}"), self.canonical.clone()] {
            for lower in [text.to_lowercase(), text.to_ascii_lowercase()] {
                forms.push(lower.nfc().collect());
                forms.push(lower.nfd().collect());
            }
        }
        forms.sort_unstable();
        forms.dedup();
        forms
    }

    /// The canonical form, by which addresses are compared: NFC, in lower case, the domain as A-labels (RFC 5890).
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl fmt::Debug for Email {
    /// E-mail addresses are personal data, so they must not appear in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed_from_names_of_providers() {
        let name = |text: &str| UserName::from_provider(text).map(|name| name.as_str().to_owned());
        assert_eq!(name("\u{202E}A\u{308}da\u{200B}"), Some("Äda".to_owned()));
        assert_eq!((name("\u{200B}"), name("a\u{7}")), (None, None));
    }

    #[test]
    fn common_email_addresses_are_valid() {
        for text in [
            "john@example.com",
            " john@example.com ",
            "UPPER@EXAMPLE.COM",
            "first.last+tag@sub.example.co",
            "o'neil@example.com",
            "jörg@bücher.example",
            "a@b.c",
        ] {
            let email = Email::parse(text).unwrap_or_else(|_| panic!("{text} is an address"));
            assert_eq!(email.given(), text.trim());
        }
    }

    #[test]
    fn invalid_email_addresses_are_refused() {
        let long = format!("a@{}.com", "x".repeat(260));
        for text in [
            "",
            "nope",
            "@example.com",
            "a@",
            "a@localhost",
            "a@example.com.",
            "a@.example.com",
            "a@exa..mple.com",
            "a@-example.com",
            "a@example-.com",
            "a@exa mple.com",
            "a b@example.com",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@123.456",
            "\"a b\"@example.com",
            "\"a\"@example.com",
            "John <john@example.com>",
            "a@b@example.com",
            "a\u{0}@example.com",
            "a\r\n@example.com",
            &long,
        ] {
            assert_eq!(Email::parse(text), Err(ValidationError::Email), "{text:?}");
        }
    }

    #[test]
    fn equal_mailboxes_have_one_canonical_form() {
        let same = |left: &str, right: &str| {
            let canonical = |text| Email::parse(text).map(|email| email.canonical().to_owned());
            assert_eq!(canonical(left), canonical(right), "{left} and {right}");
        };
        same("John@Example.com", "john@EXAMPLE.COM");
        same("a@bücher.example", "a@xn--bcher-kva.example");
        same("jo\u{308}rg@example.com", "jörg@example.com");
    }

    #[test]
    fn email_addresses_are_found_in_each_stored_form() {
        for (given, stored) in [
            ("John@Example.com", "john@example.com"),
            ("john@bücher.example", "john@bücher.example"),
            ("John@xn--bcher-kva.example", "john@bücher.example"),
            ("john@BÜCHER.example", "john@bücher.example"),
            ("JÖRG@example.com", "jÖrg@example.com"),
            ("jörg@example.com", "jo\u{308}rg@example.com"),
        ] {
            let email = Email::parse(given).expect("an address");
            let forms = email.stored_forms();
            assert!(forms.iter().any(|form| form == stored), "{given}: {forms:?}");
            for form in &forms {
                let same = Email::parse(form).expect("an address");
                assert_eq!(same.canonical(), email.canonical(), "all forms are the same mailbox");
            }
        }
    }
}
