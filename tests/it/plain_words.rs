//! The words of the documents, the OpenAPI document and the help texts are standard terms, and old names are not in the code.

use std::collections::BTreeSet;

use harness::Process;

use super::{
    documents::documents,
    tidy::{every_source, files, read, root},
};

/// Idioms of earlier texts that readers had to guess, and the plain words for them.
const IDIOMS: [(&str, &str); 89] = [
    // Secrets and keys.
    ("text of a key", "a secret"),
    ("text of the key", "the secret"),
    ("old text", "the previous secret"),
    ("older text", "the previous secret"),
    ("new text", "the new secret"),
    ("its text", "its secret"),
    ("whole text", "the whole secret"),
    ("shown key", "the credential, or the key that was sent"),
    ("shown an api key", "called with an API key"),
    ("shown anything", "called with another credential"),
    ("who shows", "the caller"),
    ("good key", "a valid key"),
    ("good keys", "valid keys"),
    ("good for anything", "valid"),
    ("good for nothing", "invalid"),
    ("not good", "invalid"),
    ("found good", "verified as valid, or authenticated"),
    ("is good", "is valid"),
    ("are good", "are valid"),
    ("key of a stranger", "a key of another organization"),
    // Permissions.
    ("what it may do", "its permissions"),
    ("what they may do", "their permissions"),
    ("what one may do", "the permissions"),
    ("may do everything", "has all permissions (`*`)"),
    ("may do nothing", "has no permissions"),
    ("more than they hold", "permissions that the caller does not have"),
    ("in the caller's reach", "that the caller can access"),
    ("within reach", "accessible"),
    ("keeps the key", "can read the key"),
    ("speaks for", "acts as"),
    // Time and state.
    ("for good", "permanently"),
    ("for ever", "never expires, or permanently"),
    ("anew", "again"),
    ("before its time", "early, or before it expires"),
    ("comes to its end", "ends"),
    ("goes on", "stays valid, or continues"),
    ("go on", "stay valid, or continue"),
    ("went on", "stayed valid, or continued"),
    ("lives for", "expires after"),
    ("outlives", "expires later than"),
    ("is over", "has ended"),
    ("are over", "have ended"),
    ("by heart", "cached"),
    ("remembered", "cached, or stored"),
    ("remembers", "has cached, or stored"),
    ("remember", "have cached, or stored"),
    ("no news", "no changes, or no heartbeat"),
    ("stays what it is", "is unchanged"),
    ("stay what they are", "are unchanged"),
    ("stays as it is", "is unchanged"),
    ("stays as it was", "is unchanged"),
    ("stay as they are", "are unchanged"),
    ("stay as they were", "are unchanged"),
    ("what is absent stays", "absent fields are unchanged"),
    ("has gone", "was deleted"),
    ("have gone", "were deleted"),
    ("that is gone", "that was deleted"),
    ("that are gone", "that were deleted"),
    ("grace time", "grace period"),
    // What is answered and logged.
    ("is told", "is shown, or reported"),
    ("are told", "are shown, or get an answer"),
    ("is not told", "is not shown"),
    ("not told", "not shown"),
    ("told apart", "distinguished"),
    ("told before", "published before"),
    ("unless told otherwise", "by default"),
    ("heard of", "received"),
    ("spoken of", "pre-provisioned"),
    ("asked alone", "verified alone"),
    ("is asked for", "is requested"),
    ("are asked for", "are requested"),
    ("costs nothing", "takes no use"),
    ("word for programs", "a machine-readable reason"),
    ("a word of the client", "an idempotency key"),
    ("done once", "idempotent"),
    ("in vain", "without success"),
    ("is away", "is unavailable"),
    ("taken over", "imported"),
    ("take over", "import"),
    ("in pieces", "in batches"),
    ("takes the cookie back", "removes the cookie"),
    // Who acts: name the role, such as caller, member, administrator, operator, client.
    ("somebody", "the role"),
    ("nobody", "no caller, or the role"),
    ("anybody", "any caller, or the role"),
    ("whoever", "the role"),
    ("who knocks", "unauthenticated traffic"),
    ("one's own", "own"),
    ("the world failed", "an outage"),
    ("in the words of", "in the format of"),
];

/// Names of earlier code whose meaning had to be learned, and the standard terms that replaced them. Only names that mean
/// nothing else: a name that is also a standard term elsewhere is not in this list.
const OLD_NAMES: [(&str, &str); 102] = [
    ("Act", "AuditContext"),
    ("AddressList", "IpAllowlist"),
    ("Break", "IntegrityError"),
    ("Enroll", "SignUp"),
    ("Enrolment", "SignedUp"),
    ("Grants", "EffectivePermissions"),
    ("Vouched", "VerifiedClaims"),
    ("Newcomers", "ProvisioningPolicy"),
    ("Destinations", "AllowedOrganizations"),
    ("People", "FederatedLogin"),
    ("Brought", "NewUser"),
    ("Known", "LinkedUser"),
    ("is_seen", "has_logged_in"),
    ("Reach", "KeyScope"),
    ("Refusal", "DenyReason"),
    ("Tally", "QuotaBatch"),
    ("Spent", "ConsumeOutcome"),
    ("Seldom", "RareFields"),
    ("Common", "Interned"),
    ("Commons", "Interner"),
    ("Home", "OrganizationInfo"),
    ("Given", "KeyPermissions"),
    ("Snapshots", "KeyCache"),
    ("NoPeriod", "InvalidPeriod"),
    ("MemberName", "MetadataKey"),
    ("OldHash", "LegacyHash"),
    ("OldKey", "LegacyKey"),
    ("OldShape", "KeyFormat"),
    ("Shape", "KeyFormat"),
    ("Shapes", "KeyFormats"),
    ("Adopted", "ClaimOutcome"),
    ("NamedSet", "PermissionSet"),
    ("Figures", "counters"),
    ("States", "collector"),
    ("Freshness", "staleness"),
    ("Guess", "OptimisticUpdate"),
    ("Book", "UsageBuffer, DenialBuffer"),
    ("Notable", "MergedEvent"),
    ("keep_up", "run"),
    ("Gate", "Authenticator"),
    ("Repeats", "the idempotency store"),
    ("Witness", "RequestCaller"),
    ("Moment", "Rfc3339"),
    ("Told", "CheckpointMismatch"),
    ("Proved", "VerificationReport"),
    ("Head", "ChainHead, Checkpoint"),
    ("signed_heads", "signed_checkpoints"),
    ("enroll", "sign_up"),
    ("readmit", "resume"),
    ("believes", "trusts"),
    ("Word", "SessionClaims"),
    ("Standing", "ActiveMembership, QuotaState"),
    ("or_standard", "or_default"),
    ("is_about", "is_visible_to"),
    ("Who", "Principal"),
    ("holding", "from_key"),
    ("heading_for", "for_organization"),
    ("sees", "can_see"),
    ("require_end", "require_expiry_within"),
    ("require_within", "require_ip_within"),
    ("FamilyId", "TokenGroupId"),
    ("silence", "staleness"),
    ("notice_silence", "watch_staleness"),
    ("recall", "get_cached"),
    ("forget_everything", "invalidate_all"),
    ("times_cleared", "generation"),
    ("count_guarded", "optimistic update"),
    ("keep_book", "run_denial_writer"),
    ("notables", "denials"),
    ("figures", "counters"),
    ("freshness", "staleness"),
    ("snapshots", "key_cache"),
    ("until_it_stands", "retry_on_serialization_failure"),
    ("after_the_other", "retry_once_on_conflict"),
    ("was_undone", "is_retryable"),
    ("bury", "soft_delete"),
    ("account_for", "reserve_and_log"),
    ("ENDED", "REVOKED_AT_EPOCH"),
    ("NotHere", "FastPath::PassThrough"),
    ("Asked", "ParsedVerify"),
    ("repeats", "idempotency"),
    ("OnceOnly", "Idempotent"),
    ("Unread", "RawParam"),
    ("World", "Environment, Fixture"),
    ("MOST", "MAX_<noun>"),
    ("MANY", "MAX_<noun>"),
    ("FEW", "MIN_<noun>"),
    ("USUAL", "DEFAULT_<noun>"),
    ("KEPT", "<noun>_RETENTION"),
    ("DeniedAttempt", "MergedEvent"),
    ("ExceedsGrants", "ExceedsPermissions"),
    ("useOnce", "useIdempotencyKey"),
    ("useSay", "useToast"),
    ("Consequences", "RevokeImpact"),
    ("whoIs", "meQuery"),
    ("any_grants", "any_effective"),
    ("Ports", "KeyPorts, FederationPorts, OrganizationPorts"),
    ("used_up", "exhausted"),
    ("end_previous_secret", "revoke_previous_secret"),
    ("EndSecret", "RevokePreviousSecret"),
    ("UseEndedSecret", "UseExpiredSecret"),
    ("home_external_id", "organization_external_id"),
];

/// Old names that are also English words. In Rust they are looked for outside of comments and strings.
const OLD_VARIABLES: [(&str, &str); 8] = [
    ("act", "context"),
    ("grants", "effective_permissions"),
    ("texts", "strings, or what they are"),
    ("home", "organization"),
    ("homes", "organizations"),
    ("proved", "verification"),
    ("prove", "verify"),
    ("meet", "intersect"),
];

/// The words of a text with their line numbers. The end of a phrase, such as a full stop, is an empty word.
fn words(text: &str) -> Vec<(usize, String)> {
    let is_of_word = |character: char| character.is_alphanumeric() || character == '_' || character == '\'';
    let mut words = Vec::new();
    // Line breaks of a text in JSON are escaped.
    for (number, line) in text.replace("\\n", "  ").lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|character| is_of_word(character) != is_of_word(first)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if is_of_word(first) {
                words.push((number + 1, part.to_lowercase()));
            } else if !part.trim().is_empty() {
                words.push((number + 1, String::new()));
            }
            rest = after;
        }
    }
    words
}

/// The line numbers where a phrase begins in a text. It can continue on the next line, but not in the next sentence.
fn lines_with(text: &[(usize, String)], phrase: &str) -> Vec<usize> {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    let matches = |part: &&[(usize, String)]| part.iter().zip(&phrase).all(|((_, word), meant)| word == meant);
    text.windows(phrase.len()).filter(matches).map(|part| part[0].0).collect()
}

/// Fails with the file and line of each idiom.
fn require_plain(texts: &[(String, String)]) {
    let mut found = Vec::new();
    for (name, text) in texts {
        let words = words(text);
        for (idiom, plain) in IDIOMS {
            let lines = lines_with(&words, idiom);
            found.extend(lines.into_iter().map(|line| format!("{name}:{line}: \"{idiom}\"; say: {plain}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn phrases_are_found_across_lines_and_not_across_sentences() {
    let found = |text: &str, phrase: &str| lines_with(&words(text), phrase);
    assert_eq!(found("One.\nIt is the Old\ntext of `it`.", "old text"), [2]);
    assert_eq!(found(r#"{"description": "It is\nanew."}"#, "is anew"), [1]);
    assert_eq!(found("It is old. Text follows.", "old text"), [0_usize; 0]);
    assert_eq!(found("renewed", "new"), [0_usize; 0]);
    assert_eq!(found(&only_comments("let old_text;\n/// The old\n// text.\nlet text;"), "old text"), [2]);
}

#[test]
fn documents_use_standard_terms() {
    let mut texts = documents();
    for name in
        ["docs/openapi.json", "tests/clients/README.md", "docs/deploy/caddy/Caddyfile", "docs/deploy/compose/prepare"]
    {
        texts.push((name.to_owned(), read(&root().join(name))));
    }
    for folder in ["docs/deploy", "docs/gateways", "docs/recipes"] {
        if root().join(folder).exists() {
            texts
                .extend(files(folder, &["md", "yaml", "json", "conf", "env", "service", "sh", "py", "ts", "rs", "go"]));
        }
    }
    require_plain(&texts);
}

/// The text with empty lines instead of all lines that are not comments.
fn only_comments(text: &str) -> String {
    let comment =
        |line: &str| line.trim_start().strip_prefix("//").map(|line| line.trim_start_matches(['/', '!']).to_owned());
    text.lines().map(|line| comment(line).unwrap_or(".".to_owned()) + "\n").collect()
}

#[test]
fn comments_of_the_code_use_standard_terms() {
    let mut sources = every_source();
    // This file has the idioms themselves.
    sources.retain(|(name, _)| name != "tests/it/plain_words.rs");
    let comments: Vec<_> = sources.into_iter().map(|(name, text)| (name, only_comments(&text))).collect();
    require_plain(&comments);
}

#[test]
fn the_dashboard_uses_standard_terms() {
    let mut sources = files("api/dashboard/src", &["ts", "tsx"]);
    sources.retain(|(name, _)| !name.ends_with("schema.d.ts"));
    require_plain(&sources);
}

/// The help texts of a command and of its subcommands.
fn help(command: &[&str], texts: &mut Vec<(String, String)>) {
    let output = Process::run(&[command, &["--help"]].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.is_empty() || line.starts_with(' '));
    let names = listed.filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    for name in names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help") {
        help(&[command, &[name]].concat(), texts);
    }
    texts.push((format!("claviger {} --help", command.join(" ")), text));
}

#[test]
fn help_texts_use_standard_terms() {
    let mut texts = Vec::new();
    help(&[], &mut texts);
    assert!(texts.len() >= 10, "the command and its subcommands: {}", texts.len());
    require_plain(&texts);
}

#[test]
fn old_names_are_not_in_the_code() {
    let mut sources = every_source();
    for folder in ["api/dashboard", "tests/dashboard", "tests/clients"] {
        sources.extend(files(folder, &["ts", "tsx"]));
    }
    // This file, and generated files.
    sources.retain(|(name, _)| name != "tests/it/plain_words.rs" && !name.ends_with("schema.d.ts"));
    let mut found = Vec::new();
    for (name, text) in &sources {
        // Comments can contain some of these as English words.
        let is_comment = |line: &str| ["//", "/*", "* "].iter().any(|begin| line.trim_start().starts_with(begin));
        let code = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
        for (number, line) in code {
            let is_other = |character: char| !character.is_alphanumeric() && character != '_';
            let names: BTreeSet<&str> = line.split(is_other).collect();
            let old = OLD_NAMES.iter().filter(|(old, _)| names.contains(old));
            found.extend(old.map(|(old, new)| format!("{name}:{}: {old} is {new} now", number + 1)));
            // Every second part is in a string.
            let code = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            let code = code.split("//").next().unwrap_or_default();
            let is_rust = name.rsplit('.').next() == Some("rs");
            let variables: BTreeSet<&str> = code.split(is_other).collect();
            let old = OLD_VARIABLES.iter().filter(|(old, _)| is_rust && variables.contains(old));
            found.extend(old.map(|(old, new)| format!("{name}:{}: {old} is {new} now", number + 1)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
