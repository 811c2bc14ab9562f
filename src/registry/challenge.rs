//! What a server wants to know, in `WWW-Authenticate` (RFC 9110, 11.6.1; RFC 6750, 3).

/// What is longer is not looked at, in bytes.
const MAX: usize = 8 << 10;

/// A way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer` or another, in lower case.
    pub scheme: String,
    /// Names in lower case, and values without their quotes.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; the first one where it is given twice.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All ways that a header names, in its order.
///
/// # Errors
/// It breaks the grammar: which rule.
pub fn parse(header: &str) -> Result<Vec<Challenge>, String> {
    if header.len() > MAX {
        return Err(format!("it has {} bytes", header.len()));
    }
    let mut text = Text { rest: header };
    let mut all: Vec<Challenge> = Vec::new();
    loop {
        while text.skip(b" \t") || text.skip(b",") {}
        if text.rest.is_empty() {
            return Ok(all);
        }
        let word = text.token().ok_or("a name is missing")?.to_ascii_lowercase();
        let spaced = text.skip(b" \t");
        if text.take('=') {
            text.skip(b" \t");
            let value = text.value()?;
            let challenge = all.last_mut().ok_or("a parameter without a scheme")?;
            challenge.params.push((word, value));
            text.skip(b" \t");
            if !text.rest.is_empty() && !text.rest.starts_with(',') {
                return Err("a comma is missing".to_owned());
            }
            continue;
        }
        if !spaced && !text.rest.is_empty() && !text.rest.starts_with(',') {
            return Err("a name has a character that none may have".to_owned());
        }
        if spaced {
            text.skip_token68();
        }
        all.push(Challenge { scheme: word, params: vec![] });
    }
}

struct Text<'a> {
    rest: &'a str,
}

impl<'a> Text<'a> {
    /// Goes over such bytes; whether there was one.
    fn skip(&mut self, bytes: &[u8]) -> bool {
        let rest = self.rest.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(|b| bytes.contains(&b)));
        let any = rest.len() < self.rest.len();
        self.rest = rest;
        any
    }

    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn split(&mut self, is_part: impl Fn(u8) -> bool) -> Option<&'a str> {
        let end = self.rest.bytes().position(|b| !is_part(b)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn token(&mut self) -> Option<&'a str> {
        self.split(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    }

    /// What some schemes have in place of parameters; it is nothing to us.
    fn skip_token68(&mut self) {
        let mut ahead = Text { rest: self.rest };
        if ahead.split(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)).is_some() {
            ahead.skip(b"=");
            ahead.skip(b" \t");
            if ahead.rest.is_empty() || ahead.rest.starts_with(',') {
                self.rest = ahead.rest;
            }
        }
    }

    /// A token, or a text in quotes, where `\` takes the next character as it is.
    fn value(&mut self) -> Result<String, String> {
        if !self.take('"') {
            return self.token().map(str::to_owned).ok_or_else(|| "a value is missing".to_owned());
        }
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(value);
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c if c.is_control() && c != '\t' => return Err("a control character in a value".to_owned()),
                c => value.push(c),
            }
        }
        Err("a quote is not closed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_and_basic() {
        let all = parse(
            "Bearer realm=\"https://auth.example/token\",service=\"a,b\" , scope=\"repository:x:pull,push\", \
             Basic realm=\"say \\\"hi\\\"\",Negotiate abc==, NTLM",
        )
        .unwrap();
        let schemes: Vec<_> = all.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["bearer", "basic", "negotiate", "ntlm"]);
        assert_eq!(all[0].param("realm"), Some("https://auth.example/token"));
        assert_eq!((all[0].param("service"), all[0].param("scope")), (Some("a,b"), Some("repository:x:pull,push")));
        assert_eq!(all[1].param("realm"), Some("say \"hi\""));
        assert_eq!(parse("BEARER Realm=x").unwrap()[0].param("realm"), Some("x"));
        assert_eq!(parse(" , ").unwrap(), []);
    }

    #[test]
    fn what_is_none() {
        for bad in ["realm=x", "Bearer realm=\"x", "Bearer realm=\"x\" y=z", "Bearer\u{e9}", "B realm=\"\n\""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"a,".repeat(MAX)).is_err());
    }

    #[test]
    fn nothing_makes_it_panic() {
        let pieces = ["Bearer", " ", ",", "=", "\"", "\\", "realm", "é", "\u{0}", "a=\"b\""];
        for n in 0..100_000_usize {
            let text: String = (0..6).map(|at| pieces[n / 10_usize.pow(at) % 10]).collect();
            let _ = parse(&text);
        }
    }
}
