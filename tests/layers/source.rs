//! Rust source as a list of words: enough to see which paths it names, without a parser of the whole language.

use std::collections::BTreeSet;

/// A name, a number, or one piece of punctuation (`::` is one), and the line it stands on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Takes comments out and makes every literal an empty one.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut all = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let end = end_of(&chars, at);
        let text: String = chars[at..end].iter().collect();
        let shown = match chars[at] {
            c if c.is_whitespace() => None,
            '/' if text.len() > 1 => None,
            _ if text.ends_with(['"', '#']) && text.len() > 1 => Some("\"\"".to_owned()),
            '\'' => Some("''".to_owned()),
            _ => Some(text.clone()),
        };
        all.extend(shown.map(|text| Token { text, line }));
        line += text.matches('\n').count();
        at = end;
    }
    all
}

/// Where the token that begins at `at` ends.
fn end_of(chars: &[char], at: usize) -> usize {
    let name = |c: &char| c.is_alphanumeric() || *c == '_';
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    match (chars[at], next(1)) {
        ('/', '/') => chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n),
        ('/', '*') => end_of_comment(chars, at),
        ('"', _) => end_of_string(chars, at),
        ('b' | 'c', '"') => end_of_string(chars, at + 1),
        ('r', '"' | '#') if is_raw(chars, at + 1) => end_of_raw(chars, at + 1),
        ('b' | 'c', 'r') if is_raw(chars, at + 2) => end_of_raw(chars, at + 2),
        ('b', '\'') => end_of(chars, at + 1),
        // 'x' and '\n' are characters, 'x alone is a lifetime.
        ('\'', '\\') => chars[at + 3..].iter().position(|c| *c == '\'').map_or(chars.len(), |n| at + 3 + n + 1),
        ('\'', _) if next(2) == '\'' => at + 3,
        ('\'', c) if name(&c) => chars[at + 1..].iter().position(|c| !name(c)).map_or(chars.len(), |n| at + 1 + n),
        (':', ':') => at + 2,
        (c, _) if name(&c) => chars[at..].iter().position(|c| !name(c)).map_or(chars.len(), |n| at + n),
        _ => at + 1,
    }
}

fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < chars.len() && chars[end] != '"' {
        end += if chars[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(chars.len())
}

fn is_raw(chars: &[char], at: usize) -> bool {
    chars.get(at..).unwrap_or_default().iter().find(|c| **c != '#') == Some(&'"')
}

fn end_of_raw(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    let closes = |n: &usize| chars[*n] == '"' && (1..=hashes).all(|h| chars.get(n + h) == Some(&'#'));
    (at + hashes + 1..chars.len()).find(closes).map_or(chars.len(), |n| n + hashes + 1)
}

/// Without the items below `#[cfg(test)]`.
pub fn without_tests(all: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if !starts_with(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(all[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0;
        at += 7;
        while at < all.len() {
            match all[at].text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 && ["}", ";"].contains(&all[at - 1].text.as_str()) {
                break;
            }
        }
    }
    kept
}

pub fn starts_with(all: &[Token], words: &[&str]) -> bool {
    all.len() >= words.len() && all.iter().zip(words).all(|(token, word)| token.text == *word)
}

/// The first names of all paths from the root of the crate, whichever way they are written, with the line; `*` for all of
/// them, `crate` for the crate itself. `module` is the path of the file: `src/init/user.rs` is `["init", "user"]`.
pub fn rooms_named(all: &[Token], module: &[&str]) -> BTreeSet<(String, usize)> {
    let mut found = BTreeSet::new();
    let mut here: Vec<String> = module.iter().map(ToString::to_string).collect();
    // For each open brace, whether it is that of a `mod NAME {`.
    let mut braces = Vec::new();
    for at in 0..all.len() {
        match all[at].text.as_str() {
            "{" => {
                let inner = at >= 2 && all[at - 2].text == "mod";
                if inner {
                    here.push(all[at - 1].text.clone());
                }
                braces.push(inner);
            }
            "}" if braces.pop() == Some(true) => drop(here.pop()),
            "crate" | "super" | "little_container" if at == 0 || all[at - 1].text != "::" => {
                let is_pub = at >= 2 && all[at - 1].text == "(" && all[at - 2].text == "pub";
                if !is_pub && !is_inside_group(all, at) {
                    path(&all[at..], here.clone(), &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// `{super::…}` after `::` belongs to a path that has been followed from its beginning.
fn is_inside_group(all: &[Token], at: usize) -> bool {
    let mut depth = 0;
    for n in (1..at).rev() {
        match all[n].text.as_str() {
            "}" => depth += 1,
            "{" if depth == 0 => return all[n - 1].text == "::",
            "{" => depth -= 1,
            ";" => return false,
            _ => {}
        }
    }
    false
}

/// Follows one path, and every branch of a group in it. Gives back how many tokens it took.
fn path(all: &[Token], mut from: Vec<String>, found: &mut BTreeSet<(String, usize)>) -> usize {
    let mut at = 0;
    while let Some(token) = all.get(at) {
        let more = all.get(at + 1).is_some_and(|t| t.text == "::");
        match token.text.as_str() {
            "{" => return at + group(&all[at..], &from, found),
            "crate" | "little_container" => from.clear(),
            "super" => drop(from.pop()),
            "self" => {}
            name => {
                if from.is_empty() {
                    found.insert((name.into(), token.line));
                }
                from.push(name.into());
            }
        }
        if !more {
            if from.is_empty() {
                found.insert(("crate".into(), token.line));
            }
            return at + 1;
        }
        at += 2;
    }
    at
}

fn group(all: &[Token], from: &[String], found: &mut BTreeSet<(String, usize)>) -> usize {
    let mut at = 1;
    while let Some(token) = all.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            // `as NAME`
            "as" => at += 2,
            _ => at += path(&all[at..], from.to_vec(), found).max(1),
        }
    }
    at
}
