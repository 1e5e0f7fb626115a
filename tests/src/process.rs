//! The real binary as a process of its own.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
};

use serde_json::Value;

/// The path of the binary, built from the current source.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo sets for a running test would make build scripts that look at it run again, and half the tree rebuild.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
        let output = cargo
            // The whole workspace, so that features are unified as for the tests and nothing is built twice.
            .args(["build", "--quiet", "--workspace", "--bin", "claviger", "--message-format=json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the binary builds");
        let messages = String::from_utf8(output.stdout).expect("text");
        let executable = messages.lines().rev().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            message["executable"].as_str().map(PathBuf::from)
        });
        executable.expect("cargo names the executable")
    })
}

/// The binary, running. It is killed when this value is dropped.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Process {
    /// Runs the binary to its end.
    #[must_use]
    pub fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        command(binary(), arguments, settings).output().expect("the binary runs")
    }

    /// Starts `claviger serve` on any port and waits until it says where.
    #[must_use]
    pub fn serve(settings: &[(&str, &str)]) -> Self {
        Self::serve_program(binary(), settings)
    }

    /// As [`Process::serve`], for a given program.
    #[must_use]
    pub fn serve_program(program: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(program, &["serve"], settings);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut log = String::new();
        let address = loop {
            let start = log.len();
            assert_ne!(lines.read_line(&mut log).expect("text"), 0, "it ended: {log}");
            let event: Value = serde_json::from_str(&log[start..]).unwrap_or_default();
            if event["message"] == "listening" {
                break event["address"].as_str().expect("an address").parse().expect("an address");
            }
        };
        let log = Arc::new(Mutex::new(log));
        let reader = std::thread::spawn({
            let log = log.clone();
            move || {
                let mut line = String::new();
                while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                    log.lock().expect("not poisoned").push_str(&line);
                    line.clear();
                }
            }
        });
        Self { child, log, reader: Some(reader), address }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for the end. Answers how it ended and the whole log.
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.reader.take().expect("waited once").join().expect("the log ends");
        let log = self.log.lock().expect("not poisoned").clone();
        (status, log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("CLAVIGER_LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}
