//! The report: a description of the machine, and a table of medians.

use std::{collections::BTreeMap, fs::File, io::Write, path::Path, process::Command, time::Instant};

use bench::{load::Outcome, scenario::Case};

/// Prints a description of the machine. The disk is that of `folder`.
pub(crate) fn print_machine(folder: &Path) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let value = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split(':').nth(1))
            .map(str::trim)
            .map(str::to_owned)
    };
    let run = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        output.and_then(|output| String::from_utf8(output.stdout).ok()).map(|text| text.trim().to_owned())
    };
    println!("- CPU: {} × {}", info.matches("processor\t").count(), value(&info, "model name").unwrap_or_default());
    println!("- Memory: {}", value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default());
    println!("- Kernel: {}", run("uname", "-sr").unwrap_or_default());
    println!("- Compiler: {}", run("rustc", "--version").unwrap_or_default());
    println!("- PostgreSQL: {}", run("psql", "--version").unwrap_or_else(|| "none".to_owned()));
    let (median, p99) = measure_fdatasync(folder);
    println!("- Disk: 4 KiB appended and fdatasync: median {median} µs, p99 {p99} µs");
    println!("- Service and baseline: release build, mimalloc, one worker per core; the load uses the same cores.");
}

/// Median and 99th percentile of the time for writing 4 KiB durably to the disk, in microseconds: a lower bound for a durable
/// write of the service.
fn measure_fdatasync(folder: &Path) -> (u128, u128) {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).expect("a file");
    let times = (0..300).map(|_| {
        file.write_all(&[0; 4_096]).expect("written");
        let begin = Instant::now();
        file.sync_data().expect("synced");
        begin.elapsed().as_micros()
    });
    let mut times: Vec<u128> = times.collect();
    let _ = std::fs::remove_file(path);
    times.sort_unstable();
    (times[150], times[297])
}

struct CaseRow {
    keys: u64,
    compared_with: &'static str,
    rates: Vec<f64>,
    p50: Vec<u64>,
    p99: Vec<u64>,
    p999: Vec<u64>,
}

/// Results by case, in the order of the first round.
pub(crate) struct Table {
    order: Vec<&'static str>,
    rows: BTreeMap<&'static str, CaseRow>,
}

/// The median of values. Panics if there are none.
pub(crate) fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    sorted[sorted.len() / 2]
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { order: Vec::new(), rows: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, case: &Case, outcome: &Outcome) {
        if !self.order.contains(&case.name) {
            self.order.push(case.name);
        }
        let row = self.rows.entry(case.name).or_insert_with(|| CaseRow {
            keys: case.keys,
            compared_with: case.compared_with,
            rates: Vec::new(),
            p50: Vec::new(),
            p99: Vec::new(),
            p999: Vec::new(),
        });
        row.rates.push(outcome.rate);
        row.p50.push(outcome.latencies.value_at_quantile(0.5));
        row.p99.push(outcome.latencies.value_at_quantile(0.99));
        row.p999.push(outcome.latencies.value_at_quantile(0.999));
    }

    /// The median rate of a case, in requests per second.
    pub(crate) fn rate(&self, name: &str) -> f64 {
        median(&self.rows[name].rates)
    }

    pub(crate) fn print(&self) {
        println!("\n| case | requests/s | ratio (min–max) | beside | p50 µs | p99 µs | p99.9 µs | p99 ratio |");
        println!("|---|---|---|---|---|---|---|---|");
        for name in &self.order {
            let row = &self.rows[name];
            let Some(compared_with) = self.rows.get(row.compared_with) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let ratio = |(rate, other): (&f64, &f64)| rate * row.keys as f64 / other;
            let ratios: Vec<f64> = row.rates.iter().zip(&compared_with.rates).map(ratio).collect();
            let min = ratios.iter().copied().fold(f64::MAX, f64::min);
            let max = ratios.iter().copied().fold(0.0, f64::max);
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let p99_ratios: Vec<f64> =
                row.p99.iter().zip(&compared_with.p99).map(|(own, other)| *own as f64 / *other as f64).collect();
            println!(
                "| {name} | {:.0} | **{:.2}** ({min:.2}–{max:.2}) | {} | {} | {} | {} | {:.2} |",
                median(&row.rates),
                median(&ratios),
                row.compared_with,
                median(&row.p50),
                median(&row.p99),
                median(&row.p999),
                median(&p99_ratios),
            );
        }
        println!();
    }
}
