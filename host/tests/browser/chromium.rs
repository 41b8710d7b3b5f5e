//! Chromium, headless, spoken to in the DevTools protocol over a pipe: JSON messages that end in a
//! zero byte, on descriptors 3 and 4. That needs no port, no driver and no other crate.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A page that does not answer for this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// A running browser with one page.
pub struct Chromium {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    next: u64,
    session: Option<String>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts `program` with an empty profile.
    pub fn start(program: &Path) -> Result<Self> {
        let profile = tempfile::tempdir().context("a folder for the profile")?;
        // The shell gives the browser its descriptors 3 and 4, which std cannot.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the browser's output")?;
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            events: VecDeque::new(),
            next: 0,
            session: None,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target)?;
        let session = attached["sessionId"].as_str().context("the page's session")?;
        browser.session = Some(session.to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol and returns its result.
    ///
    /// # Errors
    ///
    /// The browser's error, or that it did not answer.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        let input = self.input.as_mut().context("the browser's input is closed")?;
        input.write_all(&bytes).and_then(|()| input.flush()).context("the browser is gone")?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut answer = match self.messages.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => bail!("{method}: no answer in {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("{method}: the browser ended"),
            };
            if answer.get("id").is_none() {
                self.events.push_back(answer);
            } else if answer["id"] == json!(self.next) {
                if let Some(error) = answer.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(answer["result"].take());
            }
        }
    }

    /// The events since the last call: method and parameters.
    pub fn events(&mut self) -> Vec<(String, Value)> {
        self.events.extend(self.messages.try_iter());
        let events = self.events.drain(..).map(|mut event| {
            (event["method"].as_str().unwrap_or_default().to_owned(), event["params"].take())
        });
        events.collect()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.session = None;
        let closed = self.call("Browser.close", json!({}));
        self.input = None;
        if closed.is_err() {
            // It no longer answers; the processes that it started end with it.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
