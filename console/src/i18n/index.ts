// Words in two languages. Each entry of the catalogue holds both, so neither can be forgotten; `{name}` is
// replaced by a value.
import { createElement, Fragment, type ReactNode, useSyncExternalStore } from "react";
import { MESSAGES } from "./messages";

export type Language = "en" | "zh";
export type Key = keyof typeof MESSAGES;
export type Values = Record<string, string | number>;

const PLACE = "stint.language";
const listeners = new Set<() => void>();

function first(): Language {
  const kept = safely(() => localStorage.getItem(PLACE));
  if (kept === "en" || kept === "zh") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

let current: Language = first();

export function language(): Language {
  return current;
}

export function setLanguage(next: Language): void {
  current = next;
  safely(() => localStorage.setItem(PLACE, next));
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
  for (const listener of listeners) listener();
}

export function useLanguage(): Language {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

/** The words of the current language. Pages are drawn anew as a whole when it changes. */
export function t(key: Key, values?: Values): string {
  const text = MESSAGES[key][current === "zh" ? 1 : 0];
  return values ? text.replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all)) : text;
}

/** The same with elements as values. */
export function rich(key: Key, values: Record<string, ReactNode>): ReactNode {
  const parts = MESSAGES[key][current === "zh" ? 1 : 0].split(/\{(\w+)\}/);
  return parts.map((part, at) => createElement(Fragment, { key: at }, at % 2 ? values[part] : part));
}

/** A word of the server's (a state, a role) in the reader's language; what is unknown stays as it is. */
export function word(family: string, name: string): string {
  const key = `${family}.${name}`;
  return key in MESSAGES ? t(key as Key) : name;
}
