//! The HTML report in Chromium, used as people use it: with a mouse, and with keys.
//!
//! `CHROMIUM` names the program. The tests leave pictures under `target/browser/`.

mod chromium;
mod page;
mod sample;

use anyhow::Result;
use serde_json::{Value, json};
use sleepwalk::render::html;
use sleepwalk::report::{Cause, Evidence, FindingKind, Name, Report};

use page::Page;

/// The names of the rows that the ranking shows, from top to bottom.
const SHOWN: &str = "[...document.querySelectorAll('#sources tbody tr:not([hidden]) .pick')]\
                     .map(e => e.textContent)";

/// The timeline's range, µs.
const RANGE: &str = "['from', 'to'].map(k => Number(document.getElementById('lanes').dataset[k]))";

/// The timeline's text for screen readers.
const SAID: &str = "document.getElementById('lanes-said').textContent";

/// The details beside the pointer or the focus.
const TIP: &str = "document.getElementById('tip').hidden ? '' : \
                   document.getElementById('tip').innerText";

fn names(page: &mut Page) -> Result<Vec<String>> {
    Ok(serde_json::from_value(page.eval(SHOWN)?)?)
}

fn range(page: &mut Page) -> Result<(f64, f64)> {
    let [from, to]: [f64; 2] = serde_json::from_value(page.eval(RANGE)?)?;
    Ok((from, to))
}

/// The page requested its own file alone, and the browser reported no error.
#[track_caller]
fn quiet(page: &Page) {
    assert_eq!(page.requests, [page.address()]);
    assert_eq!(page.complaints, Vec::<String>::new());
}

/// How many pixels of a canvas have exactly this colour of the style sheet.
fn pixels(page: &mut Page, canvas: &str, color: &str) -> Result<u64> {
    let expression = format!(
        "(() => {{ \
           const i = document.createElement('i'); document.body.append(i); \
           i.style.color = 'var(--{color})'; \
           const [r, g, b] = getComputedStyle(i).color.match(/[0-9.]+/g).map(Number); i.remove(); \
           const c = document.querySelector('{canvas}'); \
           const o = new OffscreenCanvas(c.width, c.height); \
           const x = o.getContext('2d', {{willReadFrequently: true}}); x.drawImage(c, 0, 0); \
           const d = x.getImageData(0, 0, c.width, c.height).data; let n = 0; \
           for (let k = 0; k < d.length; k += 4) \
             n += d[k] === r && d[k + 1] === g && d[k + 2] === b && d[k + 3] === 255; \
           return n; }})()"
    );
    Ok(page.eval(&expression)?.as_u64().unwrap_or(0))
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn traces_of_any_size_render_offline() -> Result<()> {
    let traces = [
        ("small", sample::report(40, 24)),
        // Two attempts to a column: there a part of more than all would show.
        ("middle", sample::report(400, 12)),
        ("large", sample::report(10_000, 300)),
        ("empty", sample::empty()),
    ];
    for (name, report) in traces {
        let mut page = Page::open(&report)?;
        println!(
            "{name}: {} KiB, drawn {:.0} ms after it was opened, with {:.0} ms of CPU",
            page.size >> 10,
            page.ready_ms,
            page.cpu_ms
        );
        page.screenshot(&format!("{name}-light"))?;
        page.media("screen", "dark")?;
        page.screenshot(&format!("{name}-dark"))?;
        let rows = page.eval("document.querySelectorAll('#sources tbody tr').length")?;
        assert_eq!(rows, json!(report.sources.len()));
        // No part is more than the whole: an attempt counts once for a source.
        let parts = "[...document.querySelectorAll('#heat-legend li')].map(e => e.textContent) \
                     .filter(t => t.endsWith('%')).every(t => parseFloat(t) <= 100)";
        assert_eq!(page.eval(parts)?, json!(true), "{name}");
        for width in [1280, 800, 420] {
            page.window(width, 900)?;
            // The drawing follows a frame or two after the window.
            page.wait("document.documentElement.scrollWidth <= innerWidth")?;
            if width < 800 {
                page.screenshot(&format!("{name}-narrow"))?;
            }
        }
        quiet(&page);
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn the_policy_stops_foreign_content() -> Result<()> {
    // Without these reports the tests above would prove nothing.
    let foreign =
        "<script>document.title = 'run'</script><img src=\"https://x.invalid/a.png\"></body>";
    let html = html::render(&sample::report(3, 3))?.replace("</body>", foreign);
    let mut page = Page::open_html(&html)?;
    page.wait("performance.now() > 0")?;
    assert!(page.text("document.title")?.starts_with("Sleepwalk"));
    assert_eq!(page.complaints.len(), 2, "{:?}", page.complaints);
    assert!(
        page.complaints.iter().all(|c| c.contains("Content Security Policy")),
        "{:?}",
        page.complaints
    );
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn each_canvas_has_its_colours() -> Result<()> {
    let mut page = Page::open(&sample::report(40, 24))?;
    for (canvas, color) in [
        ("#lanes .pinned canvas", "o-slept"),
        ("#lanes .pinned canvas", "l-blocked"),
        ("#lanes .rows canvas", "held"),
        ("#overview canvas", "o-slept"),
        ("#cells .rows canvas", "o-aborted"),
        (".stages td canvas", "held"),
    ] {
        assert!(pixels(&mut page, canvas, color)? > 20, "{canvas} has no {color}");
    }
    page.click("[data-mode='wakes']")?;
    assert!(pixels(&mut page, "#cells .rows canvas", "o-slept")? > 20);
    page.click("[data-mode='held']")?;
    assert!(pixels(&mut page, "#cells .rows canvas", "held")? > 20);
    // The stages are in the order of an attempt, though many turn around early.
    let stages = page
        .text("[...document.querySelectorAll('.stages .pick')].map((b) => b.textContent).join()")?;
    assert!(stages.contains("dpm complete,thaw processes,going to sleep"), "{stages}");
    // The chart of a stage, over all attempts, and a drag in it that chooses a range.
    page.click(".stages tbody tr:nth-child(5) .pick")?;
    assert!(pixels(&mut page, "#course canvas", "o-slept")? > 20);
    page.screenshot("course-light")?;
    let whole = range(&mut page)?;
    let [x, y, w, h] = page.frame("#course .u-over")?;
    page.drag((x + w * 0.25, y + h / 2.0), (x + w * 0.5, y + h / 2.0))?;
    let chosen = range(&mut page)?;
    assert!((0.2..0.3).contains(&(chosen.0 / whole.1)), "{chosen:?} of {whole:?}");
    assert!((0.45..0.55).contains(&(chosen.1 / whole.1)), "{chosen:?} of {whole:?}");
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn a_head_sorts_both_ways() -> Result<()> {
    let report = sample::report(200, 60);
    let mut page = Page::open(&report)?;
    page.click("#more")?;
    let sorted = |key: fn(&sleepwalk::report::Source) -> u64| {
        let mut sources: Vec<_> = report.sources.iter().filter(|s| !idle(s)).collect();
        sources.sort_by_key(|s| std::cmp::Reverse(key(s)));
        sources.iter().map(|s| label(s)).collect::<Vec<_>>()
    };
    let head = |text: &str| {
        format!(
            "[...document.querySelectorAll('#sources thead button')]\
             .find(b => b.textContent === '{text}').id = 'head'"
        )
    };
    assert_eq!(names(&mut page)?, sorted(|s| s.sum.cost_ns));
    page.eval(&head("held"))?;
    page.click("#head")?;
    assert_eq!(names(&mut page)?, sorted(|s| s.sum.held_ns));
    assert_eq!(page.eval("document.querySelector('[aria-sort]').textContent")?, json!("held"));
    // And with the keys.
    page.eval("document.getElementById('head').focus()")?;
    page.key("Enter")?;
    let up = names(&mut page)?;
    assert_eq!(page.eval("document.querySelector('[aria-sort]').ariaSort")?, json!("ascending"));
    let held = |name: &str| report.sources.iter().find(|s| label(s) == name).map(|s| s.sum.held_ns);
    assert!(up.is_sorted_by_key(|name| held(name)), "{up:?}");
    page.eval("document.getElementById('head').id = ''")?;
    page.eval(&head("source"))?;
    page.click("#head")?;
    let by_name = names(&mut page)?;
    assert!(by_name.is_sorted_by_key(|name| name.to_lowercase()), "{by_name:?}");
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn the_filter_applies_to_all_rows() -> Result<()> {
    let mut page = Page::open(&sample::report(400, 60))?;
    assert_eq!(names(&mut page)?.len(), 20);
    page.key("/")?;
    assert_eq!(page.eval("document.activeElement.id")?, json!("filter"));
    page.type_in("WLAN")?;
    let shown = names(&mut page)?;
    assert_eq!(shown.len(), 5);
    assert!(shown.iter().all(|name| name.contains("wlan")), "{shown:?}");
    assert!(page.text("document.getElementById('count').textContent")?.starts_with("5 of 60"));
    let height = "document.querySelector('#lanes .rows').clientHeight";
    assert_eq!(page.eval(height)?, json!(5 * 18));
    page.key("Escape")?;
    assert_eq!(names(&mut page)?.len(), 20);
    page.click("#more")?;
    let active = names(&mut page)?.len();
    page.click("#idle")?;
    assert_eq!(names(&mut page)?.len(), 60);
    assert!(active < 60);
    // A finding's source is a way into the ranking.
    page.click("#findings .chip")?;
    let picked = page.text("document.querySelector('.picked .pick').textContent")?;
    assert_eq!(names(&mut page)?.first(), Some(&picked));
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn the_mouse_zooms_and_moves_the_timeline() -> Result<()> {
    let mut page = Page::open(&sample::report(200, 30))?;
    let whole = range(&mut page)?;
    assert_eq!(whole.0, 0.0);
    let [x, y, w, h] = page.frame("#lanes")?;
    let middle = (x + w * 0.6, y + h / 2.0);

    page.ctrl_wheel(middle.0, middle.1, -400.0)?;
    page.wait(&format!("({RANGE})[0] > 0"))?;
    let near = range(&mut page)?;
    assert!(near.1 - near.0 < 0.5 * (whole.1 - whole.0), "{near:?}");

    page.drag(middle, (middle.0 - 100.0, middle.1))?;
    let moved = range(&mut page)?;
    assert!(moved.0 > near.0, "{near:?} {moved:?}");
    assert!(((moved.1 - moved.0) - (near.1 - near.0)).abs() < 1.0, "{near:?} {moved:?}");

    // The heat map shows the same range.
    let of = "Number(document.getElementById('heat-range').textContent.split(' ')[0])";
    assert!(page.eval(of)?.as_f64() < Some(150.0));

    page.click("#fit")?;
    assert_eq!(range(&mut page)?, whole);
    page.click("#zoom-in")?;
    let half = range(&mut page)?;
    assert!(((half.1 - half.0) * 2.0 - whole.1).abs() < 1.0, "{half:?}");
    page.click("#zoom-out")?;
    assert_eq!(range(&mut page)?, whole);

    let [x, y, w, h] = page.frame("#overview")?;
    page.drag((x + w * 0.5, y + h / 2.0), (x + w * 0.6, y + h / 2.0))?;
    let chosen = range(&mut page)?;
    assert!(chosen.0 > 0.3 * whole.1 && chosen.1 < 0.6 * whole.1, "{chosen:?} of {whole:?}");
    page.screenshot("zoomed-light")?;

    // Details under the pointer, and a click that picks the source.
    page.click("#fit")?;
    let [x, y, w, _] = page.frame("#lanes .pinned")?;
    let mut shown = String::new();
    for part in 30..95 {
        page.mouse("mouseMoved", x + w * f64::from(part) / 100.0, y + 36.0 + 9.0)?;
        shown = page.text(TIP)?;
        if !shown.is_empty() {
            break;
        }
    }
    assert!(shown.starts_with("Attempt ") && shown.contains("slept"), "{shown}");
    page.viewport("details-light")?;
    let [x, y, _, _] = page.frame("#lanes .rows")?;
    page.drag((x + 20.0, y + 9.0), (x + 20.0, y + 9.0))?;
    let first = names(&mut page)?.swap_remove(0);
    assert_eq!(page.text("document.querySelector('.picked .pick').textContent")?, first);
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn the_keys_reach_everything() -> Result<()> {
    let mut page = Page::open(&sample::report(200, 30))?;
    // By Tab alone, from the top: to the theme, the filter, the heads, the names, the timeline, …
    let mut stops = Vec::new();
    for _ in 0..90 {
        page.key("Tab")?;
        let stop = page.text(
            "document.activeElement.id || document.activeElement.className \
             || document.activeElement.tagName",
        )?;
        stops.push(stop);
    }
    for stop in ["theme", "filter", "idle", "more", "pick", "zoom-in", "fit", "lanes", "cells"] {
        assert!(stops.iter().any(|s| s == stop), "Tab does not stop at {stop}: {stops:?}");
    }

    page.eval("document.getElementById('lanes').focus()")?;
    let whole = range(&mut page)?;
    page.key("ArrowRight")?;
    let first = page.text(SAID)?;
    assert!(first.starts_with("slept"), "{first}");
    assert!(page.text(TIP)?.starts_with("Attempt "));
    page.key("ArrowRight")?;
    let second = page.text(SAID)?;
    assert_ne!(first, second);
    page.key("ArrowLeft")?;
    assert_eq!(page.text(SAID)?, first);
    let mut rows = Vec::new();
    for _ in 0..8 {
        page.key("ArrowDown")?;
        rows.push(page.text(SAID)?);
    }
    assert!(rows.iter().any(|row| row.contains("User space waits until")), "{rows:?}");
    assert!(rows.iter().any(|row| row.contains(" held. at ")), "{rows:?}");
    page.key("Enter")?;
    let near = range(&mut page)?;
    assert!(near.1 - near.0 < 0.2 * whole.1, "{near:?}");
    page.key_with("ArrowRight", 8)?;
    assert!(range(&mut page)?.0 > near.0);
    page.key("-")?;
    let out = range(&mut page)?;
    assert!(out.1 - out.0 > near.1 - near.0);
    page.key("+")?;
    page.key("0")?;
    assert_eq!(range(&mut page)?, whole);
    page.key("Escape")?;
    assert_eq!(page.text(TIP)?, "");

    page.eval("document.getElementById('cells').focus()")?;
    page.key("ArrowRight")?;
    page.key("ArrowDown")?;
    let shown = page.text("document.getElementById('cells-said').textContent")?;
    assert!(shown.starts_with("Attempt"), "{shown}");
    page.key("Enter")?;
    assert!(range(&mut page)?.1 < whole.1);

    page.eval("document.querySelector('.stages .pick').focus()")?;
    page.key("Enter")?;
    assert_eq!(page.eval("document.getElementById('course').hidden")?, json!(false));
    page.eval("document.querySelector('.chart').focus()")?;
    page.key("ArrowRight")?;
    let shown = page.text("document.getElementById('course-said').textContent")?;
    assert!(shown.starts_with("Attempt "), "{shown}");
    page.screenshot("keys-light")?;
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn system_and_reader_choose_the_theme() -> Result<()> {
    let mut page = Page::open(&sample::report(40, 12))?;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let drawn = "document.querySelector('#lanes .pinned canvas').toDataURL()";
    let (light, light_drawn) = (page.text(ground)?, page.text(drawn)?);
    page.media("screen", "dark")?;
    let (dark, dark_drawn) = (page.text(ground)?, page.text(drawn)?);
    assert_ne!(light, dark);
    assert_ne!(light_drawn, dark_drawn);
    // The reader's choice takes precedence.
    page.click("#theme")?;
    assert_eq!(page.text(ground)?, light);
    assert_eq!(page.text(drawn)?, light_drawn);
    page.click("#theme")?;
    assert_eq!(page.text(ground)?, dark);
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn print_is_light_and_has_no_controls() -> Result<()> {
    let mut page = Page::open(&sample::report(200, 30))?;
    page.media("screen", "dark")?;
    let drawn = "document.querySelector('#lanes .pinned canvas').toDataURL()";
    let dark = page.text(drawn)?;
    page.window(794, 1123)?;
    page.media("print", "dark")?;
    assert_eq!(page.text("getComputedStyle(document.body).backgroundColor")?, "rgb(255, 255, 255)");
    assert_ne!(page.text(drawn)?, dark);
    for gone in ["#theme", "#filter", ".buttons", "#more", ".help"] {
        let display = format!("document.querySelector('{gone}').checkVisibility()");
        assert_eq!(page.eval(&display)?, json!(false), "{gone}");
    }
    page.screenshot("print")?;
    let wide = page.eval("document.documentElement.scrollWidth <= innerWidth")?;
    assert_eq!(wide, json!(true), "the page is wider than the paper");
    let (_, sheets) = page.print("print")?;
    assert!(sheets > 0);
    quiet(&page);
    Ok(())
}

#[test]
#[ignore = "needs Chromium: cargo xtask test"]
fn hostile_names_are_shown_and_do_nothing() -> Result<()> {
    let hostile: [&[u8]; 9] = [
        b"</script><script>document.title='run'</script>",
        b"<img src=x onerror=\"document.title='run'\">",
        b"<!--<script>",
        b"\"><svg onload=document.title='run'>",
        b"'onmouseover='document.title=1",
        b"&lt;b&gt; &amp;",
        "\u{2028}\u{202e}txt.exe".as_bytes(),
        b"\x1b[31m\xff",
        b"{{constructor.constructor('document.title=1')()}}",
    ];
    let mut report = sample::report(30, hostile.len());
    for (source, name) in report.sources.iter_mut().zip(hostile) {
        source.name = Name::new(name);
        // Sources that were never active are not shown.
        source.sum.events += 1;
    }
    everywhere(&mut report, hostile[0]);
    let mut page = Page::open(&report)?;
    let expected: Vec<_> = report.sources.iter().map(label).collect();
    assert_eq!(names(&mut page)?, expected);
    assert_eq!(expected[6], format!("\\u{{2028}}\\u{{202e}}txt.exe [{}]", instance(&report, 6)));
    // Their text for screen readers.
    page.eval("document.getElementById('lanes').focus()")?;
    page.key("ArrowRight")?;
    page.key("ArrowDown")?;
    let shown = page.text(SAID)?;
    assert!(shown.contains("</script><script>document.title='run'</script>"), "{shown}");
    assert!(page.text(TIP)?.contains("</script><script>"), "{shown}");
    page.screenshot("hostile-light")?;
    let title = page.text("document.title")?;
    assert!(title.starts_with("Sleepwalk · </script>"), "{title}");
    let grown =
        "document.querySelectorAll('img, script:not(#data), svg[onload], [onmouseover]').length";
    assert_eq!(page.eval(grown)?, json!(1), "elements that the page has not");
    quiet(&page);
    Ok(())
}

/// The name in every other place that the device fills.
fn everywhere(report: &mut Report, name: &[u8]) {
    let text = String::from_utf8_lossy(name).into_owned();
    report.session.device.clone_from(&text);
    report.session.kernel.clone_from(&text);
    report.session.fingerprint.clone_from(&text);
    report.session.hooks[0].why.clone_from(&text);
    if let FindingKind::Blocker { source, .. } = &mut report.findings[0].kind {
        *source = Name::new(name);
    }
    for attempt in &mut report.attempts {
        if let Some(wake) = &mut attempt.wake {
            wake.irq_name = Some(text.clone());
        }
        // A source that the ranking lacks.
        let (name, evidence) = (Name::new(name), Evidence::Proven);
        attempt.causes = vec![Cause { name, ..Cause::new(u32::MAX, evidence) }];
    }
}

fn instance(report: &Report, row: usize) -> Value {
    json!(report.sources[row].instance)
}

fn idle(source: &sleepwalk::report::Source) -> bool {
    !source.sum.busy()
}

fn label(source: &sleepwalk::report::Source) -> String {
    let instance = source.instance.expect("by instance");
    format!("{} [{instance}]", sleepwalk::text::escape(&source.name.bytes))
}
