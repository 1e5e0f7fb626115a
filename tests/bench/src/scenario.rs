//! What is measured: each case with its question, its right answer, and what its rate is compared with.

use std::sync::Arc;

use crate::{
    fill::METERED,
    keys::{Kind, Random, key},
    load::Source,
};

/// A way to load a server.
#[derive(Clone)]
pub struct Case {
    /// For people.
    pub name: &'static str,
    /// What is asked.
    pub source: Source,
    /// How the right answer begins.
    pub expected: &'static str,
    /// Keys in one request.
    pub keys: u64,
    /// The case whose rate is one, in the same round.
    pub beside: &'static str,
    /// Kept-alive connections.
    pub connections: usize,
}

/// The yardstick.
pub const HELLO: &str = "hello";
/// The case that limits are compared with.
pub const UNMETERED: &str = "unmetered, Athena";

/// Keys that are asked for again and again.
pub const ROTATION: u64 = 20_000;
const SPREAD: u64 = 10_000;
/// Draws from all keys; so many that few come twice in a round.
const DRAWS: usize = 300_000;

/// How an answer begins that finds a key good.
pub const VALID: &str = "{\"valid\":true,";
const NATIVE_UNKNOWN: &str = "{\"valid\":false,\"code\":\"INVALID_API_KEY\"";

/// The head of a request with a body of so many bytes.
fn head(path: &str, length: usize) -> String {
    let caller = key(Kind::Caller, 0);
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        caller.expose()
    )
}

/// A verify at `path`, without the key.
fn halves(path: &str) -> (Vec<u8>, Vec<u8>) {
    let length = key(Kind::Plain, 0).expose().len();
    let (before, after) = ("{\"key\":\"", "\"}");
    let head = head(path, before.len() + length + after.len());
    ([head.as_str(), before].concat().into_bytes(), after.as_bytes().to_vec())
}

const ATHENA: &str = "/api/auth/api-key/verify";
const NATIVE: &str = "/api_keys/verify";

/// A native verify, without the key.
#[must_use]
pub fn native_halves() -> (Vec<u8>, Vec<u8>) {
    halves(NATIVE)
}

fn one_of(path: &str, keys: &Arc<Vec<String>>) -> Source {
    let (before, after) = halves(path);
    Source::Keys(before, keys.clone(), after)
}

fn unknown(path: &str) -> Source {
    let (before, after) = halves(path);
    Source::Unknown(before, after)
}

/// One request about all of these keys.
#[must_use]
pub fn batch(keys: &[&str]) -> Vec<u8> {
    let questions: Vec<String> = keys.iter().map(|key| format!("{{\"key\":\"{key}\"}}")).collect();
    let body = format!("{{\"keys\":[{}]}}", questions.join(","));
    [head("/api_keys/verify_batch", body.len()), body].concat().into_bytes()
}

/// The texts of these keys.
#[must_use]
pub fn texts(kind: Kind, numbers: impl Iterator<Item = u64>) -> Arc<Vec<String>> {
    Arc::new(numbers.map(|number| key(kind, number).expose().to_owned()).collect())
}

/// All cases on a database with so many keys.
#[must_use]
pub fn cases(count: u64) -> Vec<Case> {
    let rotation = texts(Kind::Plain, 0..ROTATION.min(count));
    let random = Random::new(7);
    let all = usize::try_from(count).expect("a usize");
    let uniform = texts(Kind::Plain, (0..DRAWS).map(|_| random.below(all) as u64));
    let spread = texts(Kind::Metered, 1..=SPREAD.min(METERED - 1));
    let hot = texts(Kind::Metered, 0..1);
    let hello = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    let case = |name, source, expected, beside| Case { name, source, expected, keys: 1, beside, connections: 64 };
    vec![
        case(HELLO, Source::Same(hello.clone()), "hello", HELLO),
        case(UNMETERED, one_of(ATHENA, &rotation), VALID, HELLO),
        case("unmetered, native", one_of(NATIVE, &rotation), VALID, HELLO),
        case("unmetered, native, drawn from all", one_of(NATIVE, &uniform), VALID, HELLO),
        Case {
            keys: 100,
            ..case(
                "batches of 100 keys",
                Source::Many(100, rotation.clone(), batch),
                "{\"results\":[{\"valid\":true",
                "unmetered, native",
            )
        },
        case("metered, one hot key", one_of(ATHENA, &hot), VALID, UNMETERED),
        case("metered, 10,000 keys", one_of(ATHENA, &spread), VALID, UNMETERED),
        case("malformed key", Source::Same(malformed()), NATIVE_UNKNOWN, HELLO),
        case("unknown keys, all different", unknown(NATIVE), NATIVE_UNKNOWN, HELLO),
        Case { connections: 32, ..case("hello, 32 connections", Source::Same(hello), "hello", HELLO) },
        Case {
            connections: 32,
            ..case("unmetered, Athena, 32 connections", one_of(ATHENA, &rotation), VALID, "hello, 32 connections")
        },
        Case {
            connections: 32,
            ..case("unmetered, native, 32 connections", one_of(NATIVE, &rotation), VALID, "hello, 32 connections")
        },
    ]
}

fn malformed() -> Vec<u8> {
    let body = "{\"key\":\"cvg_0000000000000000000000000000000000000000000000000\"}";
    [head(NATIVE, body.len()), body.to_owned()].concat().into_bytes()
}
