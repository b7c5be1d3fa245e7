// What every test needs: a clean page and no network.
import { cleanup } from "@testing-library/react";
import { afterEach, vi } from "vitest";

vi.stubGlobal("matchMedia", (media: string) => ({ media, matches: false, addEventListener() {}, removeEventListener() {} }));

afterEach(() => {
  cleanup();
  sessionStorage.clear();
  localStorage.clear();
});
