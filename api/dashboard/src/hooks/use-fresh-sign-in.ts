// Asking for a fresh sign-in: some operations are refused if the caller signed in more than ten minutes ago.

import { createContext, useContext } from "react";

/** Asks the caller to sign in again. Resolves to whether they did. */
export type AskForSignIn = () => Promise<boolean>;

/** Outside of a session there is no dialog. */
export const FreshSignInContext = createContext<AskForSignIn>(() => Promise.resolve(false));

export function useFreshSignIn(): AskForSignIn {
  return useContext(FreshSignInContext);
}
