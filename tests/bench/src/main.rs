//! The benchmark, run by `tests/benchmark`. Measures requests per second of the service and of a minimal server on the same
//! framework, in turn, on the same machine. Every response is checked: a wrong one fails the run.

#![expect(clippy::print_stdout, reason = "the report is the output of this program")]

mod lists;
mod report;
mod revocation;
mod special;

use std::{path::PathBuf, time::Duration};

use bench::{
    fill::{self, FilledDatabase},
    load::{self, Outcome, Plan},
    scenario::{self, Case, HELLO, UNMETERED},
    server::Server,
};
use clap::Parser;
use report::Table;

/// Measures the service.
#[derive(Parser)]
struct Arguments {
    /// Fewer and shorter rounds, and at most 100,000 keys: less than five minutes
    #[arg(long)]
    quick: bool,
    /// Numbers of keys in the databases, separated by commas
    #[arg(long, value_delimiter = ',')]
    keys: Option<Vec<u64>>,
    /// Number of rounds. Each round runs every case once
    #[arg(long)]
    rounds: Option<usize>,
    /// Duration of a case in a round, in milliseconds
    #[arg(long)]
    millis: Option<u64>,
    /// Only the databases whose name contains this: `SQLite` or `PostgreSQL`
    #[arg(long, default_value = "")]
    database: String,
    /// Only the cases whose name contains this, and the cases that they are compared with
    #[arg(long, default_value = "")]
    only: String,
    /// PostgreSQL server, on which databases `claviger_bench_*` are created
    #[arg(long, default_value = "postgres://postgres@127.0.0.1:5432/postgres")]
    postgres: String,
    /// Only how soon a revoked key is refused by other nodes
    #[arg(long)]
    revocation: bool,
    /// Folder of the SQLite databases, which are kept for the next run
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.folder).expect("a folder for the databases");
    let sizes = arguments
        .keys
        .clone()
        .unwrap_or_else(|| if arguments.quick { vec![1_000, 100_000] } else { vec![1_000, 1_000_000, 10_000_000] });
    report::print_machine(&arguments.folder);
    let sizes = if arguments.revocation { Vec::new() } else { sizes };
    for size in sizes {
        if SQLITE.contains(&arguments.database) {
            measure(&arguments, SQLITE, size, &fill::sqlite(&arguments.folder, size).await);
        }
        if POSTGRESQL.contains(&arguments.database) {
            match fill::postgres(&arguments.postgres, size).await {
                Some(filled) => measure(&arguments, POSTGRESQL, size, &filled),
                None => println!("\n(no PostgreSQL at {})", arguments.postgres),
            }
        }
    }
    if arguments.revocation || arguments.only.is_empty() && POSTGRESQL.contains(&arguments.database) {
        revocation::measure(&arguments.postgres, arguments.quick).await;
    }
}

const SQLITE: &str = "SQLite";
const POSTGRESQL: &str = "PostgreSQL";

fn measure(arguments: &Arguments, database: &str, size: u64, filled: &FilledDatabase) {
    println!("\n## {database}, {size} keys\n");
    let settings = [
        ("CLAVIGER_CACHE_KEYS", (size + 100_000).max(1_000_000).to_string()),
        ("CLAVIGER_CACHE_MIB", "4096".to_owned()),
    ];
    let hello = Server::hello();
    let service = Server::claviger(&filled.url, &settings);
    println!(
        "- Process start to ready: {:.2} s; {} bytes on disk per key.",
        service.start.as_secs_f64(),
        filled.bytes_per_key
    );
    if arguments.only.is_empty() {
        special::cold_cache(&service, size);
        special::cache_all_keys(&service, size);
    }
    let cases: Vec<Case> = scenario::cases(size);
    let wanted: Vec<&Case> = cases
        .iter()
        .filter(|case| case.name.contains(&arguments.only) || [HELLO, UNMETERED].contains(&case.name))
        .collect();
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 5 });
    let time = Duration::from_millis(arguments.millis.unwrap_or(if arguments.quick { 700 } else { 1_500 }));
    let address = |case: &Case| if case.name.starts_with(HELLO) { hello.address } else { service.address };
    let mut table = Table::new();
    for round in 0..=rounds {
        for case in &wanted {
            let plan = plan(case, address(case), None, time, round as u64);
            let outcome = assert_all_correct(case.name, load::run(&plan));
            // The first round is the warm-up of both servers, and is not counted.
            if round > 0 {
                table.add(case, &outcome);
            }
        }
    }
    table.print();
    if arguments.only.is_empty() {
        special::open_loop(&wanted, &table, &address, time, rounds);
        special::unknown_key_flood(&wanted, &service, time);
        lists::measure(&service);
        special::bulk_create(&service, arguments.quick);
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

/// Returns `outcome`. Panics if a response was wrong, or if there was none.
fn assert_all_correct(name: &str, outcome: Outcome) -> Outcome {
    let sample = outcome.sample.as_deref().unwrap_or("no response");
    assert!(outcome.wrong == 0, "{name}: {} wrong or missing responses, the first wrong one: {sample}", outcome.wrong);
    assert!(outcome.correct > 0, "{name}: no responses");
    outcome
}
