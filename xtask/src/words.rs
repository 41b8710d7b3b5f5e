//! `cargo xtask words`: finds the words that the project does not use, in documents, comments, string
//! literals, identifiers and file names. The list is `words.txt`, which no rule applies to.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{paths, sh};

const LIST: &str = include_str!("words.txt");

/// The kinds of files that are checked, by what begins a comment; `None` for prose.
const KINDS: [(&str, Option<&str>); 11] = [
    ("md", None),
    ("rs", Some("//")),
    ("js", Some("//")),
    ("css", Some("/*")),
    ("py", Some("#")),
    ("sh", Some("#")),
    ("toml", Some("#")),
    ("run", Some("#")),
    ("adb", Some("#")),
    ("json", Some("//")),
    ("csv", Some("//")),
];

/// Other people's files, which are included as they came.
const VENDORED: &str = "/vendor/";

struct Rule {
    words: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
    starts_sentence: bool,
    instead: String,
}

/// One word of a file, and the characters between it and the word before.
struct Token {
    word: String,
    gap: String,
    line: usize,
    /// In a comment or a document's text, but not in a heading, a table or a code block.
    prose: bool,
}

#[derive(Debug, PartialEq)]
struct Hit {
    line: usize,
    word: String,
    instead: String,
}

/// Checks all tracked and new files, or those below `within`.
pub fn check(within: &[String]) -> Result<()> {
    let rules = rules()?;
    let mut git = Command::new("git");
    git.current_dir(paths::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    git.arg("--").args(within);
    let mut count = 0;
    for file in sh::read(&mut git)?.lines().collect::<BTreeSet<_>>() {
        let Some(comment) = kind(file) else {
            continue;
        };
        // A file that was removed, but is still in the index.
        let Ok(text) = fs::read_to_string(paths::root().join(file)) else {
            continue;
        };
        let in_name = hits(&rules, &tokens(file, Some("//"))).into_iter();
        let in_text = hits(&rules, &tokens(&text, comment));
        for hit in in_name.map(|hit| Hit { line: 0, ..hit }).chain(in_text) {
            println!("{file}:{}: {}: write {} instead", hit.line, hit.word, hit.instead);
            count += 1;
        }
    }
    ensure!(count == 0, "{count} words to replace; docs/glossary.md has the project's own");
    sh::progress("no word to replace");
    Ok(())
}

/// How a checked file begins a comment, `None` for one that is not checked.
fn kind(file: &str) -> Option<Option<&'static str>> {
    let extension = file.rsplit(['.', '/']).next()?;
    let known = KINDS.iter().find(|(kind, _)| *kind == extension)?;
    (!file.contains(VENDORED)).then_some(known.1)
}

fn rules() -> Result<Vec<Rule>> {
    let lines = LIST.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| rule(line).with_context(|| format!("words.txt: {line:?}"))).collect()
}

/// `[BEFORE...] WORDS [AFTER...] => INSTEAD`.
fn rule(line: &str) -> Result<Rule> {
    let (pattern, instead) = line.split_once(" => ").context("no ` => `")?;
    let (mut words, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut in_brackets = false;
    for word in pattern.split_whitespace() {
        in_brackets |= word.starts_with('[');
        let bare = word.trim_matches(['[', ']']).to_owned();
        match (in_brackets, words.is_empty()) {
            (false, _) => words.push(bare),
            (true, true) => before.push(bare),
            (true, false) => after.push(bare),
        }
        in_brackets &= !word.ends_with(']');
    }
    let starts_sentence = words.first().is_some_and(|word| word == "^");
    words.drain(..usize::from(starts_sentence));
    if words.is_empty() {
        bail!("no words");
    }
    Ok(Rule { words, before, after, starts_sentence, instead: instead.to_owned() })
}

/// Splits a text into words; `snake_case` and `camelCase` are split too.
fn tokens(text: &str, comment: Option<&str>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut gap, mut fenced) = (String::new(), false);
    for (index, line) in text.lines().enumerate() {
        fenced ^= comment.is_none() && line.trim_start().starts_with("```");
        let prose_from = match comment {
            None if fenced || line.starts_with(['#', '|']) => None,
            None => Some(0),
            Some(leader) => comment_start(line, leader),
        };
        let mut before = ' ';
        for (at, c) in line.char_indices() {
            if c.is_alphanumeric() {
                let hump = before.is_lowercase() && c.is_uppercase();
                if hump || !before.is_alphanumeric() {
                    tokens.push(Token {
                        word: String::new(),
                        gap: std::mem::take(&mut gap),
                        line: index + 1,
                        prose: prose_from.is_some_and(|start| at >= start),
                    });
                }
                if let Some(token) = tokens.last_mut() {
                    token.word.push(c);
                }
            } else {
                gap.push(c);
            }
            before = c;
        }
        gap.push('\n');
    }
    // An empty one, for the gap behind the last word.
    tokens.push(Token { word: String::new(), gap, line: 0, prose: false });
    tokens
}

/// Where a line's comment begins: at its start, or behind code and a blank, as in `x // y`.
fn comment_start(line: &str, leader: &str) -> Option<usize> {
    let code = line.len() - line.trim_start().len();
    if line[code..].starts_with(leader) {
        return Some(code);
    }
    line.find(&format!(" {leader} "))
}

fn hits(rules: &[Rule], tokens: &[Token]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for at in 0..tokens.len() {
        if let Some(rule) = rules.iter().find(|rule| applies(rule, tokens, at)) {
            let words: Vec<&str> =
                tokens[at..at + rule.words.len()].iter().map(|t| t.word.as_str()).collect();
            hits.push(Hit {
                line: tokens[at].line,
                word: words.join(" "),
                instead: rule.instead.clone(),
            });
        }
    }
    hits
}

fn applies(rule: &Rule, tokens: &[Token], at: usize) -> bool {
    let Some(found) = tokens.get(at..at + rule.words.len()) else {
        return false;
    };
    let same = rule.words.iter().zip(found).all(|(pattern, token)| matches(pattern, &token.word));
    if !same || !found[1..].iter().all(|token| joined(&token.gap)) {
        return false;
    }
    if rule.starts_sentence {
        return starts_sentence(tokens, at) && !is_question(tokens, at);
    }
    let any = |words: &[String], token: &Token| words.iter().any(|word| matches(word, &token.word));
    let previous = at.checked_sub(1).and_then(|before| tokens.get(before));
    let exempt_before =
        previous.is_some_and(|token| joined(&tokens[at].gap) && any(&rule.before, token));
    let next = tokens.get(at + rule.words.len());
    let exempt_after = next.is_some_and(|token| joined(&token.gap) && any(&rule.after, token));
    !exempt_before && !exempt_after
}

fn matches(pattern: &str, word: &str) -> bool {
    if pattern.contains(char::is_uppercase) {
        return pattern == word;
    }
    let word = word.to_lowercase();
    match pattern.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => pattern == word,
    }
}

/// Whether the words at both ends of a gap follow each other in one phrase, be it in the next line.
fn joined(gap: &str) -> bool {
    let line_ends = gap.matches('\n').count();
    line_ends < 2 && gap.chars().all(|c| c.is_whitespace() || "/!#*>_-\\".contains(c))
}

fn starts_sentence(tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    if !token.prose {
        return false;
    }
    let Some(previous) = at.checked_sub(1).and_then(|before| tokens.get(before)) else {
        return true;
    };
    // A blank line of a comment has only what begins the comment.
    let paragraph = token.gap.matches('\n').count() > 1;
    let item = ["\n- ", "\n* ", "- **"].iter().any(|bullet| token.gap.contains(bullet));
    !previous.prose || paragraph || item || ends_sentence(&token.gap)
}

fn ends_sentence(gap: &str) -> bool {
    let end = gap.find(['.', '!', '?']);
    // A comment's `//!` ends nothing.
    let gap = end.map_or("", |end| &gap[end..]);
    let is_leader = end.is_some_and(|_| gap.starts_with("! ")) && !gap.contains(['.', '?']);
    !is_leader && gap.contains(char::is_whitespace)
}

/// Questions may begin as they like.
fn is_question(tokens: &[Token], at: usize) -> bool {
    let rest = tokens[at + 1..].iter().map(|token| token.gap.as_str());
    let end = rest.take_while(|gap| gap.matches('\n').count() < 2).find(|gap| ends_sentence(gap));
    end.is_some_and(|gap| gap.starts_with('?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, comment: Option<&str>) -> Vec<String> {
        let hits = hits(&rules().unwrap(), &tokens(text, comment));
        hits.into_iter().map(|hit| hit.word).collect()
    }

    /// Word by word, so that this file has none of them.
    fn joined_words(words: &[&str]) -> String {
        words.concat()
    }

    #[test]
    fn each_rule_finds_its_words() {
        for rule in rules().unwrap() {
            let words = rule.words.join(" ").replace('*', "");
            let text = format!("// {words} and more.");
            let hits = hits(&rules().unwrap(), &tokens(&text, Some("//")));
            assert_eq!(hits.len(), 1, "{text}");
            assert_eq!((hits[0].line, &hits[0].word), (1, &words));
            let exempt = rule.before.iter().map(|word| format!("{word} {words}"));
            let exempt = exempt.chain(rule.after.iter().map(|word| format!("{words} {word}")));
            for text in exempt {
                assert_eq!(found(&text, None), [""; 0], "{text}");
            }
        }
    }

    #[test]
    fn identifiers_are_split_into_words() {
        let word = joined_words(&["unt", "old"]);
        let hump = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
        for code in [format!("fn a_{word}_b()"), format!("{word}Ns"), format!("is{hump}(x)")] {
            assert_eq!(found(&code, Some("//")).len(), 1, "{code}");
        }
        let longer = format!("{word}er and pm_save_wakeup_count");
        assert_eq!(found(&longer, Some("//")), [""; 0]);
    }

    #[test]
    fn a_phrase_goes_on_in_the_next_line() {
        let comment = format!("    /// It ends by\n    /// {}.", joined_words(&["it", "self"]));
        assert_eq!(found(&comment, Some("//")).len(), 1);
        let list = format!("- by\n\n- {}", joined_words(&["it", "self"]));
        assert_eq!(found(&list, None), [""; 0]);
    }

    #[test]
    fn ordinary_english_passes() {
        for text in ["in the order of their names", "out of order", "the power supplies are read"] {
            assert_eq!(found(text, None), [""; 0], "{text}");
        }
    }

    #[test]
    fn only_the_start_of_a_sentence_counts() {
        let what = joined_words(&["Wh", "at"]);
        for (text, count) in [
            (format!("{what} is late.\n"), 1),
            (format!("It is late. {what} is late."), 1),
            (format!("It is: {what} is late."), 0),
            (format!("- {what} is late."), 1),
            (format!("{what} is it?"), 0),
            (format!("## {what} it costs\n"), 0),
            (format!("| {what} | cost |\n"), 0),
            (format!("```\n{what} is late.\n```\n"), 0),
        ] {
            assert_eq!(found(&text, None).len(), count, "{text}");
        }
        let code = format!("//! Late.\n//!\n//! {what} is late.\nlet a = \"x. {what}\"; // {what}");
        assert_eq!(found(&code, Some("//")).len(), 2);
    }
}
