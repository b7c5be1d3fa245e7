// Whether the server answers. While it does not, it is asked once a second; when it does again, whoever
// listens reads anew.
import { useSyncExternalStore } from "react";

export type Connection = "up" | "down";

let state: Connection = "up";
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();
const returns = new Set<() => void>();

const AGAIN_MS = 1_000;

function become(next: Connection): void {
  if (state === next) return;
  state = next;
  for (const listener of listeners) listener();
  if (next === "up") for (const listener of returns) listener();
}

async function ask(): Promise<void> {
  timer = undefined;
  const answer = await fetch("/readyz", { cache: "no-store" }).catch(() => undefined);
  if (answer?.ok) become("up");
  else timer ??= setTimeout(ask, AGAIN_MS);
}

/** A request found nobody. */
export function lost(): void {
  become("down");
  timer ??= setTimeout(ask, AGAIN_MS);
}

/** A request was answered. */
export function met(): void {
  if (timer) clearTimeout(timer);
  timer = undefined;
  become("up");
}

/** Called when the server is there again. */
export function onReturn(listener: () => void): () => void {
  returns.add(listener);
  return () => returns.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
