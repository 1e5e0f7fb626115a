//! The keys that this service signs with: Ed25519 (RFC 8032, RFC 8037), in a file that the operator rotates. The first one
//! signs; what the others have signed still holds.
//!
//! Sessions are signed with a key of their own that is derived from each: they are for this service alone, so nobody who trusts
//! the published keys can take a session for a token.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use domain::clock::{Entropy, Timestamp};
use domain::{
    audit::{ChainHash, Head},
    audit_log::Told,
    id::{OrganizationId, SessionId},
    session::Session,
    token::Token,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::revoked::RevokedTokens;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeysAt {
    /// In a file that the operator has made.
    File(PathBuf),
    /// In a file that is made with a new key where there is none.
    Made(PathBuf),
    /// In memory, for a database that is there.
    Memory,
    /// Nowhere: nothing is signed.
    Nowhere,
}

/// A PKCS#8 document (RFC 8410 §7) with an Ed25519 key is this and 32 bytes.
const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const PEM_TAG: &str = "PRIVATE KEY";

/// Separates the keys of sessions from those that are published.
const SESSIONS: &str = "claviger 2026-11-21 session signing key";

/// How long a list of revoked tokens may be relied on, in seconds.
const LIST_SECONDS: i64 = 10;

const SESSION: &str = "session+jwt";
const ACCESS_TOKEN: &str = "at+jwt";
const REVOKED: &str = "revoked+jwt";
const AUDIT_HEAD: &str = "audit-head+jwt";

/// What came of opening the keys.
pub struct Opened {
    /// The keys. `None`: there are none by the settings.
    pub keyring: Option<Keyring>,
    /// The file that was made with a new key, because there was none.
    pub made_at: Option<PathBuf>,
}

/// The keys.
pub struct Keyring {
    pairs: Vec<Pair>,
    issuer: String,
}

struct Pair {
    id: String,
    tokens: EncodingKey,
    published: Jwk,
    session_id: String,
    sessions: EncodingKey,
    sessions_public: DecodingKey,
}

/// What a session's cookie says: which session it is, and nothing about it.
#[derive(Serialize, Deserialize)]
struct SessionClaims {
    sid: String,
    iat: i64,
    exp: i64,
}

/// What a token says (RFC 9068 §2.2).
#[derive(Serialize)]
struct TokenClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    /// The user, or the key of an organization itself.
    sub: String,
    /// The key.
    client_id: String,
    org_id: String,
    scope: String,
    /// What the list of revoked tokens names.
    family: String,
    jti: String,
    iat: i64,
    exp: i64,
}

/// The list of families with live tokens that are good no longer.
#[derive(Serialize)]
struct RevokedClaims<'a> {
    iss: &'a str,
    iat: i64,
    exp: i64,
    /// Whose tokens it is about; absent: those of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<String>,
    revoked: Vec<String>,
    /// Keys whose tokens are all revoked, by their `client_id`; in the list of an organization only.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_keys: Option<Vec<String>>,
}

/// The end of an organization's log at some time.
#[derive(Serialize, Deserialize)]
struct HeadClaims {
    org_id: String,
    seq: u64,
    hash: String,
    iat: i64,
}

impl Keyring {
    /// Reads the keys, or makes the first one.
    ///
    /// # Errors
    /// The file is not there, can be read by others, or holds something else than private keys of Ed25519.
    pub fn open(at: &SigningKeysAt, issuer: &str, entropy: &dyn Entropy) -> io::Result<Opened> {
        let keyring = |text: &str| -> io::Result<Option<Self>> {
            let pairs = pairs(text).ok_or_else(|| {
                io::Error::other("it must hold private keys of Ed25519 as PKCS#8 in PEM, the signing one first")
            })?;
            Ok(Some(Self { pairs, issuer: issuer.to_owned() }))
        };
        match at {
            SigningKeysAt::Nowhere => Ok(Opened { keyring: None, made_at: None }),
            SigningKeysAt::Memory => Ok(Opened { keyring: keyring(&new_key(entropy))?, made_at: None }),
            SigningKeysAt::File(path) => {
                let keyring = read(path).and_then(|text| keyring(&text)).map_err(|error| named(path, &error))?;
                Ok(Opened { keyring, made_at: None })
            }
            SigningKeysAt::Made(path) => {
                let is_new = make(path, entropy).map_err(|error| named(path, &error))?;
                let opened = Self::open(&SigningKeysAt::File(path.clone()), issuer, entropy)?;
                Ok(Opened { made_at: is_new.then(|| path.clone()), ..opened })
            }
        }
    }

    /// The value of the cookie for a session.
    #[must_use]
    pub fn sign_session(&self, session: &Session) -> String {
        let pair = self.first();
        let claims = SessionClaims {
            sid: session.id.to_string(),
            iat: seconds(session.created_at),
            exp: seconds(session.expires_at),
        };
        sign(SESSION, &pair.session_id, &claims, &pair.sessions)
    }

    /// The session that a cookie speaks of, if we signed it. Whether it still goes on is not in the cookie.
    #[must_use]
    pub fn read_session(&self, text: &str) -> Option<SessionId> {
        let header = decode_header(text).ok()?;
        if header.typ.as_deref() != Some(SESSION) || header.crit.is_some() {
            return None;
        }
        let pair = self.pairs.iter().find(|pair| header.kid.as_ref() == Some(&pair.session_id))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // The end is stored with the session.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let claims: SessionClaims = decode(text, &pair.sessions_public, &validation).ok()?.claims;
        claims.sid.parse().ok()
    }

    /// A signed token for `audience`.
    #[must_use]
    pub fn sign_token(&self, token: &Token, audience: &str) -> String {
        let pair = self.first();
        let key = token.key.to_string();
        let claims = TokenClaims {
            iss: &self.issuer,
            aud: audience,
            sub: token.user.map_or_else(|| key.clone(), |user| user.to_string()),
            client_id: key,
            org_id: token.organization.to_string(),
            scope: token.permissions.flat().join(" "),
            family: token.family.to_string(),
            jti: token.id.to_string(),
            iat: seconds(token.issued_at),
            exp: seconds(token.expires_at),
        };
        sign(ACCESS_TOKEN, &pair.id, &claims, &pair.tokens)
    }

    /// A signed list of revoked tokens, of an organization or of all.
    #[must_use]
    pub fn sign_revoked(
        &self,
        organization: Option<OrganizationId>,
        revoked: &RevokedTokens,
        now: Timestamp,
    ) -> String {
        let pair = self.first();
        let claims = RevokedClaims {
            iss: &self.issuer,
            iat: seconds(now),
            exp: seconds(now) + LIST_SECONDS,
            org_id: organization.map(|organization| organization.to_string()),
            revoked: revoked.families.iter().map(ToString::to_string).collect(),
            revoked_keys: organization.map(|_| revoked.keys.iter().map(ToString::to_string).collect()),
        };
        sign(REVOKED, &pair.id, &claims, &pair.tokens)
    }

    /// The keys that are there. `None` where there are none; none is made.
    ///
    /// # Errors
    /// The file of the settings is not there, or holds something else than private keys of Ed25519.
    pub fn open_existing(at: &SigningKeysAt, issuer: &str, entropy: &dyn Entropy) -> io::Result<Option<Self>> {
        match at {
            SigningKeysAt::Made(path) if !path.exists() => Ok(None),
            SigningKeysAt::Memory => Ok(None),
            at => Ok(Self::open(at, issuer, entropy)?.keyring),
        }
    }

    /// A signed word about the end of an organization's log.
    #[must_use]
    pub fn sign_head(&self, head: &Head, now: Timestamp) -> String {
        let (org_id, hash) = (head.organization.to_string(), head.hash.to_string());
        self.sign_statement(AUDIT_HEAD, &HeadClaims { org_id, seq: head.seq, hash, iat: seconds(now) })
    }

    /// What such a word says, if we signed it.
    #[must_use]
    pub fn read_head(&self, text: &str) -> Option<Told> {
        let claims: HeadClaims = self.read_statement(AUDIT_HEAD, text)?;
        let head =
            Head { organization: claims.org_id.parse().ok()?, seq: claims.seq, hash: ChainHash::parse(&claims.hash)? };
        Some(Told { head, at: Timestamp::from_millis(claims.iat.saturating_mul(1_000)) })
    }

    /// A signed statement of this type, which does not expire.
    pub(super) fn sign_statement(&self, kind: &str, claims: &impl Serialize) -> String {
        let pair = self.first();
        sign(kind, &pair.id, claims, &pair.tokens)
    }

    /// What a statement of this type says, if one of the keys signed it.
    pub(super) fn read_statement<T: DeserializeOwned>(&self, kind: &str, text: &str) -> Option<T> {
        let header = decode_header(text).ok()?;
        if header.typ.as_deref() != Some(kind) || header.crit.is_some() {
            return None;
        }
        let pair = self.pairs.iter().find(|pair| header.kid.as_ref() == Some(&pair.id))?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let public = DecodingKey::from_jwk(&pair.published).ok()?;
        Some(decode(text, &public, &validation).ok()?.claims)
    }

    /// The public keys, for those who check tokens.
    pub fn published(&self) -> impl Iterator<Item = &Jwk> {
        self.pairs.iter().map(|pair| &pair.published)
    }

    fn first(&self) -> &Pair {
        self.pairs.first().expect("there is a key")
    }
}

impl Pair {
    fn new(seed: &[u8; 32]) -> Option<Self> {
        let (tokens, published, id) = key(seed)?;
        let (sessions, sessions_public, session_id) = key(&blake3::derive_key(SESSIONS, seed))?;
        let sessions_public = DecodingKey::from_jwk(&sessions_public).ok()?;
        Some(Self { id, tokens, published, session_id, sessions, sessions_public })
    }
}

/// A key pair with its name, which is its thumbprint (RFC 7638).
fn key(seed: &[u8; 32]) -> Option<(EncodingKey, Jwk, String)> {
    let private = EncodingKey::from_ed_der(&[&PKCS8[..], seed].concat());
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

fn new_key(entropy: &dyn Entropy) -> String {
    let mut seed = [0; 32];
    entropy.fill(&mut seed);
    pem::encode(&pem::Pem::new(PEM_TAG, [&PKCS8[..], &seed].concat()))
}

/// The keys in a file, the first one first. `None`: it holds something else.
fn pairs(text: &str) -> Option<Vec<Pair>> {
    let documents = pem::parse_many(text).ok()?;
    let pair = |document: &pem::Pem| {
        let seed = document.contents().strip_prefix(&PKCS8).filter(|_| document.tag() == PEM_TAG)?;
        Pair::new(seed.try_into().ok()?)
    };
    let pairs: Vec<Pair> = documents.iter().map(pair).collect::<Option<_>>()?;
    (!pairs.is_empty()).then_some(pairs)
}

fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    if is_open_to_others(&file.metadata()?, rustix::process::geteuid().as_raw()) {
        let kind = io::ErrorKind::PermissionDenied;
        return Err(io::Error::new(kind, "other users can read or change it, and could sign with it: chmod 600"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Whether users other than this one (`own`) and root can do something with a file that is to be secret. The group may read one
/// that belongs to somebody else: so Kubernetes mounts secrets for a process that is not root (`fsGroup`).
fn is_open_to_others(file: &Metadata, own: u32) -> bool {
    let denied = if file.uid() == own && own != 0 { 0o077 } else { 0o037 };
    file.mode() & denied != 0
}

/// An error that says about which file.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes the file with a new key, readable for its owner alone, unless it is there. It is there wholly or not at all. `true`:
/// it was made.
fn make(path: &Path, entropy: &dyn Entropy) -> io::Result<bool> {
    if fs::exists(path)? {
        return Ok(false);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(new_key(entropy).as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(failed) => Err(failed.error),
    }
}
