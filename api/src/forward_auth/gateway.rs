//! The header `Claviger-Gateway`, by which a gateway shows that a request is its own: `secret=…`, and possibly requirements.

use poem::http::{HeaderMap, HeaderName};
use url::form_urlencoded;

use crate::forward_auth::{
    mistakes::{self, Misconfigured},
    requirements::Requirements,
};

pub(super) static GATEWAY: HeaderName = HeaderName::from_static("claviger-gateway");

/// The name of the pair that has the secret.
pub(super) const SECRET: &str = "secret";

/// The minimum and maximum length of the secret, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 32..=512;

/// The secret that gateways share with this service. Only its hash is kept.
#[derive(Clone)]
pub struct GatewaySecret(blake3::Hash);

impl GatewaySecret {
    /// Parses the value of the setting. `None`: it is empty.
    ///
    /// # Errors
    /// What the value must be, to end the sentence "… must be …".
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        // These characters have another meaning in the header.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"%&+".contains(&byte);
        match text {
            "" => Ok(None),
            text if LENGTHS.contains(&text.len()) && text.bytes().all(is_plain) => Ok(Some(Self::of(text))),
            _ => Err("32 to 512 visible ASCII characters without %, & and +".to_owned()),
        }
    }

    fn of(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }

    /// Whether a text is the secret. Hashes are compared in constant time.
    fn matches(&self, text: &str) -> bool {
        self.0 == Self::of(text).0
    }
}

/// The header of a gateway that knows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GatewayHeader<'a>(&'a str);

/// Checks the header `Claviger-Gateway` of a request. `None`: neither the header nor the setting is there.
pub(super) fn authenticate<'a>(
    secret: Option<&GatewaySecret>,
    headers: &'a HeaderMap,
) -> Result<Option<GatewayHeader<'a>>, Misconfigured> {
    let mut values = headers.get_all(&GATEWAY).iter();
    let (value, secret) = match (values.next(), secret) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(mistakes::NO_HEADER),
        (Some(_), None) => return Err(mistakes::NO_SECRET_SET),
        (Some(value), Some(secret)) => (value, secret),
    };
    if values.next().is_some() {
        return Err(mistakes::REPEATED_HEADER);
    }
    let text = value.to_str().map_err(|_| mistakes::UNREADABLE_HEADER)?.trim_ascii();
    let mut secrets = form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| name == SECRET);
    match (secrets.next(), secrets.next()) {
        (Some((_, sent)), None) if secret.matches(&sent) => Ok(Some(GatewayHeader(text))),
        _ => Err(mistakes::WRONG_SECRET),
    }
}

impl GatewayHeader<'_> {
    /// Whether it has more than the secret.
    pub(super) fn has_requirements(self) -> bool {
        form_urlencoded::parse(self.0.as_bytes()).nth(1).is_some()
    }

    /// The requirements in it.
    pub(super) fn requirements(self) -> Result<Requirements, Misconfigured> {
        Requirements::parse_pairs(form_urlencoded::parse(self.0.as_bytes()).filter(|(name, _)| name != SECRET))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef0123456789ABCDEF";

    fn checked(setting: &str, values: &[&str]) -> Result<Option<GatewayHeader<'static>>, Misconfigured> {
        let secret = GatewaySecret::parse(setting).expect("a secret");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&GATEWAY, poem::http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        authenticate(secret.as_ref(), &headers).map(|header| header.map(|_| GatewayHeader("")))
    }

    #[test]
    fn the_setting_is_a_long_secret_that_needs_no_encoding() {
        assert!(GatewaySecret::parse("").expect("not set").is_none());
        assert!(GatewaySecret::parse(&"x".repeat(512)).is_ok());
        for text in [&TEXT[1..], &"x".repeat(513), &format!("{TEXT}+"), &format!("{TEXT} "), &format!("{TEXT}é")] {
            assert!(GatewaySecret::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_right_secret_once_is_accepted() {
        let right = format!("secret={TEXT}");
        assert!(matches!(checked(TEXT, &[&right]), Ok(Some(_))));
        assert!(matches!(checked(TEXT, &[&format!("cost=2&{right}")]), Ok(Some(_))));
        assert!(matches!(checked(TEXT, &[&format!(" {right} ")]), Ok(Some(_))));
        assert_eq!(checked("", &[]), Ok(None));
        assert_eq!(checked(TEXT, &[]), Err(mistakes::NO_HEADER));
        assert_eq!(checked("", &[&right]), Err(mistakes::NO_SECRET_SET));
        assert_eq!(checked(TEXT, &[&right, &right]), Err(mistakes::REPEATED_HEADER));
        assert_eq!(checked(TEXT, &["secret=é"]), Err(mistakes::UNREADABLE_HEADER));
        for wrong in [
            "",
            "secret",
            TEXT,
            &format!("{right}x"),
            &right[..right.len() - 1],
            &right.to_ascii_lowercase(),
            &format!("{right}&{right}"),
            &format!("Secret={TEXT}"),
        ] {
            assert_eq!(checked(TEXT, &[wrong]), Err(mistakes::WRONG_SECRET), "{wrong}");
        }
    }
}
