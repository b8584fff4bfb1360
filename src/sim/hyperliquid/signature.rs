//! Who signed an action: the action's bytes as the venue hashes them, and the address recovered from the
//! signature.
//!
//! The venue reads an action into a typed value and writes that value as MessagePack with its fields in
//! their own order; so the order of keys and the form of numbers in the client's JSON mean nothing here,
//! and a client that hashed anything else is a stranger.

use super::wire::normal;
use crate::domain::text::Hex;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use serde_json::Value;
use sha3::{Digest, Keccak256};

/// Fields in the order in which the venue's types have them, all types together.
const FIELDS: [&str; 28] = [
    "type",
    "orders",
    "cancels",
    "modifies",
    "time",
    "oid",
    "order",
    "asset",
    "isCross",
    "leverage",
    "cloid",
    "a",
    "b",
    "f",
    "o",
    "p",
    "s",
    "r",
    "t",
    "c",
    "limit",
    "trigger",
    "tif",
    "isMarket",
    "triggerPx",
    "tpsl",
    "grouping",
    "builder",
];

fn keccak(bytes: &[u8]) -> Vec<u8> {
    Keccak256::digest(bytes).to_vec()
}

/// The action as MessagePack; `None` for one that no type of the venue describes.
fn pack(value: &Value, field: &str, out: &mut Vec<u8>) -> Option<()> {
    match value {
        Value::Bool(flag) => out.push(if *flag { 0xc3 } else { 0xc2 }),
        Value::Number(number) => {
            let number = number.as_u64()?;
            match number {
                0..=127 => out.push(number as u8),
                128..=255 => out.extend([0xcc, number as u8]),
                256..=65_535 => {
                    out.push(0xcd);
                    out.extend((number as u16).to_be_bytes());
                }
                65_536..=4_294_967_295 => {
                    out.push(0xce);
                    out.extend((number as u32).to_be_bytes());
                }
                _ => {
                    out.push(0xcf);
                    out.extend(number.to_be_bytes());
                }
            }
        }
        Value::String(text) => {
            let text = if matches!(field, "p" | "s" | "triggerPx") { normal(text) } else { text.clone() };
            match text.len() {
                len @ 0..=31 => out.push(0xa0 + len as u8),
                len @ 32..=255 => out.extend([0xd9, len as u8]),
                _ => return None,
            }
            out.extend(text.as_bytes());
        }
        Value::Array(items) => {
            match items.len() {
                len @ 0..=15 => out.push(0x90 + len as u8),
                len => {
                    out.push(0xdc);
                    out.extend(u16::try_from(len).ok()?.to_be_bytes());
                }
            }
            for item in items {
                pack(item, field, out)?;
            }
        }
        Value::Object(fields) => {
            if fields.len() > 15 || fields.keys().any(|key| !FIELDS.contains(&key.as_str())) {
                return None;
            }
            out.push(0x80 + fields.len() as u8);
            for key in FIELDS {
                if let Some(value) = fields.get(key) {
                    pack(&Value::from(key), "", out)?;
                    pack(value, key, out)?;
                }
            }
        }
        Value::Null => return None,
    }
    Some(())
}

/// What a client must have hashed: `connectionId`.
fn connection_id(action: &Value, nonce: u64, vault: Option<&str>, expires: Option<u64>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    pack(action, "", &mut bytes)?;
    bytes.extend(nonce.to_be_bytes());
    match vault {
        None => bytes.push(0),
        Some(address) => {
            bytes.push(1);
            bytes.extend(unhex(address, 20)?);
        }
    }
    if let Some(expires) = expires {
        bytes.push(0);
        bytes.extend(expires.to_be_bytes());
    }
    Some(keccak(&bytes))
}

/// The EIP-712 digest of an agent's message on mainnet.
fn digest(connection_id: &[u8]) -> Vec<u8> {
    let word = |number: u16| [vec![0; 30], number.to_be_bytes().to_vec()].concat();
    let domain = [
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        keccak(b"Exchange"),
        keccak(b"1"),
        word(1337),
        word(0),
    ];
    let message =
        [keccak(b"Agent(string source,bytes32 connectionId)"), keccak(b"a"), connection_id.to_vec()];
    keccak(&[b"\x19\x01".to_vec(), keccak(&domain.concat()), keccak(&message.concat())].concat())
}

/// The address of whoever signed a request; `None` when the signature is not one or the action is unknown.
pub(super) fn signer(request: &Value) -> Option<String> {
    let id = connection_id(
        &request["action"],
        request["nonce"].as_u64()?,
        request["vaultAddress"].as_str(),
        request["expiresAfter"].as_u64(),
    )?;
    let part = |name: &str| unhex(request["signature"][name].as_str()?, 32);
    let bytes = [part("r")?, part("s")?].concat();
    let signature = Signature::from_slice(&bytes).ok()?;
    let odd = match request["signature"]["v"].as_u64()? {
        27 => false,
        28 => true,
        _ => return None,
    };
    let key =
        VerifyingKey::recover_from_prehash(&digest(&id), &signature, RecoveryId::new(odd, false)).ok()?;
    Some(address(&key))
}

fn address(key: &VerifyingKey) -> String {
    let point = key.to_sec1_point(false);
    let hash = keccak(&point.as_bytes()[1..]);
    format!("0x{}", Hex(&hash[12..]))
}

/// The address of a private key in hex.
pub(super) fn address_of_key(secret: &str) -> Option<String> {
    let key = SigningKey::from_slice(&unhex(secret, 32)?).ok()?;
    Some(address(key.verifying_key()))
}

/// `len` bytes of `0x…`; leading zeros may be missing, as in the SDK's signatures.
fn unhex(text: &str, len: usize) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.is_empty() || digits.len() > 2 * len {
        return None;
    }
    let padded = format!("{digits:0>width$}", width = 2 * len);
    (0..len).map(|at| u8::from_str_radix(padded.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

/// Signs a request as a client would, for tests of the venue.
#[cfg(test)]
pub(super) fn sign(action: &Value, nonce: u64, expires: Option<u64>, secret: &str) -> Option<Value> {
    let key = SigningKey::from_slice(&unhex(secret, 32)?).ok()?;
    let (signature, id) =
        key.sign_prehash_recoverable(&digest(&connection_id(action, nonce, None, expires)?));
    let bytes = signature.to_bytes();
    let part = |from: usize| format!("0x{}", Hex(&bytes[from..from + 32]));
    Some(serde_json::json!({
        "action": action,
        "nonce": nonce,
        "signature": {"r": part(0), "s": part(32), "v": if id.is_y_odd() { 28 } else { 27 }},
        "vaultAddress": null,
        "expiresAfter": expires,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The address of the key of the SDK's test vectors, as any Ethereum library derives it.
    const ADDRESS: &str = "0x14791697260e4c9a71f18484c9f997b308e59325";

    #[test]
    fn the_published_signatures_are_recovered_to_their_signer() {
        let key = "0x0123456789012345678901234567890123456789012345678901234567890123";
        assert_eq!(address_of_key(key).as_deref(), Some(ADDRESS));
        // Python SDK, tests/signing_test.py: an order, and one with a client id (its `r` lacks a zero).
        let order =
            json!({"t": {"limit": {"tif": "Gtc"}}, "r": false, "s": "100", "p": "100.0", "b": true, "a": 1});
        let mut with_id = order.clone();
        with_id["c"] = json!("0x00000000000000000000000000000001");
        for (order, r, s, v) in [
            (
                order,
                "0xd65369825a9df5d80099e513cce430311d7d26ddf477f5b3a33d2806b100d78e",
                "0x2b54116ff64054968aa237c20ca9ff68000f977c93289157748a3162b6ea940e",
                28,
            ),
            (
                with_id,
                "0x41ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e3",
                "0x3c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da",
                27,
            ),
        ] {
            let mut request = json!({
                "action": {"grouping": "na", "orders": [order], "type": "order"},
                "nonce": 0, "signature": {"r": r, "s": s, "v": v}, "vaultAddress": null
            });
            assert_eq!(signer(&request).as_deref(), Some(ADDRESS));
            request["nonce"] = json!(1);
            assert_ne!(signer(&request).as_deref(), Some(ADDRESS), "another action, another signer");
        }
    }
}
