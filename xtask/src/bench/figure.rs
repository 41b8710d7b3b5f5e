//! A measured figure and what it must be, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// A figure's bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    /// `None` for a figure that is only reported.
    pub limit: Option<Limit>,
}

impl Figure {
    /// A figure that is only reported.
    pub fn reported(name: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { name: name.into(), value, unit, limit: None }
    }

    /// A figure with a limit.
    pub fn limited(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        limit: Limit,
    ) -> Figure {
        Figure { name: name.into(), value, unit, limit: Some(limit) }
    }

    /// Whether it is as it must be; something that is no number never is.
    pub fn ok(&self) -> bool {
        match self.limit {
            None => true,
            Some(Limit::AtLeast(least)) => self.value >= least,
            Some(Limit::AtMost(most)) => self.value <= most,
        }
    }

    fn limit(&self) -> Option<String> {
        self.limit.map(|limit| limit.to_string())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Limit::AtLeast(least) => write!(f, ">= {}", number(*least)),
            Limit::AtMost(most) => write!(f, "<= {}", number(*most)),
        }
    }
}

/// A list of `{name, value, unit, limit, ok}`; a limit is a string, such as `>= 500`, or null.
pub fn json(figures: &[Figure]) -> String {
    let list: Vec<Value> = figures
        .iter()
        .map(|figure| {
            json!({
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "limit": figure.limit(),
                "ok": figure.ok(),
            })
        })
        .collect();
    // A list of plain values always has a text.
    format!("{:#}\n", Value::Array(list))
}

/// For people.
pub fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
    let mut text =
        format!("{:<width$}  {:>10}  {:<4}  {:<9}\n", "figure", "value", "unit", "limit");
    for figure in figures {
        let verdict = match (figure.limit, figure.ok()) {
            (None, _) => "",
            (_, true) => "ok",
            (_, false) => "MISSED",
        };
        let limit = figure.limit().unwrap_or_default();
        let line = format!(
            "{:<width$}  {:>10}  {:<4}  {limit:<9} {verdict}",
            figure.name,
            number(figure.value),
            figure.unit
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Three figures that count, whole numbers whole.
fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Vec<Figure> {
        vec![
            Figure::reported("load", 0.25, ""),
            Figure::limited("faster", 612.4, "x", Limit::AtLeast(500.0)),
            Figure::limited("memory", 8.5, "MB", Limit::AtMost(8.0)),
        ]
    }

    #[test]
    fn limits_include_their_edge_and_refuse_nan() {
        let of = |value, limit| Figure::limited("", value, "", limit).ok();
        assert!(of(500.0, Limit::AtLeast(500.0)) && of(8.0, Limit::AtMost(8.0)));
        assert!(!of(499.9, Limit::AtLeast(500.0)) && !of(8.1, Limit::AtMost(8.0)));
        assert!(!of(f64::NAN, Limit::AtLeast(0.0)) && !of(f64::NAN, Limit::AtMost(0.0)));
    }

    #[test]
    fn a_table_for_people() {
        let wanted = "\
figure       value  unit  limit    \n\
load         0.250\n\
faster         612  x     >= 500    ok\n\
memory        8.50  MB    <= 8      MISSED\n";
        let (wanted, table) = (wanted.replace("    \n", "\n"), table(&figures()));
        assert_eq!(
            table.lines().map(str::trim_end).collect::<Vec<_>>(),
            wanted.lines().collect::<Vec<_>>()
        );
    }

    #[test]
    fn json_for_scripts() {
        let list: Value = serde_json::from_str(&json(&figures())).unwrap();
        let wanted = json!([
            {"name": "load", "value": 0.25, "unit": "", "limit": null, "ok": true},
            {"name": "faster", "value": 612.4, "unit": "x", "limit": ">= 500", "ok": true},
            {"name": "memory", "value": 8.5, "unit": "MB", "limit": "<= 8", "ok": false}
        ]);
        assert_eq!(list, wanted);
    }
}
