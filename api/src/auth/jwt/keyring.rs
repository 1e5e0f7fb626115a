//! The signing keys of this service: Ed25519 (RFC 8032, RFC 8037), in a file that the operator rotates. The first key signs; the
//! signatures of the others stay valid.
//!
//! Sign-ins in progress are encrypted with other keys that are derived from these. Sessions are signed with separate keys, which are derived from these and not published: a service that validates tokens with
//! the published keys cannot accept a session as a token.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use domain::clock::{Entropy, Timestamp};
use domain::{
    auth::{
        session::Session,
        token::{Token, TokenHolder},
    },
    id::{Identity, OrganizationId, SessionId},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::revoked::RevokedTokens;
use crate::process::secret_file::{self, with_path};

/// Where the signing keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeyLocation {
    /// In a file that the operator provides.
    File(PathBuf),
    /// In a file that is created with a new key if it does not exist.
    Generated(PathBuf),
    /// In memory, for a database in memory.
    Memory,
    /// There are none: sessions, tokens and checkpoints are disabled.
    Disabled,
}

/// The prefix of a PKCS#8 document (RFC 8410 §7) with an Ed25519 private key, which follows as 32 bytes.
const PKCS8_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const PEM_TAG: &str = "PRIVATE KEY";

/// The BLAKE3 context that derives the keys of sessions. A change ends all sessions.
const SESSION_KEY_CONTEXT: &str = "claviger 2026-11-21 session signing key";

/// The BLAKE3 context that derives the keys which encrypt sign-ins in progress.
const SIGN_IN_KEY_CONTEXT: &str = "claviger 2026-11-30 sign-in cookie encryption key";

/// The lifetime of a list of revoked tokens, in seconds.
const LIST_LIFETIME_SECONDS: i64 = 10;

const SESSION_TYPE: &str = "session+jwt";
const CEREMONY_TYPE: &str = "ceremony+jwt";
const ACCESS_TOKEN_TYPE: &str = "at+jwt";
const REVOKED_TYPE: &str = "revoked+jwt";

/// The result of [`Keyring::open`].
pub struct OpenedKeyring {
    /// The keys. `None`: signing is disabled by the settings.
    pub keyring: Option<Keyring>,
    /// The path of the file that was created with a new key. `None`: no file was created.
    pub created_file: Option<PathBuf>,
}

/// The signing keys, at least one. They can be replaced while they are in use.
pub struct Keyring {
    pairs: RwLock<Arc<[KeyPair]>>,
    issuer: Option<String>,
}

struct KeyPair {
    id: String,
    tokens: EncodingKey,
    published: Jwk,
    session_id: String,
    sessions: EncodingKey,
    sessions_public: DecodingKey,
    sign_ins: cookie::Key,
}

/// The claims of a session cookie: the id and the lifetime of the session. Times are in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct SessionTokenClaims {
    sid: String,
    iat: i64,
    exp: i64,
}

/// The claims of a passkey ceremony that has begun.
#[derive(Serialize, Deserialize)]
pub struct CeremonyClaims {
    /// What it is for.
    pub purpose: String,
    /// What is needed to check the response, in base64url.
    pub state: String,
    /// When it expires, in seconds since 1970 (exclusive).
    pub exp: i64,
}

/// The claims of an access token (RFC 9068 §2.2). Times are in seconds since 1970.
#[derive(Serialize, Deserialize)]
pub struct TokenClaims {
    /// The issuer: this service.
    pub iss: String,
    /// The service that the token is for.
    pub aud: String,
    /// The id of the user; of the key, if it belongs to no user; of the trust rule.
    pub sub: String,
    /// The id of the key, or of the trust rule.
    pub client_id: String,
    /// The id of the organization.
    pub org_id: String,
    /// The permissions, separated by spaces.
    pub scope: String,
    /// The id of the token group, by which the list of revoked tokens refers to the token.
    pub family: String,
    /// The id of the token.
    pub jti: String,
    /// When it was issued.
    pub iat: i64,
    /// When it expires (exclusive).
    pub exp: i64,
    /// The workload that got the token by a trust rule. `None`: the token was issued for a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadClaim>,
}

/// A workload, as its identity provider identifies it.
#[derive(Serialize, Deserialize)]
pub struct WorkloadClaim {
    /// The issuer of the token that was exchanged.
    pub iss: String,
    /// The subject of that token.
    pub sub: String,
}

/// The claims of a list of revoked tokens. Times are in seconds since 1970.
#[derive(Serialize)]
struct RevokedClaims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    /// The organization of the list. `None`: the list of all organizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<String>,
    revoked: Vec<String>,
    /// The ids of keys whose tokens are all revoked (`client_id`). Only in the list of an organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_keys: Option<Vec<String>>,
    /// The organizations whose tokens are all revoked (`org_id`). Only in the list of all organizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_organizations: Option<Vec<String>>,
}

impl Keyring {
    /// Reads the keys. A new key is created for [`SigningKeyLocation::Memory`], and for [`SigningKeyLocation::Generated`] if the file
    /// does not exist. `issuer` is the claim `iss` of tokens; `None`: it is not known, so no tokens can be signed.
    ///
    /// # Errors
    /// The file does not exist or cannot be created, other users can read or change it, or it contains something else than Ed25519
    /// private keys.
    pub fn open(at: &SigningKeyLocation, issuer: Option<&str>, entropy: &dyn Entropy) -> io::Result<OpenedKeyring> {
        let keyring =
            |pairs: Vec<KeyPair>| Self { pairs: RwLock::new(pairs.into()), issuer: issuer.map(str::to_owned) };
        match at {
            SigningKeyLocation::Disabled => Ok(OpenedKeyring { keyring: None, created_file: None }),
            SigningKeyLocation::Memory => {
                let keyring = keyring(parse(&generate_key(entropy))?);
                Ok(OpenedKeyring { keyring: Some(keyring), created_file: None })
            }
            SigningKeyLocation::File(path) => {
                Ok(OpenedKeyring { keyring: Some(keyring(read(path)?)), created_file: None })
            }
            SigningKeyLocation::Generated(path) => {
                let is_new = create_file(path, entropy).map_err(|error| with_path(path, &error))?;
                let opened = Self::open(&SigningKeyLocation::File(path.clone()), issuer, entropy)?;
                Ok(OpenedKeyring { created_file: is_new.then(|| path.clone()), ..opened })
            }
        }
    }

    /// Checks that a file contains signing keys.
    ///
    /// # Errors
    /// As [`Self::open`] for [`SigningKeyLocation::File`].
    pub fn check(path: &Path) -> io::Result<()> {
        read(path).map(drop)
    }

    /// Signs the value of the cookie for a session.
    #[must_use]
    pub fn sign_session(&self, session: &Session) -> String {
        let pairs = self.pairs();
        let pair = signing_pair(&pairs);
        let claims = SessionTokenClaims {
            sid: session.id.to_string(),
            iat: seconds(session.created_at),
            exp: seconds(session.expires_at),
        };
        sign(SESSION_TYPE, &pair.session_id, &claims, &pair.sessions)
    }

    /// The session of a cookie. `None`: its signature or type is invalid. The caller has to check that the session has not ended.
    #[must_use]
    pub fn read_session(&self, text: &str) -> Option<SessionId> {
        let claims: SessionTokenClaims = self.read_by_session_key(SESSION_TYPE, text)?;
        claims.sid.parse().ok()
    }

    /// Signs the state of a passkey ceremony, with the key of sessions: it is for this service only.
    #[must_use]
    pub fn sign_ceremony(&self, claims: &CeremonyClaims) -> String {
        let pairs = self.pairs();
        let pair = signing_pair(&pairs);
        sign(CEREMONY_TYPE, &pair.session_id, claims, &pair.sessions)
    }

    /// The state of a passkey ceremony. `None`: its signature or type is invalid. The caller has to check that it has neither
    /// expired nor was used.
    #[must_use]
    pub fn read_ceremony(&self, text: &str) -> Option<CeremonyClaims> {
        self.read_by_session_key(CEREMONY_TYPE, text)
    }

    /// The claims of a token with this `typ` that a key of sessions has signed. Its expiry is not checked.
    fn read_by_session_key<T: DeserializeOwned>(&self, kind: &str, text: &str) -> Option<T> {
        let header = decode_header(text).ok()?;
        if header.typ.as_deref() != Some(kind) || header.crit.is_some() {
            return None;
        }
        let pairs = self.pairs();
        let pair = pairs.iter().find(|pair| header.kid.as_ref() == Some(&pair.session_id))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The clock of this process may differ from that of the database, or of a test.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        Some(decode(text, &pair.sessions_public, &validation).ok()?.claims)
    }

    /// Encrypts the value of a cookie for this service only (AES-256-GCM). It can be read only under the same name.
    #[must_use]
    pub fn encrypt(&self, name: &str, value: String) -> String {
        let mut jar = cookie::CookieJar::new();
        jar.private_mut(&signing_pair(&self.pairs()).sign_ins).add((name.to_owned(), value));
        jar.get(name).map(|cookie| cookie.value().to_owned()).unwrap_or_default()
    }

    /// The value that [`Self::encrypt`] was given. `None`: it was not encrypted by this service, or for another name.
    #[must_use]
    pub fn decrypt(&self, name: &str, encrypted: &str) -> Option<String> {
        let jar = cookie::CookieJar::new();
        let decrypt = |pair: &KeyPair| {
            jar.private(&pair.sign_ins).decrypt(cookie::Cookie::new(name.to_owned(), encrypted.to_owned()))
        };
        self.pairs().iter().find_map(decrypt).map(|cookie| cookie.value().to_owned())
    }

    /// The claim `iss` of tokens. `None`: it is not known, so no tokens can be signed.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Signs a token; `issuer` is [`Keyring::issuer`], `audience` its claim `aud`.
    #[must_use]
    pub fn sign_token(&self, issuer: &str, token: &Token, audience: &str) -> String {
        let pairs = self.pairs();
        let pair = signing_pair(&pairs);
        let (sub, client_id, workload) = match &token.holder {
            TokenHolder::Key(key, user) => {
                (user.map_or_else(|| key.to_string(), |user| user.to_string()), key.to_string(), None)
            }
            TokenHolder::Workload(rule, Identity { issuer, subject }) => {
                let workload = WorkloadClaim { iss: issuer.clone(), sub: subject.clone() };
                (rule.to_string(), rule.to_string(), Some(workload))
            }
        };
        let claims = TokenClaims {
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            sub,
            client_id,
            org_id: token.organization.to_string(),
            scope: token.permissions.flat().join(" "),
            family: token.group.to_string(),
            jti: token.id.to_string(),
            iat: seconds(token.issued_at),
            exp: seconds(token.expires_at),
            workload,
        };
        sign(ACCESS_TOKEN_TYPE, &pair.id, &claims, &pair.tokens)
    }

    /// The claims of a token that this service has signed. `None`: its type, signature or issuer is invalid. The caller has to
    /// check that it has neither expired nor was revoked.
    #[must_use]
    pub fn read_token(&self, text: &str) -> Option<TokenClaims> {
        let claims: TokenClaims = self.read_statement(ACCESS_TOKEN_TYPE, text)?;
        (Some(claims.iss.as_str()) == self.issuer()).then_some(claims)
    }

    /// Signs a list of revoked tokens; `issuer` is [`Keyring::issuer`]. `organization`: `None` for the list of all organizations.
    #[must_use]
    pub fn sign_revoked(
        &self,
        issuer: &str,
        organization: Option<OrganizationId>,
        revoked: &RevokedTokens,
        now: Timestamp,
    ) -> String {
        let pairs = self.pairs();
        let pair = signing_pair(&pairs);
        let claims = RevokedClaims {
            iss: issuer,
            iat: seconds(now),
            exp: seconds(now) + LIST_LIFETIME_SECONDS,
            org_id: organization.map(|organization| organization.to_string()),
            revoked: revoked.groups.iter().map(ToString::to_string).collect(),
            revoked_keys: organization.map(|_| revoked.keys.iter().map(ToString::to_string).collect()),
            revoked_organizations: organization
                .is_none()
                .then(|| revoked.organizations.iter().map(ToString::to_string).collect()),
        };
        sign(REVOKED_TYPE, &pair.id, &claims, &pair.tokens)
    }

    /// As [`Keyring::open`], but never creates a key, and signs no tokens. `None`: there is no key.
    ///
    /// # Errors
    /// Those of [`Keyring::open`]; a missing file is an error only if the settings name it.
    pub fn open_existing(at: &SigningKeyLocation, entropy: &dyn Entropy) -> io::Result<Option<Self>> {
        match at {
            SigningKeyLocation::Generated(path) if !path.exists() => Ok(None),
            SigningKeyLocation::Memory => Ok(None),
            at => Ok(Self::open(at, None, entropy)?.keyring),
        }
    }

    /// Signs a statement that does not expire; `kind` is the header `typ`.
    pub(super) fn sign_statement(&self, kind: &str, claims: &impl Serialize) -> String {
        let pairs = self.pairs();
        let pair = signing_pair(&pairs);
        sign(kind, &pair.id, claims, &pair.tokens)
    }

    /// The claims of a statement with this `typ`. `None`: its type or signature is invalid.
    pub(super) fn read_statement<T: DeserializeOwned>(&self, kind: &str, text: &str) -> Option<T> {
        let header = decode_header(text).ok()?;
        if header.typ.as_deref() != Some(kind) || header.crit.is_some() {
            return None;
        }
        let pairs = self.pairs();
        let pair = pairs.iter().find(|pair| header.kid.as_ref() == Some(&pair.id))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let public = DecodingKey::from_jwk(&pair.published).ok()?;
        Some(decode(text, &public, &validation).ok()?.claims)
    }

    /// The public keys that validate tokens and statements.
    #[must_use]
    pub fn published(&self) -> Vec<Jwk> {
        self.pairs().iter().map(|pair| pair.published.clone()).collect()
    }

    /// Replaces all keys by those of `other`.
    pub fn replace(&self, other: &Self) {
        *self.pairs.write().unwrap_or_else(PoisonError::into_inner) = other.pairs();
    }

    fn pairs(&self) -> Arc<[KeyPair]> {
        self.pairs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The key that signs: the first one.
fn signing_pair(pairs: &[KeyPair]) -> &KeyPair {
    pairs.first().expect("there is a key")
}

impl KeyPair {
    fn new(seed: &[u8; 32]) -> Option<Self> {
        let (tokens, published, id) = derive_key_pair(seed)?;
        let (sessions, sessions_public, session_id) = derive_key_pair(&blake3::derive_key(SESSION_KEY_CONTEXT, seed))?;
        let sessions_public = DecodingKey::from_jwk(&sessions_public).ok()?;
        let mut sign_ins = [0; 64];
        blake3::Hasher::new_derive_key(SIGN_IN_KEY_CONTEXT).update(seed).finalize_xof().fill(&mut sign_ins);
        let sign_ins = cookie::Key::from(&sign_ins);
        Some(Self { id, tokens, published, session_id, sessions, sessions_public, sign_ins })
    }
}

/// The private key, the public key and the key id of a seed. The id is the thumbprint of the public key (RFC 7638).
fn derive_key_pair(seed: &[u8; 32]) -> Option<(EncodingKey, Jwk, String)> {
    let private = EncodingKey::from_ed_der(&[&PKCS8_PREFIX[..], seed].concat());
    let mut public = Jwk::from_encoding_key(&private, Algorithm::EdDSA).ok()?;
    let id = public.thumbprint(ThumbprintHash::SHA256).ok()?;
    public.common.key_id = Some(id.clone());
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    Some((private, public, id))
}

fn sign(kind: &str, key_id: &str, claims: &impl Serialize, key: &EncodingKey) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(kind.to_owned());
    header.kid = Some(key_id.to_owned());
    encode(&header, claims, key).expect("a key that was read signs")
}

const fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

fn generate_key(entropy: &dyn Entropy) -> String {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    pem::encode(&pem::Pem::new(PEM_TAG, [&PKCS8_PREFIX[..], &seed].concat()))
}

/// Reads the keys of a PEM file, in its order.
fn read(path: &Path) -> io::Result<Vec<KeyPair>> {
    secret_file::read(path).and_then(|text| parse(&text)).map_err(|error| with_path(path, &error))
}

/// Parses the keys of a PEM file, in its order. It is an error if it contains no key, or something else.
fn parse(text: &str) -> io::Result<Vec<KeyPair>> {
    let pair = |document: &pem::Pem| {
        let seed = document.contents().strip_prefix(&PKCS8_PREFIX).filter(|_| document.tag() == PEM_TAG)?;
        KeyPair::new(seed.try_into().ok()?)
    };
    let pairs = pem::parse_many(text).ok().and_then(|documents| documents.iter().map(pair).collect::<Option<Vec<_>>>());
    pairs
        .filter(|pairs| !pairs.is_empty())
        .ok_or_else(|| io::Error::other("it must contain Ed25519 private keys as PKCS#8 in PEM, the signing key first"))
}

/// Creates the file with a new key, readable by its owner only, unless it exists. The file is created atomically. `true`: it was
/// created.
fn create_file(path: &Path, entropy: &dyn Entropy) -> io::Result<bool> {
    if fs::exists(path)? {
        return Ok(false);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(generate_key(entropy).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error),
    }
}
