//! A passkey authenticator in software: it creates credentials and signs as a browser and a device do together (WebAuthn), and can be
//! told to do so wrongly.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The user was present.
const PRESENT: u8 = 0x01;
/// The user was verified.
const VERIFIED: u8 = 0x04;
/// The data has a new credential.
const ATTESTED: u8 = 0x40;

/// An authenticator, and the browser that it is used with.
pub struct Authenticator {
    /// The origin of the page.
    pub origin: String,
    /// The host that the browser uses, whatever the options say.
    pub rp_id: String,
    /// Whether it verifies its user.
    pub verifies_user: bool,
    /// The signature counter. It grows with each signature.
    pub counter: u32,
    /// Its credentials. The last one is used.
    pub credentials: Vec<SoftCredential>,
}

/// A credential of an authenticator.
pub struct SoftCredential {
    /// The id.
    pub id: Vec<u8>,
    /// The id of the account.
    pub user_handle: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Default for Authenticator {
    /// An authenticator that is used with the services of [`crate::test_config`].
    fn default() -> Self {
        Self {
            origin: "https://keys.example".to_owned(),
            rp_id: "keys.example".to_owned(),
            verifies_user: true,
            counter: 0,
            credentials: Vec::new(),
        }
    }
}

impl Authenticator {
    /// Creates a credential for these options. Returns `RegistrationResponseJSON`.
    ///
    /// # Panics
    /// The options have no challenge or user.
    pub fn create(&mut self, options: &Value) -> Value {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).expect("a key");
        let mut id = vec![0; 16];
        random.fill(&mut id).expect("random bytes");
        let user_handle = bytes(&options["user"]["id"]);
        self.credentials.push(SoftCredential { id: id.clone(), user_handle, key });
        self.created(options)
    }

    /// The response to the creation of the last credential.
    ///
    /// # Panics
    /// There is no credential, or the options have no challenge.
    #[must_use]
    pub fn created(&self, options: &Value) -> Value {
        let credential = self.credentials.last().expect("a credential");
        let point = credential.key.public_key().as_ref();
        let (x, y) = (&point[1..33], &point[33..]);
        let mut data = self.data(ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(credential.id.len()).expect("a short id").to_be_bytes());
        data.extend(&credential.id);
        // A COSE key: EC2, ES256, P-256.
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(x);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(y);
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        attestation.push(u8::try_from(data.len()).expect("short data"));
        attestation.extend(data);
        json!({
            "id": text(&credential.id), "rawId": text(&credential.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(self.client_data("webauthn.create", options).as_bytes()),
                "attestationObject": text(&attestation), "transports": ["internal"],
            },
        })
    }

    /// Signs with the last credential. Returns `AuthenticationResponseJSON`.
    ///
    /// # Panics
    /// There is no credential, or the options have no challenge.
    pub fn sign(&mut self, options: &Value) -> Value {
        self.counter += 1;
        let credential = self.credentials.last().expect("a credential");
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(0);
        let signed = [&data[..], digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        let signature = credential.key.sign(&SystemRandom::new(), &signed).expect("a signature");
        json!({
            "id": text(&credential.id), "rawId": text(&credential.id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": text(client_data.as_bytes()), "authenticatorData": text(&data),
                "signature": text(signature.as_ref()), "userHandle": text(&credential.user_handle),
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        let (challenge, origin) = (options["challenge"].as_str().expect("a challenge"), &self.origin);
        format!("{{\"type\":\"{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\",\"crossOrigin\":false}}")
    }

    /// The authenticator data, up to the counter.
    fn data(&self, flags: u8) -> Vec<u8> {
        let verified = if self.verifies_user { VERIFIED } else { 0 };
        let host = digest(&SHA256, self.rp_id.as_bytes());
        [host.as_ref(), &[PRESENT | verified | flags][..], &self.counter.to_be_bytes()[..]].concat()
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().expect("a text")).expect("base64url")
}
