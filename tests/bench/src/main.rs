//! The benchmark: `tests/benchmark`. What the service does in a second, beside a bare route of the same framework, in
//! alternation on the same machine; every answer is looked at, and one wrong answer fails the run.

#![expect(clippy::print_stdout, reason = "the report is what this program is for")]

mod report;
mod revocation;
mod special;

use std::{path::PathBuf, time::Duration};

use bench::{
    fill::{self, Filled},
    load::{self, Outcome, Plan},
    scenario::{self, Case, HELLO, UNMETERED},
    server::Server,
};
use clap::Parser;
use report::Table;

/// Measures the service.
#[derive(Parser)]
struct Line {
    /// Fewer and shorter rounds, and at most a hundred thousand keys: under five minutes
    #[arg(long)]
    quick: bool,
    /// Numbers of keys in the database
    #[arg(long, value_delimiter = ',')]
    keys: Option<Vec<u64>>,
    /// Rounds, each with every case once
    #[arg(long)]
    rounds: Option<usize>,
    /// Milliseconds of a case in a round
    #[arg(long)]
    millis: Option<u64>,
    /// Only the databases whose name contains this: `SQLite` or `PostgreSQL`
    #[arg(long, default_value = "")]
    database: String,
    /// Only the cases whose name contains this, and what they are compared with
    #[arg(long, default_value = "")]
    only: String,
    /// A server for databases `claviger_bench_*`
    #[arg(long, default_value = "postgres://postgres@127.0.0.1:5432/postgres")]
    postgres: String,
    /// Only how soon a revoked key is dead on other nodes
    #[arg(long)]
    revocation: bool,
    /// Where SQLite databases are kept for the next run
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() {
    let line = Line::parse();
    std::fs::create_dir_all(&line.folder).expect("a folder for the databases");
    let sizes = line
        .keys
        .clone()
        .unwrap_or_else(|| if line.quick { vec![1_000, 100_000] } else { vec![1_000, 1_000_000, 10_000_000] });
    report::machine(&line.folder);
    let sizes = if line.revocation { Vec::new() } else { sizes };
    for size in sizes {
        if SQLITE.contains(&line.database) {
            measure(&line, SQLITE, size, &fill::sqlite(&line.folder, size).await);
        }
        if POSTGRESQL.contains(&line.database) {
            match fill::postgres(&line.postgres, size).await {
                Some(filled) => measure(&line, POSTGRESQL, size, &filled),
                None => println!("\n(no PostgreSQL at {})", line.postgres),
            }
        }
    }
    if line.revocation || line.only.is_empty() && POSTGRESQL.contains(&line.database) {
        revocation::measure(&line.postgres, line.quick).await;
    }
}

const SQLITE: &str = "SQLite";
const POSTGRESQL: &str = "PostgreSQL";

fn measure(line: &Line, database: &str, size: u64, filled: &Filled) {
    println!("\n## {database}, {size} keys\n");
    let settings = [
        ("CLAVIGER_CACHE_KEYS", (size + 100_000).max(1_000_000).to_string()),
        ("CLAVIGER_CACHE_MIB", "4096".to_owned()),
    ];
    let hello = Server::hello();
    let service = Server::claviger(&filled.url, &settings);
    println!(
        "- Process start to ready: {:.2} s; {} bytes a key on disk.",
        service.start.as_secs_f64(),
        filled.bytes_per_key
    );
    if line.only.is_empty() {
        special::cold(&service, size);
        special::remember_all(&service, size);
    }
    let cases: Vec<Case> = scenario::cases(size);
    let wanted: Vec<&Case> =
        cases.iter().filter(|case| case.name.contains(&line.only) || [HELLO, UNMETERED].contains(&case.name)).collect();
    let rounds = line.rounds.unwrap_or(if line.quick { 3 } else { 5 });
    let time = Duration::from_millis(line.millis.unwrap_or(if line.quick { 700 } else { 1_500 }));
    let address = |case: &Case| if case.name.starts_with(HELLO) { hello.address } else { service.address };
    let mut table = Table::new();
    for round in 0..=rounds {
        for case in &wanted {
            let plan = plan(case, address(case), None, time, round as u64);
            let outcome = right(case.name, load::run(&plan));
            // The first round warms both servers up.
            if round > 0 {
                table.add(case, &outcome);
            }
        }
    }
    table.print();
    if line.only.is_empty() {
        special::open(&wanted, &table, &address, time, rounds);
        special::flood(&wanted, &service, time);
        special::bulk_create(&service, line.quick);
        if size == 1_000_000 && database == "SQLite" {
            special::unknown_memory(&service, 10_000_000);
        }
        println!("- Memory at the end: {} MiB.", service.memory() >> 20);
    }
}

fn plan(case: &Case, address: std::net::SocketAddr, rate: Option<f64>, time: Duration, seed: u64) -> Plan {
    let (source, expected, connections) = (case.source.clone(), case.expected, case.connections);
    Plan { address, connections, rate, time, source, expected, seed: seed * 31 + 1 }
}

/// The outcome, if every answer was right.
fn right(name: &str, outcome: Outcome) -> Outcome {
    let sample = outcome.sample.as_deref().unwrap_or("no answer");
    assert!(outcome.wrong == 0, "{name}: {} wrong answers, the first: {sample}", outcome.wrong);
    assert!(outcome.right > 0, "{name}: no answers");
    outcome
}
