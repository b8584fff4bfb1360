//! What looks like a secret in a recorded message is blanked before it leaves the house.
//!
//! A journal holds none: this looks again. Values of fields whose names say so, and long texts of letters and digits without
//! a pattern that no harmless name explains. Blanked to the same length with `x`, as the gateway does.

/// Names of fields (without case, `-` and `_`) whose values never leave.
const SECRET: [&str; 16] = [
    "apikey",
    "xmbxapikey",
    "secret",
    "secretkey",
    "apisecret",
    "clientsecret",
    "clientid",
    "passphrase",
    "password",
    "signature",
    "sign",
    "listenkey",
    "privatekey",
    "accesstoken",
    "refreshtoken",
    "token",
];
/// Names of fields whose long values are no secret: ids and sums.
const HARMLESS: [&str; 6] = ["hash", "cloid", "checksum", "l1hash", "uuid", "connid"];
/// Shorter texts are ids, names and numbers.
const LENGTH_MIN: usize = 40;
/// Distinct characters of a key: hex has at most 16.
const DISTINCT_MIN: usize = 10;

/// Blanks what looks like a secret in `text`; the names of the fields that held one.
pub fn blank(text: &mut [u8]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut name, mut at) = (String::new(), 0);
    while let Some(open) = text[at..].iter().position(|byte| *byte == b'"').map(|i| at + i + 1) {
        let Some(close) = end_of(text, open) else { break };
        let is_name = text[close + 1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        let value = &text[open..close];
        if is_name {
            name = String::from_utf8_lossy(value).into_owned();
        } else if !is_blank(value) && is_secret(&name, value) {
            text[open..close].fill(b'x');
            found.push(if name.is_empty() { "(no name)".to_owned() } else { name.clone() });
        }
        at = close + 1;
    }
    found
}

/// The quote that ends the string that begins at `open`.
fn end_of(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_blank(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'x')
}

fn is_secret(name: &str, value: &[u8]) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if SECRET.contains(&name.as_str()) {
        return true;
    }
    let address =
        value.strip_prefix(b"0x").is_some_and(|hex| hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit));
    address || (!HARMLESS.contains(&name.as_str()) && is_key(value))
}

/// Long, of letters and digits, and with many different ones.
fn is_key(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    let mut kinds = [false; 2];
    for byte in value {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_') {
            return false;
        }
        seen[usize::from(*byte)] = true;
        kinds[0] |= byte.is_ascii_digit();
        kinds[1] |= byte.is_ascii_alphabetic();
    }
    let distinct = seen.iter().filter(|seen| **seen).count();
    value.len() >= LENGTH_MIN && kinds == [true, true] && distinct >= DISTINCT_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(text: &str) -> (String, Vec<String>) {
        let mut bytes = text.as_bytes().to_vec();
        let found = blank(&mut bytes);
        (String::from_utf8(bytes).expect("text"), found)
    }

    #[test]
    fn named_secrets_addresses_and_long_keys_are_blanked_to_their_length() {
        for (secret, name) in [
            (r#"{"listenKey":"abc123"}"#, "listenKey"),
            (r#"{"params": {"api_key" : "q1w2"}}"#, "api_key"),
            (r#"{"user":"0x8aF3c17bd0aa6d4fce51b0f0de0a1f0e5b1c2d3e"}"#, "user"),
            (r#"["vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"]"#, "(no name)"),
        ] {
            let (text, found) = blanked(secret);
            assert_eq!((text.len(), found), (secret.len(), vec![name.to_owned()]), "{secret}");
            assert!(text.contains("xxxx"), "{text}");
            assert_eq!(blanked(&text), (text, Vec::new()), "once");
        }
    }

    #[test]
    fn prices_ids_sums_and_what_is_blank_already_stay() {
        for text in [
            r#"{"c":"0000000700000000000000000000002a","p":"64000.10","i":918273645546372819}"#,
            r#"{"hash":"0x3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed"}"#,
            r#"{"listenKey":"xxxxxxxx","s":"BTC-USDT-SWAP"}"#,
            r#"{"msg":"this is a long sentence of 50 or more characters of words"}"#,
            "no json \" at all",
        ] {
            assert_eq!(blanked(text), (text.to_owned(), Vec::new()));
        }
    }
}
