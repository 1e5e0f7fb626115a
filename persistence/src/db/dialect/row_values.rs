//! The values of many rows as parameters of PostgreSQL's statements. Columns with the same value in all rows are a parameter each; the
//! others are objects of one JSON array. So a statement is the same for any number of rows, is prepared once, and sends little.
//! `unnest` of arrays is not used: the database layer cannot bind arrays that contain nulls.

use std::fmt::Write;

use sea_orm::Value;

use crate::db::message_size::{MAX_PARAMETER_BYTES, divide};

/// Rows with the same columns.
pub(crate) struct RowValues {
    names: Vec<&'static str>,
    /// A value of each column.
    rows: Vec<Vec<Value>>,
}

/// A query that returns rows, and its parameters: those of the same statement follow each other.
pub(crate) struct RowQuery {
    pub(crate) sql: String,
    /// The values of columns that are the same in all rows.
    constants: Vec<Value>,
    /// The other values of consecutive rows: JSON arrays. Each is a statement.
    pub(crate) parts: Vec<String>,
}

impl RowQuery {
    /// The parameters of a statement with these rows.
    pub(crate) fn values(&self, part: &str) -> impl Iterator<Item = Value> {
        std::iter::once(Value::from(part.to_owned())).chain(self.constants.iter().cloned())
    }
}

impl RowValues {
    /// Each of `rows` has a value for each of `names`.
    pub(crate) fn new(names: Vec<&'static str>, rows: Vec<Vec<Value>>) -> Self {
        Self { names, rows }
    }

    /// The query, whose parameters begin with number `first`.
    pub(crate) fn query(self, first: usize) -> RowQuery {
        let Self { names, rows } = self;
        let (mut columns, mut fields, mut constants, mut varying) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (column, name) in names.iter().enumerate() {
            let value = rows.first().map_or(Value::Int(None), |row| row[column].clone());
            if rows.iter().any(|row| row[column] != value) {
                let (field, kind) = (format!("c{column}"), kind_of(&value));
                columns.push(match kind {
                    "bytea" => format!("decode(v.{field}, 'hex') AS {name}"),
                    _ => format!("v.{field} AS {name}"),
                });
                fields.push(format!("{field} {}", if kind == "bytea" { "text" } else { kind }));
                varying.push(column);
            } else if !value.is_some() {
                columns.push(format!("NULL::{} AS {name}", kind_of(&value)));
            } else {
                constants.push(value.clone());
                columns.push(format!("${}::{} AS {name}", first + constants.len(), kind_of(&value)));
            }
        }
        if fields.is_empty() {
            // A list of fields must not be empty.
            fields.push("nothing text".to_owned());
        }
        let sql =
            format!("SELECT {} FROM json_to_recordset(${first}::json) AS v({})", columns.join(", "), fields.join(", "));
        let objects = rows.iter().map(|row| object(row, &varying)).collect();
        let room = MAX_PARAMETER_BYTES.saturating_sub(constants.iter().map(size_of).sum());
        let parts = divide(objects, room, |object: &String| object.len() + 1).into_iter();
        let parts = parts.map(|part| format!("[{}]", part.join(","))).collect();
        RowQuery { sql, constants, parts }
    }
}

/// The name of the type of a value, also of a null.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Uuid(_) => "uuid",
        Value::String(_) => "text",
        Value::BigInt(_) => "bigint",
        Value::Int(_) => "integer",
        Value::SmallInt(_) => "smallint",
        Value::Bool(_) => "boolean",
        Value::Bytes(_) => "bytea",
        other => unreachable!("no column has a type like {other:?}"),
    }
}

/// The bytes of a parameter, with what the protocol adds to it.
fn size_of(value: &Value) -> usize {
    8 + match value {
        Value::String(Some(text)) => text.len(),
        Value::Bytes(Some(bytes)) => bytes.len(),
        _ => 16,
    }
}

/// A JSON object of these columns. Nulls are left out.
fn object(row: &[Value], columns: &[usize]) -> String {
    let mut text = String::from("{");
    for column in columns {
        let value = &row[*column];
        if !value.is_some() {
            continue;
        }
        let _ = write!(text, "{}\"c{column}\":", if text.len() > 1 { "," } else { "" });
        let _ = match value {
            Value::Uuid(Some(id)) => write!(text, "\"{}\"", id.simple()),
            Value::Bytes(Some(bytes)) => write_hex(&mut text, bytes),
            Value::String(Some(string)) => write_string(&mut text, string),
            Value::BigInt(Some(number)) => write!(text, "{number}"),
            Value::Int(Some(number)) => write!(text, "{number}"),
            Value::SmallInt(Some(number)) => write!(text, "{number}"),
            Value::Bool(Some(flag)) => write!(text, "{flag}"),
            other => unreachable!("no column has a type like {other:?}"),
        };
    }
    text.push('}');
    text
}

fn write_hex(text: &mut String, bytes: &[u8]) -> std::fmt::Result {
    text.push('"');
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    text.push('"');
    Ok(())
}

/// Writes a JSON string.
fn write_string(text: &mut String, string: &str) -> std::fmt::Result {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' | '\\' => {
                text.push('\\');
                text.push(character);
            }
            '\0'..='\x1f' => write!(text, "\\u{:04x}", u32::from(character))?,
            _ => text.push(character),
        }
    }
    text.push('"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::prelude::Uuid;

    use super::*;

    fn row(id: u128, name: Option<&str>) -> Vec<Value> {
        vec![
            Uuid::from_u128(id).into(),
            name.map(str::to_owned).into(),
            7_i64.into(),
            Value::Bool(None),
            vec![u8::try_from(id % 256).expect("a byte")].into(),
        ]
    }

    #[test]
    fn columns_with_one_value_are_sent_once_and_the_others_as_objects() {
        let rows = vec![row(1, Some("a\"\\\n\u{e4}")), row(2, None)];
        let query = RowValues::new(vec!["id", "name", "at", "flag", "hash"], rows).query(3);
        assert_eq!(
            query.sql,
            "SELECT v.c0 AS id, v.c1 AS name, $4::bigint AS at, NULL::boolean AS flag, decode(v.c4, 'hex') AS hash \
             FROM json_to_recordset($3::json) AS v(c0 uuid, c1 text, c4 text)"
        );
        let values: Vec<Value> = query.values(&query.parts[0]).collect();
        let (first, second) = ("00000000000000000000000000000001", "00000000000000000000000000000002");
        let json =
            format!(r#"[{{"c0":"{first}","c1":"a\"\\\u000a{}","c4":"01"}},{{"c0":"{second}","c4":"02"}}]"#, "\u{e4}");
        assert_eq!(values, [Value::from(json), 7_i64.into()]);
    }

    #[test]
    fn many_rows_are_divided_and_none_is_lost() {
        let names = vec!["id", "name", "at", "flag", "hash"];
        let query = RowValues::new(names, (0..1_000).map(|n| row(n, Some("name"))).collect()).query(1);
        assert_eq!(query.parts.iter().map(|part| part.matches("\"c0\":").count()).sum::<usize>(), 1_000);
        assert!(query.parts.len() > 1 && query.parts.iter().all(|part| part.len() <= MAX_PARAMETER_BYTES));
        let rows = RowValues::new(vec!["id"], vec![vec![1_i64.into()]; 2]).query(1);
        assert_eq!(rows.sql, "SELECT $2::bigint AS id FROM json_to_recordset($1::json) AS v(nothing text)");
        assert_eq!(rows.parts[0], "[{},{}]");
    }
}
