//! Moments on the wire: RFC 3339 in UTC, in the three precisions that the contracts show.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use domain::clock::Timestamp;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde_json::Value;

use crate::{json::FromMember, wire::plain_type};

/// A moment as RFC 3339 in UTC, to the second: `2026-11-21T08:00:00Z`.
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
        let Moment(timestamp) = Moment::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(timestamp))
    }
}

/// A moment as RFC 3339 in UTC, with as many digits as it has: `2026-11-21T08:00:00Z`, `2026-11-21T08:00:00.250Z`.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Timestamp);

plain_type!([] Moment, "date_time", MetaSchema::new_with_format("string", "date-time"));

impl Moment {
    /// As it is written.
    #[must_use]
    pub fn text(self) -> String {
        utc(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

impl ToJSON for Moment {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.text()))
    }
}

impl ParseFromJSON for Moment {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Self::from_member(value.unwrap_or_default()).ok_or_else(ParseError::expected_input)
    }
}

impl FromMember for Moment {
    const EXPECTED: &'static str = "a time like 2026-11-21T08:00:00Z (RFC 3339)";

    fn from_member(value: Value) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(value.as_str()?).ok()?;
        Some(Self(Timestamp::from_millis(time.timestamp_millis())))
    }
}

/// A moment as RFC 3339 in UTC, always with three digits: `2026-11-21T08:00:00.250Z`.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Timestamp);

plain_type!([] Millis, "date_time_millis", MetaSchema::new_with_format("string", "date-time"));

impl ToJSON for Millis {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(utc(self.0).to_rfc3339_opts(SecondsFormat::Millis, true)))
    }
}

impl Millis {
    /// `YYYY-MM-DDTHH:MM:SS.mmmZ`, for years of four digits. Verify answers three of these: the library's general formatter
    /// would be most of the answer's cost.
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
        let Moment(timestamp) = Moment::parse_from_json(value).map_err(ParseError::propagate)?;
        Ok(Self(timestamp))
    }
}

/// The moment as a calendar date and time.
#[must_use]
pub fn utc(timestamp: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(timestamp.millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_library() {
        for millis in [0, 1, 951_868_800_007, 1_795_248_000_250, 253_402_300_799_999, -1] {
            let time = Millis(Timestamp::from_millis(millis));
            let digits = time.digits().expect("four digits");
            assert_eq!(time.to_json(), Some(Value::from(std::str::from_utf8(&digits).expect("ASCII"))));
        }
        assert_eq!(Millis(Timestamp::from_millis(253_402_300_800_000)).digits(), None);
    }
}
