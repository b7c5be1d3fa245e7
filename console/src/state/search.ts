// The part of an address after `?`: plain names and texts, so that it can be read and shared.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export type Search = Record<string, string | string[] | undefined>;

export function parseSearch(text: string): Search {
  const found: Search = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const before = found[name];
    found[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
  }
  return found;
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value === undefined || value === null || value === "") continue;
    if (Array.isArray(value)) for (const one of value) params.append(name, String(one));
    else params.set(name, String(value));
  }
  const text = params.toString();
  return text ? `?${text}` : "";
}

export function one(search: Search, name: string): string {
  const value = search[name];
  return (Array.isArray(value) ? value[0] : value) ?? "";
}

/** What the address asks for, and how to change it. */
export function useAsked(): [Search, (change: Search) => void] {
  const search = useSearch({ strict: false }) as Search;
  const navigate = useNavigate();
  const change = useCallback(
    (next: Search) => void navigate({ to: ".", search: ((before: Search) => ({ ...before, ...next })) as never, replace: true }),
    [navigate],
  );
  return [search, change];
}
