//! Signatures of wallets: EIP-712 over secp256k1, as Hyperliquid wants its actions signed by an agent.
//!
//! Part of the egress gate, and like all of it nothing here is ever journaled or logged. Signatures are
//! deterministic (RFC 6979) with a low `s`, as every Ethereum wallet makes them.

use crate::domain::text::hex;
use k256::ecdsa::SigningKey;
use sha3::{Digest, Keccak256};

/// Longest signature object: `{"r":"0x…","s":"0x…","v":28}`.
pub const OBJECT_MAX: usize = 160;

/// `EIP712Domain` of the venue's actions: name, version, chain id 1337, no contract.
///
/// Source: the venue's Python SDK, `utils/signing.py`, `sign_l1_action`.
const DOMAIN: [&[u8]; 3] = [
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
    b"Exchange",
    b"1",
];
/// See [`DOMAIN`].
const CHAIN_ID: u16 = 1337;
/// See [`DOMAIN`].
const AGENT: &[u8] = b"Agent(string source,bytes32 connectionId)";

fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// A private key, ready to sign.
pub struct Wallet {
    key: SigningKey,
    /// Hash of the domain, of the type `Agent`.
    domain: [u8; 32],
    agent: [u8; 32],
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wallet(hidden)")
    }
}

impl Wallet {
    /// From 64 hex digits, with or without `0x`; `None` for anything else and for numbers that are no key.
    pub fn parse(secret: &str) -> Option<Self> {
        let digits = secret.strip_prefix("0x").unwrap_or(secret).as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(0)? << 4 | digit(1)?;
        }
        let key = SigningKey::from_slice(&bytes).ok()?;
        let mut chain = [0; 32];
        chain[30..].copy_from_slice(&CHAIN_ID.to_be_bytes());
        let [kind, name, version] = DOMAIN.map(|text| keccak(&[text]));
        Some(Self {
            key,
            domain: keccak(&[&kind, &name, &version, &chain, &[0; 32]]),
            agent: keccak(&[AGENT]),
        })
    }

    /// The address of this key: `0x` and 40 lower-case hex digits.
    pub fn address(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let hash = keccak(&[&point.as_bytes()[1..]]);
        let mut address = [0; 42];
        let mut writer = Writer { out: &mut address, len: 0 };
        writer.text(b"0x");
        writer.hex(&hash[12..]);
        address.to_vec()
    }

    /// Signs what `signed` hashes to (an action with nonce and flags) for `source`: `a` is mainnet, `b` the
    /// test network. Writes the signature as a JSON object and returns its length.
    pub fn sign_agent(&self, source: &[u8], signed: &[u8], out: &mut [u8]) -> usize {
        let message = keccak(&[&self.agent, &keccak(&[source]), &keccak(&[signed])]);
        let digest = keccak(&[b"\x19\x01", &self.domain, &message]);
        let (signature, recovery) = self.key.sign_prehash_recoverable(&digest);
        let bytes = signature.to_bytes();
        let mut writer = Writer { out, len: 0 };
        writer.text(b"{\"r\":\"0x");
        writer.hex(&bytes[..32]);
        writer.text(b"\",\"s\":\"0x");
        writer.hex(&bytes[32..]);
        writer.text(if recovery.is_y_odd() { b"\",\"v\":28}" } else { b"\",\"v\":27}" });
        writer.len
    }
}

/// Fills the object; its longest text fits by construction.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn text(&mut self, text: &[u8]) {
        self.out[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.text(&hex(*byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Hex;

    /// The key of the test vectors of the venue's Python SDK.
    const KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";

    fn hex(bytes: &[u8]) -> String {
        Hex(bytes).to_string()
    }

    fn text(text: &str) -> Vec<u8> {
        let mut packed = vec![0xa0 | text.len() as u8];
        packed.extend(text.as_bytes());
        packed
    }

    /// `order` with one limit order as MessagePack, nonce and no vault.
    fn order(asset: u8, price: &str, size: &str, tif: &str, nonce: u64) -> Vec<u8> {
        let mut packed = vec![0x83];
        packed.extend([text("type"), text("order"), text("orders"), vec![0x91, 0x86]].concat());
        packed.extend([text("a"), vec![asset], text("b"), vec![0xc3]].concat());
        packed.extend([text("p"), text(price), text("s"), text(size), text("r"), vec![0xc2]].concat());
        packed.extend([text("t"), vec![0x81], text("limit"), vec![0x81], text("tif"), text(tif)].concat());
        packed.extend([text("grouping"), text("na")].concat());
        packed.extend(nonce.to_be_bytes());
        packed.push(0);
        packed
    }

    fn signed(source: &[u8], signed: &[u8]) -> String {
        let mut out = [0; OBJECT_MAX];
        let len = Wallet::parse(KEY).unwrap().sign_agent(source, signed, &mut out);
        String::from_utf8(out[..len].to_vec()).unwrap()
    }

    #[test]
    fn keccak_equals_its_published_values() {
        // The Keccak team's vectors for empty input (KeccakKAT, ShortMsgKAT_256) and Ethereum's `transfer`
        // selector (ERC-20).
        assert_eq!(hex(&keccak(&[b""])), "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
        assert_eq!(hex(&keccak(&[b"transfer(address", b",uint256)"])[..4]), "a9059cbb");
        // The type hash of EIP-712's own example contract.
        assert_eq!(
            hex(&keccak(&[DOMAIN[0]])),
            "8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f"
        );
    }

    #[test]
    fn an_action_hashes_to_the_published_connection_id() {
        // Python SDK, tests/signing_test.py, `test_phantom_agent_creation_matches_production`.
        assert_eq!(
            hex(&keccak(&[&order(4, "1670.1", "0.0147", "Ioc", 1_677_777_606_040)])),
            "0fcbeda5ae3c4950a548021552a4fea2226858c4453571bf3f24ba017eac2908"
        );
    }

    #[test]
    fn signatures_equal_the_sdks() {
        // Python SDK, tests/signing_test.py, `test_l1_action_signing_order_matches`.
        let order = order(1, "100", "100", "Gtc", 0);
        assert_eq!(
            signed(b"a", &order),
            r#"{"r":"0xd65369825a9df5d80099e513cce430311d7d26ddf477f5b3a33d2806b100d78e","s":"0x2b54116ff64054968aa237c20ca9ff68000f977c93289157748a3162b6ea940e","v":28}"#
        );
        assert_eq!(
            signed(b"b", &order),
            r#"{"r":"0x82b2ba28e76b3d761093aaded1b1cdad4960b3af30212b343fb2e6cdfa4e3d54","s":"0x6b53878fc99d26047f4d7e8c90eb98955a109f44209163f52d8dc4278cbbd9f5","v":27}"#
        );
        // The same file, `test_l1_action_signing_matches_with_vault`: an action for a vault. Its `r` has a
        // leading zero, which the SDK's text drops and ours keeps.
        let mut action = vec![0x82];
        action.extend([text("type"), text("dummy"), text("num"), vec![0xcf]].concat());
        action.extend(100_000_000_000u64.to_be_bytes());
        action.extend(0u64.to_be_bytes());
        action.push(1);
        action.extend(b"\x17\x19\x88\x4e\xb8\x66\xcb\x12\xb2\x28\x73\x99\xb1\x5f\x7d\xb5\xe7\xd7\x75\xea");
        assert_eq!(
            signed(b"a", &action),
            r#"{"r":"0x003c548db75e479f8012acf3000ca3a6b05606bc2ec0c29c50c515066a326239","s":"0x4d402be7396ce74fbba3795769cda45aec00dc3125a984f2a9f23177b190da2c","v":28}"#
        );
    }

    #[test]
    fn an_address_is_that_of_any_ethereum_library() {
        let address = Wallet::parse(KEY).unwrap().address();
        assert_eq!(address, b"0x14791697260e4c9a71f18484c9f997b308e59325");
    }

    #[test]
    fn what_is_no_key_is_no_wallet_and_a_wallet_shows_nothing() {
        for secret in ["", "sim-secret", &"0".repeat(64), &"f".repeat(64), &"g".repeat(64), "0x12"] {
            assert!(Wallet::parse(secret).is_none(), "{secret}");
        }
        assert_eq!(format!("{:?}", Wallet::parse(KEY).unwrap()), "Wallet(hidden)");
    }
}
