// Why a sign-in at an identity provider failed, for the person: what happened, and what to do. The service puts the code into the
// address of the sign-in page (`#/sign-in?error=…`).

const SENTENCES: Record<string, string> = {
  unknown_provider: "You cannot sign in in this way any more. Choose another way.",
  expired: "This sign-in took too long, or was begun in another tab. Sign in again.",
  denied:
    "You were not signed in: it was canceled, or your identity provider refused it. Try again, or ask its administrator.",
  unavailable: "Your identity provider cannot be reached now. Try again in a few minutes.",
  invalid_answer:
    "The answer of your identity provider is not valid, so you were not signed in. Try again; if it happens again, tell the operator of this service.",
  not_fresh:
    "Your identity provider did not ask you to prove who you are. Sign out there, then try again; if it happens again, tell the operator of this service.",
  not_allowed: "This account cannot be used here. Sign in with another account, or ask the operator of this service.",
  no_membership:
    "No organization here has you as a member. Ask an administrator of your organization for an invitation.",
  invitation_not_found:
    "The link was used or revoked, or it has expired. Ask an administrator of the organization for a new one.",
  invitation_not_allowed:
    "The organization that invited you does not accept this account. Open the link again, and choose another account.",
  already_member: "You are a member of this organization already. Sign in without the link.",
  limit_reached: "The organization cannot take more members now. Ask its administrator.",
  too_many_attempts: "Too many attempts have failed. Wait a minute, then try again.",
};

/** The sentence for a code; that of a newer service may be unknown. */
export function signInError(code: string): string {
  return Object.hasOwn(SENTENCES, code) ? (SENTENCES[code] ?? "") : "You were not signed in. Try again.";
}
