//! Measurements outside of the table: a cold cache, memory, a constant rate, a flood of unknown keys, bulk creation.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bench::{
    fill,
    keys::{Kind, key},
    load,
    scenario::{self, Case, FORWARD_AUTH, HELLO, UNMETERED, VALID},
    server::Server,
};

use crate::{
    assert_all_correct, plan,
    report::{Table, median},
};

/// Sends a request and returns the body of the response.
pub(crate) fn send_request(stream: &mut TcpStream, request: &[u8]) -> String {
    stream.write_all(request).expect("sent");
    let mut received = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let count = stream.read(&mut buffer).expect("a response");
        assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                return body.to_owned();
            }
        }
    }
}

/// Measures the first verification of 100,000 keys after the start.
pub(crate) fn cold_cache(service: &Server, size: u64) {
    let keys = scenario::secrets(Kind::Unmetered, (0..size).rev().take(100_000));
    let started = Instant::now();
    verify_each_once(service.address, &keys);
    let (count, rate) = (keys.len(), per_second(keys.len() as u64, started));
    println!("- Cold cache: {count} keys, each for the first time, on 64 connections: {rate:.0} keys/s.");
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(count: u64, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn ratio(own: u64, other: u64) -> f64 {
    own as f64 / other as f64
}

/// Verifies each key once, on 64 connections.
fn verify_each_once(address: SocketAddr, keys: &[String]) {
    let (before, after) = scenario::native_request_parts();
    std::thread::scope(|scope| {
        for part in keys.chunks(keys.len().div_ceil(64)) {
            let (before, after) = (&before, &after);
            scope.spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).expect("set");
                for key in part {
                    let answer = send_request(&mut stream, &[before, key.as_bytes(), after].concat());
                    assert!(answer.starts_with(VALID), "{answer}");
                }
            });
        }
    });
}

/// Verifies every key, so that all are cached, and measures the memory per key.
pub(crate) fn cache_all_keys(service: &Server, size: u64) {
    let before = service.memory();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                let mut stream = TcpStream::connect(service.address).expect("a connection");
                let numbers: Vec<u64> = (part..size).step_by(4).collect();
                for numbers in numbers.chunks(100) {
                    let keys: Vec<String> =
                        numbers.iter().map(|number| key(Kind::Unmetered, *number).expose().to_owned()).collect();
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    let answer = send_request(&mut stream, &scenario::batch_request(&keys));
                    assert_eq!(answer.matches("\"valid\":true").count(), keys.len(), "{answer}");
                }
            });
        }
    });
    let rate = per_second(size, started);
    // Buffered uses are written in the background. Their memory is free afterwards.
    std::thread::sleep(Duration::from_secs(3));
    let grown = service.memory().saturating_sub(before);
    println!(
        "- All keys read by batches of 100: {rate:.0} keys/s; memory grew by {} bytes per key, to {} MiB.",
        grown / size,
        service.memory() >> 20
    );
}

/// Measures the latencies of both servers at a constant rate, half of the service's highest.
pub(crate) fn open_loop(
    cases: &[&Case],
    table: &Table,
    address: &dyn Fn(&Case) -> SocketAddr,
    time: Duration,
    rounds: usize,
) {
    let rate = table.rate(UNMETERED) / 2.0;
    println!("- Open loop at {rate:.0} requests/s, 64 connections:\n");
    println!("| case | p50 µs | p99 µs | p99.9 µs | p99 beside hello |");
    println!("|---|---|---|---|---|");
    let mut hello = Vec::new();
    for name in [HELLO, UNMETERED, "unmetered, native", FORWARD_AUTH] {
        let case = cases.iter().find(|case| case.name == name).expect("a case");
        let outcomes: Vec<_> = (0..rounds)
            .map(|round| {
                assert_all_correct(name, load::run(&plan(case, address(case), Some(rate), time, round as u64)))
            })
            .collect();
        let at = |quantile| {
            median(&outcomes.iter().map(|outcome| outcome.latencies.value_at_quantile(quantile)).collect::<Vec<_>>())
        };
        if name == HELLO {
            hello = outcomes.iter().map(|outcome| outcome.latencies.value_at_quantile(0.99)).collect();
        }
        println!("| {name} | {} | {} | {} | {:.2} |", at(0.5), at(0.99), at(0.999), ratio(at(0.99), median(&hello)));
    }
    println!();
}

/// Measures the latency for valid keys, alone and with 5,000 unknown keys per second.
pub(crate) fn unknown_key_flood(cases: &[&Case], service: &Server, time: Duration) {
    let native = cases.iter().find(|case| case.name == "unmetered, native").expect("a case");
    let unknown = cases.iter().find(|case| case.name.starts_with("unknown")).expect("a case");
    let steady =
        |seed| assert_all_correct("steady", load::run(&plan(native, service.address, Some(10_000.0), time, seed)));
    let alone: Vec<_> = (0..3).map(|seed| steady(seed).latencies.value_at_quantile(0.99)).collect();
    let with_flood: Vec<_> = (0..3)
        .map(|seed| {
            std::thread::scope(|scope| {
                let flood = plan(unknown, service.address, Some(5_000.0), time, 900 + seed);
                let flood = scope.spawn(move || assert_all_correct("flood", load::run(&flood)));
                let p99 = steady(seed).latencies.value_at_quantile(0.99);
                flood.join().expect("the flood");
                p99
            })
        })
        .collect();
    let (alone, with_flood) = (median(&alone), median(&with_flood));
    println!(
        "- Valid keys at 10,000/s: p99 {alone} µs alone, {with_flood} µs beside 5,000/s unknown keys ({:.2}).",
        ratio(with_flood, alone)
    );
}

/// Measures the creation of 1,000 keys per request.
pub(crate) fn bulk_create(service: &Server, is_quick: bool) {
    let admin = key(Kind::Admin, 0);
    let keys: Vec<String> =
        (0..1_000).map(|n| format!("{{\"name\":\"bulk {n:07}\",\"permissions\":[\"files:read\"]}}")).collect();
    let body = format!("{{\"keys\":[{}]}}", keys.join(","));
    let request = format!(
        "POST /orgs/{}/api_keys/bulk_create HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n{body}",
        fill::organization(),
        admin.expose(),
        body.len()
    );
    let calls = if is_quick { 5 } else { 20 };
    let mut stream = TcpStream::connect(service.address).expect("a connection");
    let started = Instant::now();
    for _ in 0..calls {
        let answer = send_request(&mut stream, request.as_bytes());
        assert_eq!(answer.matches("\"key\":\"cvg_").count(), 1_000, "{}", &answer[..200.min(answer.len())]);
    }
    println!("- Created in bulk, 1,000 per call: {:.0} keys/s.", per_second(calls * 1_000, started));
}

/// Measures the memory that verifications of `count` unknown keys take.
pub(crate) fn unknown_memory(service: &Server, count: u64) {
    let before = service.memory();
    let max = std::sync::atomic::AtomicU64::new(before);
    std::thread::scope(|scope| {
        for part in 0..4_u64 {
            let max = &max;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(service.address).expect("a connection");
                for call in 0..count / 400 {
                    let first = (1 << 50) + (part << 40) + call * 100;
                    let keys: Vec<String> =
                        (first..first + 100).map(|number| key(Kind::Unknown, number).expose().to_owned()).collect();
                    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    let answer = send_request(&mut stream, &scenario::batch_request(&keys));
                    assert_eq!(answer.matches("INVALID_API_KEY").count(), 100, "{answer}");
                    if call % 1_000 == 0 {
                        max.fetch_max(service.memory(), std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let max = max.into_inner().max(service.memory());
    println!("- {count} unknown keys: memory grew by {} KiB at most.", max.saturating_sub(before) >> 10);
}
