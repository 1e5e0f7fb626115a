//! The binary of the service, run as a separate process.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
};

use serde_json::Value;

use crate::Caller;

use crate::MAX_WAIT;

/// The path of the binary, built from the current source.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // Cargo sets these variables for a running test. Build scripts that read them would run again, and their dependents
        // would be rebuilt.
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in names.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
        let output = cargo
            // The whole workspace, so that features are unified as for the tests, and dependencies are not built twice.
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
    /// The log, if it is not being read. See [`Process::serve_with_unread_log`].
    unread: Option<BufReader<ChildStderr>>,
    /// The address that it listens on.
    pub address: SocketAddr,
}

impl Process {
    /// Runs the binary to its end. See [`run_to_end`].
    #[must_use]
    pub fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        run_to_end(&mut command(binary(), arguments, settings))
    }

    /// Starts `claviger serve` on any port and waits until it listens.
    #[must_use]
    pub fn serve(settings: &[(&str, &str)]) -> Self {
        Self::serve_program(binary(), settings)
    }

    /// As [`Process::serve`], for a given program.
    #[must_use]
    pub fn serve_program(program: &Path, settings: &[(&str, &str)]) -> Self {
        let mut process = Self::serve_with_unread_log(program, settings);
        process.read_log();
        process
    }

    /// As [`Process::serve_program`], but once it listens its log is not read until [`Process::read_log`].
    ///
    /// # Panics
    /// It ends, or does not listen within [`MAX_WAIT`].
    #[must_use]
    pub fn serve_with_unread_log(program: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = command(program, &["serve"], settings);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut log = String::new();
        let deadline = Deadline::start(child.id());
        let address = loop {
            let start = log.len();
            let count = lines.read_line(&mut log).expect("text");
            assert_ne!(count, 0, "it ended, or did not listen within {MAX_WAIT:?}: {log}");
            let event: Value = serde_json::from_str(&log[start..]).unwrap_or_default();
            if event["message"] == "listening" {
                break event["address"].as_str().expect("an address").parse().expect("an address");
            }
        };
        deadline.end();
        Self { child, log: Arc::new(Mutex::new(log)), reader: None, unread: Some(lines), address }
    }

    /// Reads the log from now on.
    pub fn read_log(&mut self) {
        let mut lines = self.unread.take().expect("it is not read yet");
        let log = self.log.clone();
        self.reader = Some(std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                log.lock().expect("not poisoned").push_str(&line);
                line.clear();
            }
        }));
    }

    /// The part of the log that was read.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// A caller of this process without a credential.
    #[must_use]
    pub fn anyone(&self) -> Caller {
        Caller::anyone(format!("http://{}", self.address))
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `KILL`.
    pub fn signal(&self, name: &str) {
        assert!(send_signal(self.pid(), name), "it has ended");
    }

    /// Waits for the end. Returns the exit status and the whole log.
    ///
    /// # Panics
    /// It does not end within [`MAX_WAIT`].
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let deadline = Deadline::start(self.pid());
        let status = self.child.wait().expect("a child");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log ends");
        }
        assert!(!deadline.end(), "it did not end within {MAX_WAIT:?}: {}", self.log());
        (status, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end, with nothing as its input.
///
/// # Panics
/// It does not end within [`MAX_WAIT`].
#[must_use]
pub fn run_to_end(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let deadline = Deadline::start(child.id());
    let output = child.wait_with_output().expect("its output");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!deadline.end(), "it did not end within {MAX_WAIT:?}: {printed}");
    output
}

/// Kills a process after [`MAX_WAIT`], so that waiting for it ends.
struct Deadline {
    cancel: Sender<()>,
    thread: JoinHandle<bool>,
}

impl Deadline {
    fn start(pid: u32) -> Self {
        let (cancel, end) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let is_over = end.recv_timeout(MAX_WAIT) == Err(RecvTimeoutError::Timeout);
            is_over && send_signal(pid, "KILL")
        });
        Self { cancel, thread }
    }

    /// Cancels the deadline. Returns whether it was over and the process was killed.
    fn end(self) -> bool {
        drop(self.cancel);
        self.thread.join().expect("it waits")
    }
}

/// Sends a signal to a process. Returns whether the process exists.
fn send_signal(pid: u32, name: &str) -> bool {
    let kill = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
    kill.expect("kill runs").success()
}

/// Writes a shell script to this directory that executes `lines` and then the binary. Returns its path.
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
    // The service warns about unknown settings.
    command.env_remove("CLAVIGER_TEST_POSTGRES_URL");
    for (name, value) in settings {
        command.env(name, value);
    }
    command
}
