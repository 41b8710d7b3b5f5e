//! QMP, qemu's control protocol: one JSON object a line over a unix socket.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection that is ready for commands.
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket `name` in `folder`.
    pub fn connect(folder: &Path, name: &str) -> Result<Qmp> {
        let opened = File::open(folder).with_context(|| format!("{} is gone", folder.display()))?;
        // A unix socket's path may have 107 bytes only, and a checkout may lie deep; this is short.
        let path = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
        let stream = UnixStream::connect(path)
            .with_context(|| format!("qemu does not answer on {}", folder.join(name).display()))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut qmp = Qmp { reader: BufReader::new(stream) };
        qmp.receive().context("qemu does not greet")?;
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Executes a command and returns its answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let line = format!("{request}\n");
        self.reader.get_mut().write_all(line.as_bytes()).context("qemu is gone")?;
        loop {
            let mut answer = self.receive().with_context(|| format!("no answer to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("qemu refuses {command}: {}", error["desc"].as_str().unwrap_or("no reason"));
            }
            // Events come in between.
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("qemu closed the connection");
        }
        serde_json::from_str(&line).with_context(|| format!("not QMP: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers each request with the next of the given lines.
    fn server(
        folder: &Path,
        answers: &'static [&'static str],
    ) -> std::thread::JoinHandle<Vec<String>> {
        std::fs::create_dir_all(folder).unwrap();
        let _ = std::fs::remove_file(folder.join("qmp.sock"));
        let listener = UnixListener::bind(folder.join("qmp.sock")).unwrap();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut requests = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"{\"QMP\":{}}\n").unwrap();
            let mut seen = Vec::new();
            for answer in answers {
                seen.push(requests.next().unwrap().unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            seen
        })
    }

    fn folder(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("xtask-qmp-{name}-{}", std::process::id()))
    }

    #[test]
    fn events_are_skipped_and_answers_returned() {
        let folder = folder("answers");
        let answers = &[
            "{\"return\":{}}\n",
            "{\"event\":\"RESUME\"}\n{\"return\":{\"status\":\"running\"}}\n",
        ];
        let server = server(&folder, answers);
        let mut qmp = Qmp::connect(&folder, "qmp.sock").unwrap();
        let status = qmp.execute("query-status", Value::Null).unwrap();
        assert_eq!(status["status"], "running");
        let seen = server.join().unwrap();
        assert_eq!(seen[1], "{\"execute\":\"query-status\"}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_refusal_and_an_end_are_errors() {
        let folder = folder("errors");
        let answers = &["{\"return\":{}}\n", "{\"error\":{\"desc\":\"no such\"}}\n"];
        let server = server(&folder, answers);
        let mut qmp = Qmp::connect(&folder, "qmp.sock").unwrap();
        let error = qmp.execute("x", json!({"a": 1})).unwrap_err().to_string();
        assert_eq!(error, "qemu refuses x: no such");
        assert_eq!(server.join().unwrap()[1], "{\"arguments\":{\"a\":1},\"execute\":\"x\"}");
        assert!(qmp.execute("x", Value::Null).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
