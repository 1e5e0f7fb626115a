//! Times in requests and responses: RFC 3339 in UTC, with three precisions.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use domain::clock::Timestamp;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::http::{openapi_types::plain_type, strict_json::FromJson};

/// A time as RFC 3339 in UTC, rounded down to seconds: `2026-11-21T08:00:00Z`.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub Timestamp);

plain_type!([] Seconds, "date_time_seconds", MetaSchema::new_with_format("string", "date-time"));

impl ToJSON for Seconds {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(utc(self.0).to_rfc3339_opts(SecondsFormat::Secs, true)))
    }
}

impl ParseFromJSON for Seconds {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let Rfc3339(timestamp) = Rfc3339::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(timestamp))
    }
}

/// A time as RFC 3339 in UTC, with milliseconds unless they are 0: `2026-11-21T08:00:00Z`, `2026-11-21T08:00:00.250Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub Timestamp);

plain_type!([] Rfc3339, "date_time", MetaSchema::new_with_format("string", "date-time"));

impl Rfc3339 {
    /// Parses a time (RFC 3339). The offset may have no colon, as ISO 8601 allows: `+0000`. `None`: it is not a time, or a
    /// leap second, which the time of this service does not have.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok().or_else(|| {
            let (rest, minutes) = text.split_at_checked(text.len().checked_sub(2)?)?;
            let is_offset = rest.len() >= 3
                && rest.as_bytes()[rest.len() - 3..]
                    .iter()
                    .enumerate()
                    .all(|(n, byte)| if n == 0 { matches!(byte, b'+' | b'-') } else { byte.is_ascii_digit() });
            is_offset.then(|| DateTime::parse_from_rfc3339(&format!("{rest}:{minutes}")).ok()).flatten()
        })?;
        // chrono keeps a leap second as a second with more than 1,000 milliseconds.
        let is_leap_second = time.nanosecond() >= 1_000_000_000;
        (!is_leap_second).then(|| Self(Timestamp::from_millis(time.timestamp_millis())))
    }

    /// The time as text.
    #[must_use]
    pub fn text(self) -> String {
        utc(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

impl ToJSON for Rfc3339 {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.text()))
    }
}

impl ParseFromJSON for Rfc3339 {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Self::from_json(value.unwrap_or_default()).ok_or_else(ParseError::expected_input)
    }
}

impl FromJson for Rfc3339 {
    const EXPECTED: &'static str = "a time like 2026-11-21T08:00:00Z (RFC 3339), with seconds from 00 to 59";

    fn from_json(value: Value) -> Option<Self> {
        Self::parse(value.as_str()?)
    }
}

/// A time as RFC 3339 in UTC, always with milliseconds: `2026-11-21T08:00:00.250Z`.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Timestamp);

plain_type!([] Millis, "date_time_millis", MetaSchema::new_with_format("string", "date-time"));

impl ToJSON for Millis {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(utc(self.0).to_rfc3339_opts(SecondsFormat::Millis, true)))
    }
}

impl Millis {
    /// `YYYY-MM-DDTHH:MM:SS.mmmZ` in ASCII. `None`: the year is not in 0 to 9999. The response of verify has three times; the
    /// general formatter of chrono would be most of its cost.
    #[must_use]
    pub fn digits(self) -> Option<[u8; 24]> {
        let time =
            DateTime::from_timestamp_millis(self.0.millis()).filter(|time| (0..=9_999).contains(&time.year()))?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: std::ops::Range<usize>, mut number: u32| {
            for place in text[at].iter_mut().rev() {
                *place = b'0' + u8::try_from(number % 10).expect("a digit");
                number /= 10;
            }
        };
        put(0..4, time.year().unsigned_abs());
        put(5..7, time.month());
        put(8..10, time.day());
        put(11..13, time.hour());
        put(14..16, time.minute());
        put(17..19, time.second());
        put(20..23, time.timestamp_subsec_millis());
        Some(text)
    }
}

impl ParseFromJSON for Millis {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let Rfc3339(timestamp) = Rfc3339::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(timestamp))
    }
}

/// The time as date and time of chrono. A time out of its range is 1970-01-01T00:00:00Z.
#[must_use]
pub fn utc(timestamp: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(timestamp.millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The time in UTC as chrono formats it with `pattern`.
    fn written(timestamp: Timestamp, pattern: &str) -> String {
        utc(timestamp).format(pattern).to_string()
    }

    /// The first and the last millisecond of the years 0 to 9999.
    const FOUR_DIGITS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

    proptest! {
        #[test]
        fn times_are_written_as_chrono_writes_them(millis in FOUR_DIGITS) {
            let time = Timestamp::from_millis(millis);
            let digits = Millis(time).digits().expect("four digits");
            prop_assert_eq!(std::str::from_utf8(&digits).expect("ASCII"), written(time, "%Y-%m-%dT%H:%M:%S%.3fZ"));
            prop_assert_eq!(Millis(time).to_json(), Some(Value::from(std::str::from_utf8(&digits).expect("ASCII"))));
            prop_assert_eq!(Seconds(time).to_json(), Some(Value::from(written(time, "%Y-%m-%dT%H:%M:%SZ"))));
        }

        #[test]
        fn formatted_times_are_parsed_back(millis in FOUR_DIGITS) {
            let time = Timestamp::from_millis(millis);
            let read = |json: Option<Value>| Rfc3339::from_json(json.expect("a value")).map(|Rfc3339(time)| time);
            prop_assert_eq!(read(Rfc3339(time).to_json()), Some(time));
            prop_assert_eq!(read(Millis(time).to_json()), Some(time));
            let second = Timestamp::from_millis(millis.div_euclid(1_000) * 1_000);
            prop_assert_eq!(read(Seconds(time).to_json()), Some(second));
        }

        #[test]
        fn any_time_can_be_written(millis: i64) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(Millis(time).digits().is_some(), FOUR_DIGITS.contains(&millis));
            for json in [Millis(time).to_json(), Seconds(time).to_json(), Rfc3339(time).to_json()] {
                prop_assert!(json.is_some_and(|json| json.is_string()));
            }
        }
    }

    #[test]
    fn leap_seconds_are_refused_and_offsets_without_colon_are_read() {
        let parse = |text: &str| Rfc3339::parse(text).map(Rfc3339::text);
        let expected = Some("2026-11-21T08:00:00Z".to_owned());
        for text in [
            "2026-11-21T08:00:00Z",
            "2026-11-21T08:00:00+0000",
            "2026-11-21T08:00:00-0000",
            "2026-11-21T10:00:00+0200",
            "2026-11-21T10:00:00+02:00",
            "2026-11-21T02:30:00.000-0530",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [
            "2026-12-31T23:59:60Z",
            "2026-12-31T23:59:60.5Z",
            "2027-01-01T00:59:60+01:00",
            "2027-01-01T00:59:60+0100",
            "2026-11-21T08:00:00+00",
            "2026-11-21T08:00:00",
            "2026-11-21T08:00:00 0000",
            "2026-11-21T08:00:0000",
            "é0",
            "+0000",
            "",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_have_four_digits_in_the_fast_form() {
        for millis in [*FOUR_DIGITS.start(), 0, 1, 951_868_800_007, 1_795_248_000_250, *FOUR_DIGITS.end(), -1] {
            let time = Millis(Timestamp::from_millis(millis));
            let digits = time.digits().expect("four digits");
            assert_eq!(time.to_json(), Some(Value::from(std::str::from_utf8(&digits).expect("ASCII"))));
        }
        for millis in [*FOUR_DIGITS.start() - 1, *FOUR_DIGITS.end() + 1] {
            assert_eq!(Millis(Timestamp::from_millis(millis)).digits(), None);
        }
    }
}
