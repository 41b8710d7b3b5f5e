//! The report as one HTML file that makes no requests: styles, script and data are in it, and its
//! Content-Security-Policy forbids the rest.
//!
//! The text of the page is there before any script runs: it is the page that the terminal and
//! Markdown show. The script sorts and filters the ranking, and draws the rest. Names from the device
//! reach the page in two ways: through maud, which escapes, and in the data, which has no `<` in it;
//! the script only ever sets them as text.

mod blocks;
mod data;
mod page;
mod ranking;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use super::json::harmless;
use crate::report::Report;

/// The style sheets.
const STYLE: [&str; 2] = [include_str!("vendor/uPlot.min.css"), include_str!("page.css")];

/// The scripts as one; each uses those before it.
const SCRIPT: [&str; 16] = [
    "/* uPlot, https://github.com/leeoniya/uPlot\n\n",
    include_str!("vendor/uPlot.LICENSE"),
    "\n*/\n",
    include_str!("vendor/uPlot.iife.min.js"),
    "\n(() => {\n\"use strict\";\n",
    include_str!("script/units.js"),
    include_str!("script/data.js"),
    include_str!("script/state.js"),
    include_str!("script/dom.js"),
    include_str!("script/describe.js"),
    include_str!("script/ranking.js"),
    include_str!("script/timeline.js"),
    include_str!("script/heatmap.js"),
    include_str!("script/latency.js"),
    include_str!("script/main.js"),
    "})();\n",
];

/// The page.
///
/// # Errors
///
/// As serde_json's, which for these types has none.
pub fn render(report: &Report) -> Result<String, serde_json::Error> {
    let style = STYLE.concat();
    let script = SCRIPT.concat();
    let data = embedded(&serde_json::to_string(&data::compact(report))?);
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
        hash(&script),
        hash(&style)
    );
    Ok(page::page(report, &page::Parts { policy, style, script, data }).into_string())
}

/// JSON that cannot end or change the element that it is in: `</script>` and `<!--` need a `<`,
/// and in JSON that is only within strings.
fn embedded(json: &str) -> String {
    harmless(json).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// As a Content-Security-Policy names inline content.
fn hash(content: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_can_be_inline() {
        let (style, script) = (STYLE.concat(), SCRIPT.concat());
        for content in [&style, &script] {
            let content = content.to_lowercase();
            for end in ["</script", "</style", "<script", "<!--"] {
                assert!(!content.contains(end), "{end}");
            }
            // A parser would normalise it, and the hash would be another's.
            assert!(!content.contains(['\r', '\0']));
        }
        // Each of our own files draws from this page alone.
        for part in SCRIPT.iter().skip(5).chain(&STYLE) {
            for request in ["fetch(", "XMLHttpRequest", "import(", "@import", "url(", "innerHTML"] {
                assert!(!part.contains(request), "{request}");
            }
        }
    }

    #[test]
    fn data_stays_data() {
        let json =
            embedded(&serde_json::to_string("</script><!-- & \u{2028}\u{202e}").expect("JSON"));
        assert_eq!(json, r#""\u003c/script\u003e\u003c!-- \u0026 \u2028\u202e""#);
        let back: String = serde_json::from_str(&json).expect("JSON");
        assert_eq!(back, "</script><!-- & \u{2028}\u{202e}");
    }

    #[test]
    fn the_hash_is_that_of_the_specification() {
        // https://www.w3.org/TR/CSP2/ has this example.
        let hash_there = "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=";
        assert_eq!(hash("alert('Hello, world.');"), hash_there);
    }
}
