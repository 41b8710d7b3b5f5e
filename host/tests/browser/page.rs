//! One report in the browser, and the ways in which a person uses it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sleepwalk::render::html;
use sleepwalk::report::Report;
use tempfile::TempDir;

use crate::chromium::Chromium;

/// Nothing on the page takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A page that is open.
pub struct Page {
    browser: Chromium,
    /// Bytes of the file.
    pub size: usize,
    /// From the navigation to the first drawing, ms, as the page measured it.
    pub ready_ms: f64,
    /// CPU time of the page's main thread until then, ms: what other work on the machine does not
    /// lengthen.
    pub cpu_ms: f64,
    /// Every address that was requested.
    pub requests: Vec<String>,
    /// Every error that the browser reported.
    pub complaints: Vec<String>,
    folder: TempDir,
}

impl Page {
    /// Renders the report to a file and opens it.
    pub fn open(report: &Report) -> Result<Self> {
        Self::open_html(&html::render(report)?)
    }

    /// Opens a page.
    pub fn open_html(html: &str) -> Result<Self> {
        let program = env::var_os("CHROMIUM").unwrap_or_else(|| "chromium".into());
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("report.html");
        fs::write(&file, html)?;
        let browser = Chromium::start(Path::new(&program))?;
        let mut page = Self {
            browser,
            size: html.len(),
            ready_ms: 0.0,
            cpu_ms: 0.0,
            requests: Vec::new(),
            complaints: Vec::new(),
            folder,
        };
        page.window(1280, 900)?;
        page.media("screen", "light")?;
        page.browser.call("Performance.enable", json!({"timeDomain": "threadTicks"}))?;
        page.browser.call("Page.navigate", json!({"url": format!("file://{}", file.display())}))?;
        page.wait("document.documentElement.dataset.ready === 'true'")?;
        let ready = page.eval("performance.getEntriesByName('ready')[0].startTime")?;
        page.ready_ms = ready.as_f64().context("a time")?;
        let metrics = page.browser.call("Performance.getMetrics", json!({}))?;
        let metrics = metrics["metrics"].as_array().context("metrics")?;
        let task = metrics.iter().find(|metric| metric["name"] == "TaskDuration");
        page.cpu_ms = 1_000.0 * task.and_then(|m| m["value"].as_f64()).context("its CPU time")?;
        Ok(page)
    }

    /// The address of the file.
    pub fn address(&self) -> String {
        format!("file://{}", self.folder.path().join("report.html").display())
    }

    /// The size of the window, CSS pixels.
    pub fn window(&mut self, width: u32, height: u32) -> Result<()> {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.browser.call("Emulation.setDeviceMetricsOverride", metrics)?;
        Ok(())
    }

    /// `screen` or `print`, `light` or `dark`.
    pub fn media(&mut self, media: &str, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.browser
            .call("Emulation.setEmulatedMedia", json!({"media": media, "features": features}))?;
        Ok(())
    }

    /// The value of an expression, once two frames were drawn.
    pub fn eval(&mut self, expression: &str) -> Result<Value> {
        let settled = format!(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))\
             .then(() => ({expression}))"
        );
        let params = json!({"expression": settled, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.browser.call("Runtime.evaluate", params)?;
        self.note();
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("{expression}: {thrown}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// A string.
    pub fn text(&mut self, expression: &str) -> Result<String> {
        let value = self.eval(expression)?;
        let text = value.as_str().with_context(|| format!("{expression} is {value}"))?;
        Ok(text.to_owned())
    }

    /// Until an expression is true.
    pub fn wait(&mut self, expression: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.eval(expression)? != json!(true) {
            if Instant::now() > until {
                bail!("not so after {PATIENCE:?}: {expression}\n{:?}", self.complaints);
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where an element is in the window, after scrolling it into sight: left, top, width, height.
    pub fn frame(&mut self, selector: &str) -> Result<[f64; 4]> {
        let expression = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{block: 'center'}}); \
             const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; }})()",
            json!(selector)
        );
        let value = self.eval(&expression)?;
        serde_json::from_value(value).with_context(|| format!("no {selector}"))
    }

    /// A click in the middle of an element.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let [x, y, w, h] = self.frame(selector)?;
        let (x, y) = (x + w / 2.0, y + h / 2.0);
        self.mouse("mousePressed", x, y)?;
        self.mouse("mouseReleased", x, y)
    }

    /// From one point to another with the button down.
    pub fn drag(&mut self, from: (f64, f64), to: (f64, f64)) -> Result<()> {
        self.mouse("mouseMoved", from.0, from.1)?;
        self.mouse("mousePressed", from.0, from.1)?;
        for step in 1..=4 {
            let part = f64::from(step) / 4.0;
            let (x, y) = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
            self.mouse("mouseMoved", x, y)?;
        }
        self.mouse("mouseReleased", to.0, to.1)
    }

    /// One event of the mouse's left button, or of no button.
    pub fn mouse(&mut self, kind: &str, x: f64, y: f64) -> Result<()> {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
        self.browser.call("Input.dispatchMouseEvent", event)?;
        Ok(())
    }

    /// The wheel, with Ctrl held.
    pub fn ctrl_wheel(&mut self, x: f64, y: f64, by: f64) -> Result<()> {
        let event = json!({
            "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by, "modifiers": 2
        });
        self.browser.call("Input.dispatchMouseEvent", event)?;
        Ok(())
    }

    /// A key, down and up: a name as `ArrowLeft`, or one character.
    pub fn key(&mut self, key: &str) -> Result<()> {
        self.key_with(key, 0)
    }

    /// With modifiers: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift.
    pub fn key_with(&mut self, key: &str, modifiers: u32) -> Result<()> {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = match key {
            "Enter" => "\r",
            one if one.chars().count() == 1 => one,
            _ => "",
        };
        let mut event = json!({
            "key": key, "code": key, "modifiers": modifiers, "windowsVirtualKeyCode": code
        });
        event["type"] = json!(if text.is_empty() { "rawKeyDown" } else { "keyDown" });
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.browser.call("Input.dispatchKeyEvent", event.clone())?;
        event["type"] = json!("keyUp");
        event["text"] = json!("");
        self.browser.call("Input.dispatchKeyEvent", event)?;
        Ok(())
    }

    /// Characters, one key each.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        text.chars().try_for_each(|c| self.key(&c.to_string()))
    }

    /// A picture of the whole page, below `target/`.
    pub fn screenshot(&mut self, name: &str) -> Result<PathBuf> {
        self.eval("scrollTo(0, 0)")?;
        let params = json!({"format": "png", "captureBeyondViewport": true});
        let answer = self.browser.call("Page.captureScreenshot", params)?;
        self.keep(&format!("{name}.png"), &answer["data"])
    }

    /// A picture of the window's part of the page, below `target/`.
    pub fn viewport(&mut self, name: &str) -> Result<PathBuf> {
        let answer = self.browser.call("Page.captureScreenshot", json!({"format": "png"}))?;
        self.keep(&format!("{name}.png"), &answer["data"])
    }

    /// The page on paper, below `target/`, and how many sheets there are.
    pub fn print(&mut self, name: &str) -> Result<(PathBuf, usize)> {
        let params = json!({"printBackground": false, "preferCSSPageSize": false});
        let answer = self.browser.call("Page.printToPDF", params)?;
        let path = self.keep(&format!("{name}.pdf"), &answer["data"])?;
        let bytes = fs::read(&path)?;
        let sheets = bytes.windows(12).filter(|w| w.starts_with(b"/Type /Page\n")).count();
        Ok((path, sheets))
    }

    fn keep(&self, name: &str, data: &Value) -> Result<PathBuf> {
        let bytes = BASE64_STANDARD.decode(data.as_str().context("no picture")?)?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/browser");
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Sorts what happened into requests and complaints.
    fn note(&mut self) {
        for (method, params) in self.browser.events() {
            match method.as_str() {
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap_or("?");
                    self.requests.push(url.to_owned());
                }
                "Runtime.exceptionThrown"
                | "Log.entryAdded"
                | "Runtime.consoleAPICalled"
                | "Page.javascriptDialogOpening" => {
                    self.complaints.push(format!("{method}: {params}"));
                }
                _ => {}
            }
        }
    }
}
