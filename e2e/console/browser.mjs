// Debian's Chromium, quiet on a closed network, and the few things every look at the console begins with.
import { chromium } from "playwright-core";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

export function launch() {
  const quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--font-render-hinting=none"];
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: quiet });
}

/** Signs in with a key, as a person does. */
export async function signIn(page, origin, key) {
  await page.goto(`${origin}/`);
  await page.locator('input[name="id"]').fill(key.accessKeyId);
  await page.locator('input[name="secret"]').fill(key.accessKeySecret);
  await page.locator('button[type="submit"]').click();
  await page.locator("nav").first().waitFor({ state: "attached" });
}
