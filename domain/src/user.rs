//! Users, their e-mail addresses, and what they may do in an organization.

use std::fmt;

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

use crate::{
    clock::Timestamp,
    id::{OrganizationId, SetId, UserId},
    permission::PermissionSet,
    text::{Invalid, name, text},
};

text!(
    /// What a person is called.
    UserName,
    "Trims; 1 to 100 characters, none a control character.",
    |text| name(text, 1)
);

impl UserName {
    /// What somebody is called whose name nobody says.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::parse("Unnamed").expect("it is a name")
    }
}

/// A person or a program that keys can belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their identifier.
    pub id: UserId,
    /// Their name.
    pub name: UserName,
    /// How they can be written to.
    pub contact: Contact,
    /// When they were made.
    pub created_at: Timestamp,
}

/// The address of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Their own; no two users share its [canonical form](Email::canonical).
    Own(Email),
    /// What an identity provider says. It identifies nobody.
    Told(Option<Email>),
}

impl User {
    /// Their address, as it was given.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        match &self.contact {
            Contact::Own(email) | Contact::Told(Some(email)) => Some(email.given()),
            Contact::Told(None) => None,
        }
    }
}

/// What a user may do in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: OrganizationId,
    /// The user.
    pub user: UserId,
    /// The permissions, which with those of the sets also bound those of the user's keys.
    pub permissions: PermissionSet,
    /// Permission sets of the organization that they have besides.
    pub sets: Vec<SetId>,
    /// When they joined.
    pub created_at: Timestamp,
}

/// A user with what they may do in one organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: User,
    /// What they may do there.
    pub membership: Membership,
}

/// An e-mail address (RFC 5322 `addr-spec`, internationalized by RFC 6531), as given and in the form that is unique.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    given: String,
    canonical: String,
}

impl Email {
    const MAX_BYTES: usize = 254;

    /// Reads an address. No DNS is asked.
    ///
    /// Refused beyond the syntax: more than 254 bytes, a display name, a quoted local part, an address literal, a domain
    /// without a dot or of digits alone, a trailing dot.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let given = text.trim();
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let normalized: String = given.nfc().collect();
        if given.len() > Self::MAX_BYTES || EmailAddress::parse_with_options(&normalized, options).is_err() {
            return Err(Invalid::Email);
        }
        let (local, domain) = normalized.rsplit_once('@').ok_or(Invalid::Email)?;
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| Invalid::Email)?;
        let numeric = domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if local.starts_with('"') || numeric || !domain.contains('.') || domain.ends_with('.') {
            return Err(Invalid::Email);
        }
        let local: String = local.to_lowercase().nfc().collect();
        Ok(Self { given: given.to_owned(), canonical: format!("{local}@{domain}") })
    }

    /// The address of a stored user, which was checked when it was given.
    #[must_use]
    pub fn from_stored(given: String, canonical: String) -> Self {
        Self { given, canonical }
    }

    /// A stored address that identifies nobody.
    #[must_use]
    pub fn from_told(given: String) -> Self {
        Self { canonical: given.clone(), given }
    }

    /// The address as it was given, trimmed. This is what answers show.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The form that decides whether two addresses are the same: NFC, lower-cased, the domain as A-labels (RFC 5890).
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl fmt::Debug for Email {
    /// Addresses are personal: they do not appear in traces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_people_have() {
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
    fn addresses_that_are_refused() {
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
            assert_eq!(Email::parse(text), Err(Invalid::Email), "{text:?}");
        }
    }

    #[test]
    fn one_mailbox_has_one_canonical_form() {
        let same = |left: &str, right: &str| {
            let canonical = |text| Email::parse(text).map(|email| email.canonical().to_owned());
            assert_eq!(canonical(left), canonical(right), "{left} and {right}");
        };
        same("John@Example.com", "john@EXAMPLE.COM");
        same("a@bücher.example", "a@xn--bcher-kva.example");
        same("jo\u{308}rg@example.com", "jörg@example.com");
    }
}
