// Light or dark: as the system says, until somebody chooses.
export type Theme = "system" | "light" | "dark";

const PLACE = "stint.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function theme(): Theme {
  try {
    const kept = localStorage.getItem(PLACE);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    return "system";
  }
}

export function showTheme(): void {
  const chosen = theme();
  document.documentElement.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
}

export function setTheme(next: Theme): void {
  try {
    localStorage.setItem(PLACE, next);
  } catch {
    // It is shown all the same.
  }
  showTheme();
}

dark.addEventListener("change", showTheme);
