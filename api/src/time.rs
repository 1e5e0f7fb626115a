//! Moments on the wire: RFC 3339 in UTC, in the three precisions that the contracts show.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, SecondsFormat, Timelike, Utc};
use domain::clock::Timestamp;
use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
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

impl ToJSON for Moment {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(utc(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true)))
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&utc(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true))
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

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match four_digit_year(self.0) {
            Some(time) => serializer.serialize_str(digits(time).as_str()),
            None => serializer.collect_str(&utc(self.0).to_rfc3339_opts(SecondsFormat::Millis, true)),
        }
    }
}

fn four_digit_year(timestamp: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(timestamp.millis()).filter(|time| (0..=9_999).contains(&time.year()))
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`. Verify answers three of these: the library's general formatter would be most of the answer's
/// cost.
fn digits(time: DateTime<Utc>) -> ArrayText {
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
    ArrayText(text)
}

struct ArrayText([u8; 24]);

impl ArrayText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits")
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
    fn times_are_written_as_the_library_writes_them() {
        for millis in
            [0, 1, 951_868_800_007, 1_795_248_000_250, 253_402_300_799_999, 253_402_300_800_000, -1, i64::MIN / 4_000]
        {
            let time = Millis(Timestamp::from_millis(millis));
            let slowly = time.to_json().expect("a text");
            assert_eq!(serde_json::to_value(time).expect("a text"), slowly, "{millis}");
        }
    }
}
