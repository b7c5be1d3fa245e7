// Who is signed in: a bearer token that ends by itself, kept for this tab. Key secrets are never kept.
import { useSyncExternalStore } from "react";
import type { KeyCreated, Need, OperationId, WhoAmI } from "./generated";
import { OPERATIONS } from "./generated";
import { nonce, sign } from "./sign";

export interface Session {
  token: string;
  who: WhoAmI;
  /** A token that was typed in is left as it is when signing out. */
  isOwn: boolean;
}

const PLACE = "stint.session";
/** The account whose admins look after all of them. */
const ROOT_ACCOUNT = "1000000000000001";

let current: Session | null = read();
const listeners = new Set<() => void>();

function read(): Session | null {
  try {
    const text = sessionStorage.getItem(PLACE);
    return text ? (JSON.parse(text) as Session) : null;
  } catch {
    return null;
  }
}

export function session(): Session | null {
  return current;
}

export function setSession(next: Session | null): void {
  current = next;
  try {
    if (next) sessionStorage.setItem(PLACE, JSON.stringify(next));
    else sessionStorage.removeItem(PLACE);
  } catch {
    // A browser that keeps nothing asks again after a reload.
  }
  for (const listener of listeners) listener();
}

export function useSession(): Session | null {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** The table of `model::access`, so that nobody is offered what the server would refuse. */
export function may(need: Need, who: Pick<WhoAmI, "role" | "account">): boolean {
  const level = ["invoker", "viewer", "developer", "admin"].indexOf(who.role);
  switch (need) {
    case "open":
    case "any":
    case "follow":
      return true;
    case "invoke":
      return who.role !== "viewer";
    case "read":
      return level >= 1;
    case "write":
      return level >= 2;
    case "administer":
      return level >= 3;
    case "operate":
      return level >= 3 && who.account === ROOT_ACCOUNT;
  }
}

/** Whether the session may do something, by need or by the operation that would do it. */
export function can(what: Need | OperationId): boolean {
  if (!current) return false;
  const need = what in OPERATIONS ? OPERATIONS[what as OperationId].need : (what as Need);
  return may(need, current.who);
}

export class SignInRefused extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

async function refusal(answer: Response): Promise<SignInRefused> {
  const said = (await answer.json().catch(() => ({}))) as { Code?: string; Message?: string };
  return new SignInRefused(said.Code ?? String(answer.status), said.Message ?? answer.statusText);
}

async function whoIs(token: string): Promise<WhoAmI> {
  const answer = await fetch("/v1/whoami", { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw await refusal(answer);
  return (await answer.json()) as WhoAmI;
}

/** With a key: one signed request exchanges it for a token of the same rights. */
export async function signInWithKey(keyId: string, secret: string): Promise<void> {
  const input = { method: "POST", path: "/v1/sign-in", host: location.host, body: "{}", now: new Date() };
  const headers = sign({ ...input, keyId, secret, nonce: nonce() });
  const answer = await fetch("/v1/sign-in", {
    method: "POST",
    body: "{}",
    headers: { ...headers, "content-type": "application/json" },
  });
  if (!answer.ok) throw await refusal(answer);
  const made = (await answer.json()) as KeyCreated;
  if (!made.token) throw new SignInRefused("NoToken", "the server gave no token");
  setSession({ token: made.token, who: await whoIs(made.token), isOwn: true });
}

/** With a bearer token. */
export async function signInWithToken(token: string): Promise<void> {
  setSession({ token, who: await whoIs(token), isOwn: false });
}

/** Ends the token, if it is ours, and forgets it. */
export async function signOut(): Promise<void> {
  const gone = current;
  setSession(null);
  if (!gone?.isOwn) return;
  await fetch("/v1/sign-out", {
    method: "POST",
    headers: { authorization: `Bearer ${gone.token}` },
  }).catch(() => undefined);
}
