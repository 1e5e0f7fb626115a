//! The characters of names: which ones are refused because they are invisible, and how names are compared.

use icu_casemap::CaseMapper;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, GeneralCategory},
};
use unicode_normalization::UnicodeNormalization;

/// Has the width of a letter, but no dots.
const BRAILLE_BLANK: char = '\u{2800}';

/// Joins two emoji into one.
const ZERO_WIDTH_JOINER: char = '\u{200D}';

/// Shows the character before it as an emoji.
const EMOJI_PRESENTATION: char = '\u{FE0F}';

/// Encloses the character before it in a box.
const KEYCAP: char = '\u{20E3}';

/// The first invisible character of a text. `None`: it has none.
///
/// Invisible are format characters, which include those that change the direction of text, separators of lines and
/// paragraphs, other characters that are ignored in display by default, and the blank of Braille. A joiner between two
/// emoji, and the selector after an emoji that shows it in color, are allowed: they change what is visible.
pub(crate) fn invisible(text: &str) -> Option<char> {
    characters(text).find(|(_, is_visible)| !is_visible).map(|(character, _)| character)
}

/// The text without its invisible characters.
pub(crate) fn without_invisible(text: &str) -> String {
    characters(text).filter(|(_, is_visible)| *is_visible).map(|(character, _)| character).collect()
}

/// The text in Normalization Form C (UAX #15).
pub(crate) fn nfc(text: &str) -> String {
    text.nfc().collect()
}

/// The form by which texts are compared when they are searched for: NFC, with full case folding.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    nfc(&CaseMapper::new().fold_string(&nfc(text)))
}

/// The characters of a text, each with whether it is visible.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let before = std::iter::once(None).chain(text.chars().map(Some));
    let after = text.chars().skip(1).map(Some).chain([None]);
    text.chars().zip(before).zip(after).map(|((character, before), after)| {
        let is_visible = !is_invisible(character) || is_part_of_emoji(before, character, after);
        (character, is_visible)
    })
}

fn is_invisible(character: char) -> bool {
    if character.is_ascii() {
        return false;
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let is_formatting = matches!(
        category,
        GeneralCategory::Format | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
    );
    is_formatting
        || character == BRAILLE_BLANK
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// Whether a selector between these two is that of a keycap, such as "1" in a box.
fn is_keycap(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|before| before.is_ascii_digit() || "#*".contains(before)) && after == Some(KEYCAP)
}

fn is_part_of_emoji(before: Option<char>, character: char, after: Option<char>) -> bool {
    let is_emoji = |other: Option<char>| {
        other.is_some_and(|other| CodePointSetData::new::<ExtendedPictographic>().contains(other))
    };
    let is_skin_tone =
        |other: Option<char>| other.is_some_and(|other| CodePointSetData::new::<EmojiModifier>().contains(other));
    match character {
        EMOJI_PRESENTATION => is_emoji(before) || is_keycap(before, after),
        ZERO_WIDTH_JOINER => {
            (is_emoji(before) || is_skin_tone(before) || before == Some(EMOJI_PRESENTATION)) && is_emoji(after)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invisible_characters_are_found() {
        for character in [
            '\u{AD}',
            '\u{34F}',
            '\u{61C}',
            '\u{115F}',
            '\u{1160}',
            '\u{180B}',
            '\u{180E}',
            '\u{200B}',
            '\u{200C}',
            '\u{200D}',
            '\u{200E}',
            '\u{202E}',
            '\u{2028}',
            '\u{2029}',
            '\u{2060}',
            '\u{2066}',
            '\u{2800}',
            '\u{3164}',
            '\u{FE0E}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{FFF9}',
            '\u{E0001}',
            '\u{E0041}',
            '\u{E0100}',
        ] {
            assert_eq!(invisible(&format!("a{character}b")), Some(character), "U+{:04X}", u32::from(character));
            assert_eq!(without_invisible(&format!("a{character}b")), "ab", "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn letters_of_all_scripts_and_emoji_are_visible() {
        for text in [
            "Ünïcode",
            "日本語 キー",
            "\u{5E9}\u{5DC}\u{5D5}\u{5DD}",
            "नमस्ते",
            "a\u{A0}b",
            "👩‍💻",
            "👩🏽‍💻",
            "🏳️‍🌈",
            "❤️",
            "👨‍👩‍👧",
            "1\u{FE0F}\u{20E3}",
        ] {
            assert_eq!(invisible(text), None, "{text}");
        }
        for text in [
            "👩\u{200D}",
            "\u{200D}💻",
            "a\u{FE0F}",
            "1\u{FE0F}",
            "👩\u{200D}a",
            "👩\u{200D}\u{200D}💻",
            "❤\u{FE0F}\u{FE0F}",
        ] {
            assert!(invisible(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn texts_that_differ_only_in_case_or_normalization_are_equal_when_folded() {
        for (one, other) in [
            ("ABC", "abc"),
            ("ÄB", "a\u{308}b"),
            ("Straße", "STRASSE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("\u{212A}ey", "KEY"),
            ("ﬁle", "FILE"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} and {other}");
        }
        assert_ne!(fold("a"), fold("ä"));
    }

    proptest! {
        #[test]
        fn a_text_without_its_invisible_characters_is_shorter_or_equal(text in ".{0,20}") {
            let visible = without_invisible(&text);
            prop_assert!(visible.len() <= text.len());
            prop_assert_eq!(invisible(&text).is_none(), visible == text);
        }
    }
}
