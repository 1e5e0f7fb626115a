//! The cases that are measured: their requests, the correct responses, and the cases that they are compared with.

use std::sync::Arc;

use crate::{
    fill::{METERED_KEYS, organization},
    keys::{Kind, Random, key},
    load::Source,
};

/// A case of the benchmark.
#[derive(Clone)]
pub struct Case {
    /// Its name in the report.
    pub name: &'static str,
    /// The requests.
    pub source: Source,
    /// The beginning of the body of a correct response.
    pub expected: &'static str,
    /// The number of keys in one request.
    pub keys: u64,
    /// The name of the case that it is compared with, in the same round.
    pub compared_with: &'static str,
    /// The number of kept-alive connections.
    pub connections: usize,
}

/// The name of the case of the minimal server.
pub const HELLO: &str = "hello";
/// The name of the case that metered ones are compared with.
pub const UNMETERED: &str = "unmetered, Athena";

/// The number of different keys in the cases whose keys stay in the cache.
pub const REPEATED_KEYS: u64 = 20_000;
const METERED_KEYS_VERIFIED: u64 = 10_000;
/// The number of random draws from all keys. It is large, so that few keys are verified twice in a round.
const RANDOM_DRAWS: usize = 300_000;

/// The name of the case of forward-auth whose latencies are measured, too.
pub const FORWARD_AUTH: &str = "forward-auth, unmetered";

/// The beginning of a response for a valid key.
pub const VALID: &str = "{\"valid\":true,";
const NATIVE_UNKNOWN: &str = "{\"valid\":false,\"code\":\"INVALID_API_KEY\"";

/// The head of a request with a body of `length` bytes.
fn head(path: &str, length: usize) -> String {
    let caller = key(Kind::Caller, 0);
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n",
        caller.expose()
    )
}

/// The parts of a verification request before and after the secret.
fn request_parts(path: &str) -> (Vec<u8>, Vec<u8>) {
    let length = key(Kind::Unmetered, 0).expose().len();
    let (before, after) = ("{\"key\":\"", "\"}");
    let head = head(path, before.len() + length + after.len());
    ([head.as_str(), before].concat().into_bytes(), after.as_bytes().to_vec())
}

const ATHENA: &str = "/api/auth/api-key/verify";
const NATIVE: &str = "/api_keys/verify";

/// The parts of a verification request of the native API before and after the secret.
#[must_use]
pub fn native_request_parts() -> (Vec<u8>, Vec<u8>) {
    request_parts(NATIVE)
}

fn verify_known(path: &str, keys: &Arc<Vec<String>>) -> Source {
    let (before, after) = request_parts(path);
    Source::Keys(before, keys.clone(), after)
}

fn verify_unknown(path: &str) -> Source {
    let (before, after) = request_parts(path);
    Source::Unknown(before, after)
}

/// A request of a gateway for keys of the organization.
fn forward_auth(keys: &Arc<Vec<String>>) -> Source {
    let before = format!("GET /forward-auth/{} HTTP/1.1\r\nhost: localhost\r\nx-api-key: ", organization());
    Source::Keys(before.into_bytes(), keys.clone(), b"\r\n\r\n".to_vec())
}

/// A verification request for all of these secrets.
#[must_use]
pub fn batch_request(keys: &[&str]) -> Vec<u8> {
    let items: Vec<String> = keys.iter().map(|key| format!("{{\"key\":\"{key}\"}}")).collect();
    let body = format!("{{\"keys\":[{}]}}", items.join(","));
    [head("/api_keys/verify_batch", body.len()), body].concat().into_bytes()
}

/// The secrets of the keys of this kind with these numbers.
#[must_use]
pub fn secrets(kind: Kind, numbers: impl Iterator<Item = u64>) -> Arc<Vec<String>> {
    Arc::new(numbers.map(|number| key(kind, number).expose().to_owned()).collect())
}

/// All cases, for a database with `count` unmetered keys.
#[must_use]
pub fn cases(count: u64) -> Vec<Case> {
    let repeated = secrets(Kind::Unmetered, 0..REPEATED_KEYS.min(count));
    let random = Random::new(7);
    let all = usize::try_from(count).expect("a usize");
    let uniform = secrets(Kind::Unmetered, (0..RANDOM_DRAWS).map(|_| random.below(all) as u64));
    let metered = secrets(Kind::Metered, 1..=METERED_KEYS_VERIFIED.min(METERED_KEYS - 1));
    let hot = secrets(Kind::Metered, 0..1);
    let hello = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    let case = |name, source, expected, compared_with| Case {
        name,
        source,
        expected,
        keys: 1,
        compared_with,
        connections: 64,
    };
    vec![
        case(HELLO, Source::Same(hello.clone()), "hello", HELLO),
        case(UNMETERED, verify_known(ATHENA, &repeated), VALID, HELLO),
        case("unmetered, native", verify_known(NATIVE, &repeated), VALID, HELLO),
        case("unmetered, native, drawn from all", verify_known(NATIVE, &uniform), VALID, HELLO),
        Case {
            keys: 100,
            ..case(
                "batches of 100 keys",
                Source::Many(100, repeated.clone(), batch_request),
                "{\"results\":[{\"valid\":true",
                "unmetered, native",
            )
        },
        case("metered, one hot key", verify_known(ATHENA, &hot), VALID, UNMETERED),
        case("metered, 10,000 keys", verify_known(ATHENA, &metered), VALID, UNMETERED),
        case(FORWARD_AUTH, forward_auth(&repeated), "", HELLO),
        case("forward-auth, metered, 10,000 keys", forward_auth(&metered), "", UNMETERED),
        case("malformed key", Source::Same(malformed_request()), NATIVE_UNKNOWN, HELLO),
        case("unknown keys, all different", verify_unknown(NATIVE), NATIVE_UNKNOWN, HELLO),
        Case { connections: 32, ..case("hello, 32 connections", Source::Same(hello), "hello", HELLO) },
        Case {
            connections: 32,
            ..case("unmetered, Athena, 32 connections", verify_known(ATHENA, &repeated), VALID, "hello, 32 connections")
        },
        Case {
            connections: 32,
            ..case("unmetered, native, 32 connections", verify_known(NATIVE, &repeated), VALID, "hello, 32 connections")
        },
    ]
}

fn malformed_request() -> Vec<u8> {
    let body = "{\"key\":\"cvg_0000000000000000000000000000000000000000000000000\"}";
    [head(NATIVE, body.len()), body.to_owned()].concat().into_bytes()
}
