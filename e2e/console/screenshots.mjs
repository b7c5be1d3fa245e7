// Pictures of the console for the documents and for whoever changes it: `npm run screenshots` in console/.
// With `--all DIR`, every page in three widths, both themes; else the few that docs/ shows.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch, signIn } from "./browser.mjs";
import { World, fill } from "./world.mjs";

const at = process.argv.indexOf("--all");
const everything = at > 0;
const target = everything ? process.argv[at + 1] : join(fileURLToPath(new URL("../..", import.meta.url)), "docs/console");
mkdirSync(target, { recursive: true });

const world = process.env.STINT_ORIGIN ? Object.assign(new World(), JSON.parse(process.env.STINT_ORIGIN)) : await World.start();
const browser = await launch();
try {
  const made = world.made ?? (await fill(world));
  if (process.env.STINT_KEEP) console.log(JSON.stringify({ port: world.port, directory: world.directory, key: world.key, token: world.token, made }));
  const pages = {
    home: "/",
    tasks: "/tasks",
    task: `/tasks/${made.failing.uid}`,
    waiting: `/tasks/${made.later.uid}`,
    live: `/tasks/${made.running.uid}`,
    functions: "/functions",
    "function-new": "/functions/new",
    function: "/functions/resize",
    code: "/functions/resize/code",
    configuration: "/functions/resize/configuration",
    versions: "/functions/resize/versions",
    test: "/functions/resize/test",
    behaviour: "/functions/resize/tasks",
    flows: "/flows",
    "flow-new": "/flows/new",
    flow: "/flows/order/definition",
    execution: "/flows/order/executions/order-1003",
    "execution-failed": "/flows/order/executions/order-1002",
    map: "/flows/album/executions/kyoto",
    logs: "/logs",
    capacity: "/capacity",
    instances: "/capacity/instances",
    backlogs: "/capacity/backlogs",
    accounts: "/accounts",
    keys: "/accounts/keys",
    account: "/accounts/account",
    audit: "/accounts/audit",
    settings: "/settings",
  };
  const shown = everything ? pages : { home: pages.home, task: pages.task, execution: pages.execution };
  const only = process.env.ONLY?.split(",");
  const looks = everything ? [["light", 1440, 900], ["dark", 1024, 768], ["light", 390, 844]] : [["light", 1440, 900], ["dark", 1440, 900]];
  for (const [theme, width, height] of looks) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, locale: process.env.LANGUAGE_SHOWN ?? "en-GB", reducedMotion: "reduce" });
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error.message));
    page.on("console", (message) => message.type() === "error" && !message.text().includes("Failed to load") && console.error("console:", message.text()));
    page.on("response", (answer) => answer.status() >= 400 && console.error(answer.status(), answer.url()));
    if (everything && !only) {
      await page.goto(`${world.origin}/`);
      await page.screenshot({ path: join(target, `sign-in-${theme}-${width}.png`) });
    }
    await signIn(page, world.origin, world.key);
    if (!only || only.includes("home")) await page.waitForTimeout(9_000);
    for (const [name, path] of Object.entries(shown)) {
      if (only && !only.includes(name)) continue;
      if (name === "home") await page.goto(`${world.origin}/`).then(() => page.waitForTimeout(12_000));
      else await page.goto(`${world.origin}${path}`);
      await page.waitForLoadState("networkidle", { timeout: 3_000 }).catch(() => undefined);
      await page.waitForTimeout(900);
      await page.screenshot({ path: join(target, `${name}-${theme}${everything ? `-${width}` : ""}.png`) });
    }
    await context.close();
  }
} finally {
  await browser.close();
  if (!process.env.STINT_ORIGIN && !process.env.STINT_KEEP) await world.end();
}
if (process.env.STINT_KEEP) process.exit(0);
