// Where one can go. Navigation, palette and keys read this list.
import type { Need } from "../api/generated";
import type { Key } from "../i18n";
import type { IconName } from "../ui/icons";

export interface Place {
  to: string;
  name: Key;
  icon: IconName;
  /** Pressed after `g`. */
  key: string;
  need: Need;
}

export const PLACES: Place[] = [
  { to: "/", name: "nav.home", icon: "home", key: "h", need: "read" },
  { to: "/tasks", name: "nav.tasks", icon: "tasks", key: "t", need: "read" },
  { to: "/functions", name: "nav.functions", icon: "functions", key: "f", need: "read" },
  { to: "/flows", name: "nav.flows", icon: "flows", key: "w", need: "read" },
  { to: "/logs", name: "nav.logs", icon: "logs", key: "l", need: "read" },
  { to: "/capacity", name: "nav.capacity", icon: "capacity", key: "c", need: "read" },
  { to: "/accounts", name: "nav.accounts", icon: "accounts", key: "a", need: "any" },
  { to: "/settings", name: "nav.settings", icon: "settings", key: "s", need: "any" },
];
