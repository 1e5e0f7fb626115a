//! The ceremonies of passkeys (WebAuthn): the options for a browser, and whether its response is valid. The service requires
//! discoverable credentials and user verification, and requests no attestation.

use domain::{
    auth::passkey::{CredentialId, Passkey},
    id::PasskeyAccountId,
};
use serde_json::{Map, Value, json};
use url::{Host, Url};
use uuid::Uuid;
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication16, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions, Registration, RegistrationServerState,
    bin::{Decode, Encode},
    request::{
        AsciiDomain, PublicKeyCredentialDescriptor, RpId,
        auth::{AuthenticationVerificationOptions, AuthenticatorAttachmentEnforcement},
        register::{CredProtect, RegistrationVerificationOptions, UserHandle16},
    },
    response::{
        AuthTransports, CredentialId as RawId,
        register::{CompressedPubKey, DynamicState, StaticState},
    },
};

use crate::http::origin::PublicUrl;

/// The public key of a stored passkey.
type StoredKey = StaticState<CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>>;

/// This service as browsers know it: passkeys belong to the host of its URL.
#[derive(Debug)]
pub struct RelyingParty {
    host: String,
    id: RpId,
    origin: String,
}

/// A ceremony that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The options for the browser: `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub options: Map<String, Value>,
    /// What is needed to check the response. It is not secret, but must not be changed by others.
    pub state: Vec<u8>,
}

/// The response of an authenticator is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected;

/// A credential whose registration was verified.
#[derive(Debug)]
pub struct NewCredential {
    /// The account that it was created for.
    pub account: PasskeyAccountId,
    /// What the authenticator calls it.
    pub credential: CredentialId,
    /// The public key, and what else does not change.
    pub public_key: Vec<u8>,
    /// The signature counter, and what else each sign-in may change.
    pub state: Vec<u8>,
    /// The challenge of the ceremony.
    pub challenge: [u8; 16],
}

/// The response of an authenticator to a request to sign in, not verified yet.
#[derive(Debug)]
pub struct SignInResponse(DiscoverableAuthentication16);

impl SignInResponse {
    /// Reads `AuthenticationResponseJSON`.
    ///
    /// # Errors
    /// It is malformed.
    pub fn read(response: &Map<String, Value>) -> Result<Self, Rejected> {
        let text = serde_json::to_vec(response).map_err(|_| Rejected)?;
        DiscoverableAuthentication16::from_json_relaxed(&text).map(Self).map_err(|_| Rejected)
    }

    /// What the authenticator calls the credential.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        CredentialId(self.0.raw_id().into_inner().to_vec())
    }
}

impl RelyingParty {
    /// The relying party at a URL. `None`: browsers have no passkeys there. They need a name of a host and HTTPS, or `localhost`.
    /// A loopback address is no name, but the same service is at `localhost`, where its pages can use passkeys.
    #[must_use]
    pub fn at(url: &PublicUrl) -> Option<Self> {
        let mut parsed = Url::parse(url.origin()).ok()?;
        if url.is_this_machine() {
            parsed.set_host(Some("localhost")).ok()?;
        }
        let Host::Domain(host) = parsed.host()? else { return None };
        if !url.is_https() && host != "localhost" {
            return None;
        }
        let id = RpId::Domain(AsciiDomain::try_from(host.to_owned()).ok()?);
        Some(Self { host: host.to_owned(), id, origin: parsed.origin().ascii_serialization() })
    }

    /// Begins the registration of a passkey for an account. `name` is what the authenticator displays. `registered`: the passkeys
    /// of the account; authenticators that have one of them refuse to create another one.
    ///
    /// # Errors
    /// The ceremony cannot be represented, which does not happen.
    pub fn begin_registration(
        &self,
        account: PasskeyAccountId,
        name: &str,
        registered: &[Passkey],
    ) -> Result<Begun, Rejected> {
        let handle = user_handle(account);
        let exclude = registered.iter().filter_map(|passkey| {
            let id = RawId::decode(passkey.credential.0.clone()).ok()?;
            // Browsers try every way to reach an authenticator if none is named.
            Some(PublicKeyCredentialDescriptor { id, transports: AuthTransports::decode(0).ok()? })
        });
        let mut options = PublicKeyCredentialCreationOptions::passkey(&self.id, (&handle).into(), exclude.collect());
        options.extensions.cred_protect = CredProtect::None;
        let (server, client) = options.start_ceremony().map_err(|_| Rejected)?;
        let mut begun =
            Begun { options: object(serde_json::to_value(&client))?, state: server.encode().map_err(|_| Rejected)? };
        begun.options.insert("rp".to_owned(), json!({"id": self.host, "name": self.host}));
        // Names with characters that the type of the library does not accept are displayed as well.
        begun.options["user"]["name"] = name.into();
        begun.options["user"]["displayName"] = name.into();
        Ok(begun)
    }

    /// Verifies the response to [`RelyingParty::begin_registration`], a `RegistrationResponseJSON`.
    ///
    /// # Errors
    /// It is malformed, for another origin, host or challenge, the user was not verified, or the ceremony has expired.
    pub fn finish_registration(&self, state: &[u8], response: &Map<String, Value>) -> Result<NewCredential, Rejected> {
        let text = serde_json::to_vec(response).map_err(|_| Rejected)?;
        let response = Registration::from_json_relaxed(&text).map_err(|_| Rejected)?;
        let server = RegistrationServerState::<16>::decode(state).map_err(|_| Rejected)?;
        let options = RegistrationVerificationOptions::<&str, &str> {
            allowed_origins: &[self.origin.as_str()],
            error_on_unsolicited_extensions: false,
            ..RegistrationVerificationOptions::default()
        };
        let challenge = response.challenge_relaxed().map_err(|_| Rejected)?.0.to_be_bytes();
        let registered = server.verify(&self.id, &response, &options).map_err(|_| Rejected)?;
        // The library returns the account with which the ceremony began.
        let account: &[u8] = registered.user_id().as_ref();
        let Ok(public_key) = registered.static_state().encode();
        let Ok(state) = registered.dynamic_state().encode();
        Ok(NewCredential {
            account: PasskeyAccountId::from_uuid(Uuid::from_slice(account).map_err(|_| Rejected)?),
            credential: CredentialId(registered.id().into_inner().to_vec()),
            public_key,
            state: state.to_vec(),
            challenge,
        })
    }

    /// Begins to sign in with any passkey of this service.
    ///
    /// # Errors
    /// The ceremony cannot be represented, which does not happen.
    pub fn begin_sign_in(&self) -> Result<Begun, Rejected> {
        let (server, client) =
            DiscoverableCredentialRequestOptions::passkey(&self.id).start_ceremony().map_err(|_| Rejected)?;
        Ok(Begun { options: object(serde_json::to_value(&client))?, state: server.encode().map_err(|_| Rejected)? })
    }

    /// Verifies the response to [`RelyingParty::begin_sign_in`]. Returns the new state of the passkey and the challenge.
    ///
    /// # Errors
    /// It is for another passkey, account, origin, host or challenge, the signature is wrong, the user was not verified, the
    /// signature counter did not grow, or the ceremony has expired.
    pub fn finish_sign_in(
        &self,
        state: &[u8],
        SignInResponse(response): &SignInResponse,
        passkey: &Passkey,
    ) -> Result<(Vec<u8>, [u8; 16]), Rejected> {
        let server = DiscoverableAuthenticationServerState::decode(state).map_err(|_| Rejected)?;
        let handle = user_handle(passkey.account);
        let id = RawId::<&[u8]>::decode(&passkey.credential.0).map_err(|_| Rejected)?;
        let public_key = StoredKey::decode(&passkey.public_key).map_err(|_| Rejected)?;
        let dynamic = passkey.state.as_slice().try_into().map_err(|_| Rejected)?;
        let dynamic = DynamicState::decode(dynamic).map_err(|_| Rejected)?;
        let mut credential = AuthenticatedCredential::new(id, &handle, public_key, dynamic).map_err(|_| Rejected)?;
        let options = AuthenticationVerificationOptions::<&str, &str> {
            allowed_origins: &[self.origin.as_str()],
            error_on_unsolicited_extensions: false,
            auth_attachment_enforcement: AuthenticatorAttachmentEnforcement::Ignore(false),
            ..AuthenticationVerificationOptions::default()
        };
        let challenge = response.challenge_relaxed().map_err(|_| Rejected)?.0.to_be_bytes();
        server.verify(&self.id, response, &mut credential, &options).map_err(|_| Rejected)?;
        let Ok(state) = credential.dynamic_state().encode();
        Ok((state.to_vec(), challenge))
    }
}

/// The user handle of an account: the bytes of its id.
fn user_handle(account: PasskeyAccountId) -> UserHandle16 {
    let Ok(handle) = UserHandle16::decode(*account.uuid().as_bytes());
    handle
}

fn object(options: serde_json::Result<Value>) -> Result<Map<String, Value>, Rejected> {
    match options {
        Ok(Value::Object(options)) => Ok(options),
        Ok(_) | Err(_) => Err(Rejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_have_passkeys_at_a_name_over_https_or_at_localhost() {
        let host = |url: &str| {
            let url = PublicUrl::parse(url).expect("a URL");
            RelyingParty::at(&url).map(|party| (party.host, party.origin))
        };
        let at = |host: &str, origin: &str| Some((host.to_owned(), origin.to_owned()));
        assert_eq!(host("https://keys.example/api"), at("keys.example", "https://keys.example"));
        assert_eq!(host("https://keys.example:8443"), at("keys.example", "https://keys.example:8443"));
        assert_eq!(host("http://localhost:8080"), at("localhost", "http://localhost:8080"));
        assert_eq!(host("http://127.0.0.1:8080"), at("localhost", "http://localhost:8080"));
        assert_eq!(host("https://[::1]"), at("localhost", "https://localhost"));
        for elsewhere in ["http://keys.example", "https://203.0.113.9", "http://10.0.0.1:8080", "https://[2001:db8::1]"]
        {
            assert_eq!(host(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn options_ask_for_a_discoverable_credential_and_user_verification() {
        let party = RelyingParty::at(&PublicUrl::parse("https://keys.example").expect("a URL")).expect("a party");
        let account = PasskeyAccountId::from_uuid(Uuid::from_u128(1));
        let Begun { options, .. } = party.begin_registration(account, "Ada (ops) 👩", &[]).expect("options");
        let selection = &options["authenticatorSelection"];
        assert_eq!(
            (&selection["residentKey"], &selection["userVerification"]),
            (&json!("required"), &json!("required"))
        );
        assert_eq!(options["user"]["displayName"], "Ada (ops) 👩");
        assert_eq!(options["rp"]["id"], "keys.example");
        assert_eq!(options["attestation"], "none");
        let Begun { options, .. } = party.begin_sign_in().expect("options");
        assert_eq!((&options["userVerification"], &options["rpId"]), (&json!("required"), &json!("keys.example")));
    }
}
