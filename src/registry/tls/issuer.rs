//! Who issued a certificate: just enough of DER (X.690) to find the name in it (RFC 5280, 4.1).

/// The common name of the issuer, or its organisation.
pub(super) fn of(certificate: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // version [0], where it is there; serialNumber; signature; issuer
    let (tag, _, after) = element(fields)?;
    if tag == 0xa0 {
        fields = after;
    }
    let (_, _, after) = element(fields)?;
    let (_, _, after) = element(after)?;
    let (_, name, _) = element(after)?;
    // id-at-commonName, id-at-organizationName
    find(name, &[0x55, 4, 3]).or_else(|| find(name, &[0x55, 4, 10]))
}

/// The value of an attribute of a name: SEQUENCE OF SET OF SEQUENCE { OID, text }.
fn find(mut name: &[u8], wanted: &[u8]) -> Option<String> {
    while !name.is_empty() {
        let (_, mut set, after) = element(name)?;
        while !set.is_empty() {
            let (_, pair, next) = element(set)?;
            let (_, oid, value) = element(pair)?;
            if oid == wanted {
                let (_, text, _) = element(value)?;
                return Some(String::from_utf8_lossy(text).into_owned());
            }
            set = next;
        }
        name = after;
    }
    None
}

/// The tag, the content, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        ..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short - 0x80))?;
            (digits.iter().fold(0, |all, &digit| all << 8 | usize::from(digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, 0x82, (content.len() >> 8) as u8, content.len() as u8], content.as_slice()].concat()
    }

    #[test]
    fn the_issuer_is_found() {
        let pair = |oid: u8, text: &str| {
            wrap(0x31, &[&wrap(0x30, &[&wrap(6, &[&[0x55, 4, oid]]), &wrap(12, &[text.as_bytes()])])])
        };
        let name = wrap(0x30, &[&pair(10, "Example Ltd"), &pair(3, "Example CA")]);
        let fields = [wrap(0xa0, &[&[2, 1, 2]]), vec![2, 1, 9], wrap(0x30, &[]), name];
        let tbs = wrap(0x30, &[&fields.concat()]);
        let certificate = wrap(0x30, &[&tbs, &[1, 2, 3]]);
        assert_eq!(of(&certificate).as_deref(), Some("Example CA"));
        for end in 0..certificate.len() {
            assert_eq!(of(&certificate[..end]), None);
        }
    }
}
