//! The real binary as a process of its own.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
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
    /// The pipe that nobody reads at the moment.
    unread: Option<BufReader<ChildStderr>>,
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
        let mut process = Self::serve_unread(program, settings);
        process.read_on();
        process
    }

    /// As [`Process::serve_program`], but once it serves nobody reads its log any more, until [`Process::read_on`].
    #[must_use]
    pub fn serve_unread(program: &Path, settings: &[(&str, &str)]) -> Self {
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
        Self { child, log: Arc::new(Mutex::new(log)), reader: None, unread: Some(lines), address }
    }

    /// Reads the log from now on.
    pub fn read_on(&mut self) {
        let mut lines = self.unread.take().expect("nobody reads it");
        let log = self.log.clone();
        self.reader = Some(std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                log.lock().expect("not poisoned").push_str(&line);
                line.clear();
            }
        }));
    }

    /// What was read of the log.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
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
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log ends");
        }
        (status, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program in this directory that runs the binary after some lines of shell.
#[must_use]
pub fn binary_after(directory: &Path, lines: &str) -> PathBuf {
    let path = directory.join("claviger.sh");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&path);
    let file = file.as_mut().expect("a file");
    write!(file, "#!/bin/sh\n{lines}\nexec '{}' \"$@\"\n", binary().display()).expect("written");
    path
}

fn command(program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("CLAVIGER_LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    // A setting of the tests, which the service would warn about.
    command.env_remove("CLAVIGER_TEST_POSTGRES_URL");
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}
