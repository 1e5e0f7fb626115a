//! The two servers that are measured: the service and the baseline, each in its own process.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A running server. It is stopped when this value is dropped.
pub struct Server {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The time from the start of the process until it listened.
    pub start: Duration,
}

/// The path of a program in the folder of this one.
///
/// # Panics
/// The path of this program is unknown.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    this.parent().expect("a folder").join(name)
}

impl Server {
    /// Starts the baseline.
    #[must_use]
    pub fn hello() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let started = Instant::now();
        let mut command = Command::new(program("claviger-bench-hello"));
        let child = command.arg(address.to_string()).spawn().expect("the program, which tests/benchmark builds");
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, address, start: started.elapsed() }
    }

    /// Starts the service on the database with this URL. `settings` are environment variables, all others have their defaults.
    #[must_use]
    pub fn claviger(database: &str, settings: &[(&str, String)]) -> Self {
        let started = Instant::now();
        let mut command = Command::new(program("claviger"));
        command.env("CLAVIGER_LISTEN", "127.0.0.1:0").env("CLAVIGER_DATABASE_URL", database);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the service starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = loop {
            let line = lines.next().expect("a line about listening").expect("text");
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == "listening" {
                break event["address"].as_str().expect("an address").parse().expect("an address");
            }
        };
        let start = started.elapsed();
        // The log is read, so that the pipe does not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, start }
    }

    /// Runs a subcommand of the service on the database with this URL. Panics if it fails.
    pub fn run(database: &str, arguments: &[&str]) {
        let mut command = Command::new(program("claviger"));
        let status = command.env("CLAVIGER_DATABASE_URL", database).args(arguments).stderr(Stdio::null()).status();
        assert!(status.expect("the service runs").success(), "{arguments:?}");
    }

    /// Its resident memory in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status"));
        let status = status.expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        let kib: u64 = line.split_ascii_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kib * 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
