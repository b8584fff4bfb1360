//! Signatures: HMAC-SHA256 with a shared secret, or Ed25519 with a private key of our own. Part of the vault: what is
//! in here is shown nowhere.

use crate::domain::effect::SignScheme;
use crate::domain::text::hex as hex_of;
use ring::hmac;
use ring::signature::Ed25519KeyPair;

/// The longest signature as text: 64 bytes in base64, each digit percent-encoded.
pub(super) const SIGNATURE_MAX: usize = 88 * 3;

/// Before the 64 hex digits of a private key's seed.
const SEED: &str = "ed25519:";
/// Before the base64 of a private key.
const PEM: &str = "-----BEGIN PRIVATE KEY-----";

/// What signs. Signing with it costs no more than the signature.
pub(super) enum Signer {
    /// HMAC-SHA256.
    Hmac(hmac::Key),
    /// Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
    /// A private key that cannot be read: signs nothing.
    Broken,
}

/// True when a secret is an Ed25519 private key (PEM, or `ed25519:` and the seed in hex) and not a shared secret.
pub fn is_ed25519(secret: &str) -> bool {
    secret.starts_with("-----BEGIN") || secret.starts_with(SEED)
}

/// True when a secret can sign: any shared secret, and a private key that is well-formed.
pub fn is_usable(secret: &str) -> bool {
    !matches!(Signer::of(secret), Signer::Broken)
}

impl Signer {
    /// From a secret.
    pub fn of(secret: &str) -> Self {
        if !is_ed25519(secret) {
            return Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        }
        key_pair(secret).map_or(Self::Broken, |pair| Self::Ed25519(Box::new(pair)))
    }

    /// Signs `text`; the length of the signature's text in `out`. `None` when this key has no such signatures.
    pub fn sign(&self, scheme: SignScheme, text: &[u8], out: &mut [u8; SIGNATURE_MAX]) -> Option<usize> {
        match (self, scheme) {
            (Self::Hmac(key), SignScheme::HmacSha256Hex) => Some(hex(hmac::sign(key, text).as_ref(), out)),
            (Self::Hmac(key), SignScheme::HmacSha256Base64) => {
                Some(base64(hmac::sign(key, text).as_ref(), out))
            }
            (Self::Ed25519(pair), SignScheme::Ed25519Base64) => Some(base64(pair.sign(text).as_ref(), out)),
            (Self::Ed25519(pair), SignScheme::Ed25519Percent) => {
                let mut plain = [0; SIGNATURE_MAX];
                let len = base64(pair.sign(text).as_ref(), &mut plain);
                Some(percent(&plain[..len], out))
            }
            _ => None,
        }
    }
}

fn key_pair(secret: &str) -> Option<Ed25519KeyPair> {
    if let Some(seed) = secret.strip_prefix(SEED) {
        return Ed25519KeyPair::from_seed_unchecked(&unhex(seed.trim())?).ok();
    }
    let body = secret.trim().strip_prefix(PEM)?.split("-----END").next()?;
    // As openssl writes it: without the public key.
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&unbase64(body)?).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (word, bits) = (word << 6 | u32::from(digit), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn hex(bytes: &[u8], out: &mut [u8; SIGNATURE_MAX]) -> usize {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&hex_of(*byte));
    }
    bytes.len() * 2
}

fn base64(bytes: &[u8], out: &mut [u8; SIGNATURE_MAX]) -> usize {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            out[at] = if i <= group.len() { DIGITS[(word >> (18 - 6 * i)) as usize & 63] } else { b'=' };
            at += 1;
        }
    }
    at
}

/// Base64 as a query string carries it.
fn percent(text: &[u8], out: &mut [u8; SIGNATURE_MAX]) -> usize {
    let mut at = 0;
    for byte in text {
        let code: &[u8] = match byte {
            b'+' => b"%2B",
            b'/' => b"%2F",
            b'=' => b"%3D",
            _ => std::slice::from_ref(byte),
        };
        out[at..at + code.len()].copy_from_slice(code);
        at += code.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032 §7.1, tests 1 to 3: seed, message, signature.
    const VECTORS: [(&str, &[u8], &str); 3] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            b"\xaf\x82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];

    fn text(signer: &Signer, scheme: SignScheme, message: &[u8]) -> Option<String> {
        let mut out = [0; SIGNATURE_MAX];
        let len = signer.sign(scheme, message, &mut out)?;
        Some(String::from_utf8(out[..len].to_vec()).unwrap())
    }

    #[test]
    fn signatures_equal_the_vectors_of_rfc_8032() {
        for (seed, message, expected) in VECTORS {
            let signer = Signer::of(&format!("ed25519:{seed}"));
            let plain = text(&signer, SignScheme::Ed25519Base64, message).unwrap();
            let bytes: String = unbase64(&plain).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(bytes, expected);
            let sent = text(&signer, SignScheme::Ed25519Percent, message).unwrap();
            assert_eq!(sent.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="), plain);
            assert!(!sent.contains(['+', '/', '=']) && sent.len() <= SIGNATURE_MAX);
            // The same key as PEM (PKCS #8, version 1, as openssl writes it).
            let mut der: Vec<u8> =
                vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            der.extend(unhex(seed).unwrap());
            let mut body = [0; SIGNATURE_MAX];
            let len = base64(&der, &mut body);
            let body = std::str::from_utf8(&body[..len]).unwrap();
            let pem = format!("{PEM}\n{}\n{}\n-----END PRIVATE KEY-----\n", &body[..40], &body[40..]);
            assert_eq!(text(&Signer::of(&pem), SignScheme::Ed25519Base64, message), Some(plain));
        }
    }

    #[test]
    fn a_key_signs_in_its_own_way_only() {
        let (shared, private) = (Signer::of("secret"), Signer::of(&format!("ed25519:{}", VECTORS[0].0)));
        assert_eq!(text(&shared, SignScheme::Ed25519Base64, b"x"), None);
        assert_eq!(text(&private, SignScheme::HmacSha256Hex, b"x"), None);
        assert!(text(&shared, SignScheme::HmacSha256Hex, b"x").is_some());
        for broken in
            ["ed25519:", "ed25519:12", "-----BEGIN PRIVATE KEY-----\nMC4\n-----END PRIVATE KEY-----"]
        {
            assert!(is_ed25519(broken) && !is_usable(broken));
            assert_eq!(text(&Signer::of(broken), SignScheme::Ed25519Base64, b"x"), None);
        }
        assert!(is_usable("secret") && !is_ed25519("secret"));
    }
}
