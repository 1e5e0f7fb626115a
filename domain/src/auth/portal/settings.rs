//! The settings of an organization's portal: how it looks, and which pages may embed it.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::web_address::EmbeddingOrigin;
use crate::{
    change::Change,
    validated_string::{MAX_NAME, ValidationError, name, stored_line, text},
};

/// The maximum size of a logo, in bytes of the image.
pub const MAX_LOGO_BYTES: usize = 32 * 1_024;

/// The maximum number of origins that may embed the portal of an organization.
pub const MAX_ORIGINS: usize = 20;

text!(
    /// The name that the portal shows.
    PortalName,
    "Parses a name: at most 100 characters, at least 1 after trimming, neither control characters nor invisible ones. \
     Converts it to NFC.",
    |text| name(text, 1),
    stored |text| stored_line(text, 1, MAX_NAME)
);

text!(
    /// The colour of the portal: `#` and six hexadecimal digits in lower case.
    PortalColor,
    "Parses a colour, in any case.",
    |text| {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        match digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(_) => Ok(text.to_ascii_lowercase()),
            None => Err(ValidationError::Color),
        }
    }
);

text!(
    /// The logo of the portal: a data URL of an image.
    PortalLogo,
    "Parses a data URL, in base64, of a PNG, JPEG or WebP image of at most [`MAX_LOGO_BYTES`]. The image must begin as its \
     media type says. SVG is not accepted: it can contain scripts.",
    |text| if is_logo(text) { Ok(text.to_owned()) } else { Err(ValidationError::Logo) }
);

fn is_logo(text: &str) -> bool {
    let Some((media_type, data)) = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
        return false;
    };
    // Four characters for three bytes: a longer text need not be decoded.
    if data.len() > MAX_LOGO_BYTES.div_ceil(3) * 4 {
        return false;
    }
    let Ok(image) = BASE64_STANDARD.decode(data) else { return false };
    let begins = match media_type {
        "image/png" => image.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => image.starts_with(b"\xff\xd8\xff"),
        "image/webp" => image.starts_with(b"RIFF") && image.get(8..12) == Some(b"WEBP"),
        _ => false,
    };
    begins && image.len() <= MAX_LOGO_BYTES
}

/// The settings of the portal of an organization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalSettings {
    /// The name that the page shows. `None`: that of the organization.
    pub name: Option<PortalName>,
    /// The colour of its buttons. `None`: that of the dashboard.
    pub color: Option<PortalColor>,
    /// The logo. `None`: none.
    pub logo: Option<PortalLogo>,
    /// The origins of pages that may embed it, at most [`MAX_ORIGINS`]. Empty: no page may.
    pub origins: Vec<EmbeddingOrigin>,
}

/// Parses a list of origins: at most [`MAX_ORIGINS`]. Duplicates are removed.
///
/// # Errors
/// [`ValidationError::Origins`], [`ValidationError::WebOrigin`].
pub fn origins<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Vec<EmbeddingOrigin>, ValidationError> {
    let mut origins = Vec::new();
    for text in list {
        if origins.len() == MAX_ORIGINS {
            return Err(ValidationError::Origins);
        }
        let origin = EmbeddingOrigin::parse(text)?;
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    Ok(origins)
}

/// A change of the settings of a portal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortalSettingsPatch {
    /// The name.
    pub name: Change<PortalName>,
    /// The colour.
    pub color: Change<PortalColor>,
    /// The logo.
    pub logo: Change<PortalLogo>,
    /// The origins that may embed the portal. Cleared: none.
    pub origins: Change<Vec<EmbeddingOrigin>>,
}

impl PortalSettingsPatch {
    /// The settings after the change.
    #[must_use]
    pub fn apply(&self, before: PortalSettings) -> PortalSettings {
        let patch = self.clone();
        PortalSettings {
            name: patch.name.apply(before.name),
            color: patch.color.apply(before.color),
            logo: patch.logo.apply(before.logo),
            origins: patch.origins.apply(Some(before.origins)).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logo(media_type: &str, bytes: &[u8]) -> Result<PortalLogo, ValidationError> {
        PortalLogo::parse(&format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes)))
    }

    #[test]
    fn a_logo_is_a_small_image_of_its_media_type() {
        let png = b"\x89PNG\r\n\x1a\nrest";
        assert!(logo("image/png", png).is_ok());
        assert!(logo("image/jpeg", b"\xff\xd8\xff\xe0").is_ok());
        assert!(logo("image/webp", b"RIFF\0\0\0\0WEBPVP8 ").is_ok());
        for (media_type, bytes) in [
            ("image/png", &b"\xff\xd8\xff\xe0"[..]),
            ("image/jpeg", png),
            ("image/webp", b"RIFF\0\0\0\0AVI "),
            ("image/svg+xml", b"<svg onload=\"alert(1)\"/>"),
            ("image/gif", b"GIF89a"),
            ("text/html", png),
            ("image/png", b""),
        ] {
            assert_eq!(logo(media_type, bytes), Err(ValidationError::Logo), "{media_type}");
        }
        let sized = |size: usize| logo("image/png", &[&png[..8], &vec![0; size - 8]].concat()).is_ok();
        assert_eq!((sized(MAX_LOGO_BYTES), sized(MAX_LOGO_BYTES + 1)), (true, false));
        for text in ["data:image/png,x", "https://example.com/logo.png", "data:image/png;base64,!!!!", ""] {
            assert_eq!(PortalLogo::parse(text), Err(ValidationError::Logo), "{text}");
        }
    }

    #[test]
    fn a_color_has_six_digits() {
        assert_eq!(PortalColor::parse("#3B5BDB").as_ref().map(PortalColor::as_str), Ok("#3b5bdb"));
        for text in ["3b5bdb", "#fff", "#3b5bdg", "#3b5bdb80", "red", "#3b5bdb;"] {
            assert_eq!(PortalColor::parse(text), Err(ValidationError::Color), "{text}");
        }
    }

    #[test]
    fn there_are_at_most_20_origins_without_duplicates() {
        let of = |count: usize| (0..count).map(|n| format!("https://shop-{n}.example")).collect::<Vec<_>>();
        let parse = |list: &[String]| origins(list.iter().map(String::as_str)).map(|list| list.len());
        assert_eq!(parse(&of(MAX_ORIGINS)), Ok(MAX_ORIGINS));
        assert_eq!(parse(&of(MAX_ORIGINS + 1)), Err(ValidationError::Origins));
        assert_eq!(parse(&["https://a.example".to_owned(), "https://A.example:443".to_owned()]), Ok(1));
    }
}
