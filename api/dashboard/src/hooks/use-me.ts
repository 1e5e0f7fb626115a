// The signed-in caller.

import { createContext, useContext } from "react";
import type { Me } from "../api/client.ts";

/** Null: not signed in. */
export const MeContext = createContext<Me | null>(null);

/** The signed-in caller. Throws outside of `MeContext`, which all pages but the sign-in page are in. */
export function useMe(): Me {
  const me = useContext(MeContext);
  if (me === null) throw new Error("useMe is used outside of a session");
  return me;
}
