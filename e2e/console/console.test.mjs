// The console in a real browser on the real binary with work that runs: every page, both languages, every role, a
// server that goes and comes back, payloads that mean harm, and what WCAG asks that a program can check.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { launch, signIn } from "./browser.mjs";
import { HOSTILE, World, fill, until } from "./world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WAIT = { timeout: 30_000 };

let world;
let made;
let browser;

before(async () => {
  world = await World.start();
  made = await fill(world);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await world?.end();
});

/** A page that notes what must not happen: errors, refused scripts and styles, words with others. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", reducedMotion: "reduce", bypassCSP: false, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT.timeout);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => /Content Security Policy|Refused to/.test(message.text()) && wrong.push(message.text()));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.origin !== world.origin) wrong.push(`asked ${url.origin}`);
  });
  return { context, page, wrong };
}

async function entered(options) {
  const opened = await open(options);
  await signIn(opened.page, world.origin, world.key);
  return opened;
}

const go = (page, path) => page.goto(`${world.origin}${path}`);
const sees = (page, text) => page.getByText(text).first().waitFor(WAIT);

/** What the rules of WCAG 2.2 A and AA find. The program is handed over as the tool's own, past the page's policy. */
async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] }));
  return found.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary?.split("\n").at(1) ?? ""}`).join(" | ")}`);
}

const PAGES = () => [
  ["/", "Needs attention", "需要关注"],
  ["/tasks", "All functions", "全部函数"],
  [`/tasks/${made.failing.uid}`, "cannot read scan-0042.tiff", "cannot read scan-0042.tiff"],
  [`/tasks/${made.later.uid}`, "Why is it waiting?", "为什么在等待？"],
  ["/functions", "resize", "resize"],
  ["/functions/new", "Begin with", "创建方式"],
  ["/functions/resize", "Backlog", "积压"],
  ["/functions/resize/code", "index.py", "index.py"],
  ["/functions/resize/configuration", "Environment variables", "环境变量"],
  ["/functions/resize/versions", "live", "live"],
  ["/functions/resize/test", "Nothing was called yet.", "尚未调用。"],
  ["/functions/resize/tasks", "Asynchronous calls", "异步调用"],
  ["/flows", "From payment to parcel", "From payment to parcel"],
  ["/flows/executions", "order-1002", "order-1002"],
  ["/flows/new", "no mistakes", "没有错误"],
  ["/flows/order/definition", "no mistakes", "没有错误"],
  ["/flows/order/executions/order-1002", "the card was declined", "the card was declined"],
  ["/flows/album/executions/kyoto", "240 of 240", "240 / 240"],
  ["/logs", "wrote thumb-", "wrote thumb-"],
  ["/capacity", "Runtimes", "运行时"],
  ["/capacity/instances", "record", "record"],
  ["/capacity/backlogs", "By priority", "按优先级"],
  ["/accounts", "Compute units a day", "每日计算单元"],
  ["/accounts/keys", "New key", "新建密钥"],
  ["/accounts/account", "Budget", "预算"],
  ["/accounts/all", "New account", "新建账户"],
  ["/accounts/audit", "fc:CreateFunction", "fc:CreateFunction"],
  ["/settings", "Server settings", "服务器设置"],
];

for (const [name, theme, locale, at] of [["English, light", "light", "en-GB", 1], ["Chinese, dark", "dark", "zh-CN", 2]]) {
  test(`every page in ${name}: what it is for is there, and nothing that axe finds`, async () => {
    const { context, page, wrong } = await open({ colorScheme: theme, locale });
    await go(page, "/");
    assert.deepEqual(await violations(page), [], "sign-in");
    await signIn(page, world.origin, world.key);
    for (const row of PAGES()) {
      await go(page, row[0]);
      await sees(page, row[at]).catch((error) => {
        throw new Error(`${row[0]}: ${error.message}`);
      });
      assert.deepEqual(await violations(page), [], row[0]);
    }
    assert.deepEqual(wrong, []);
    await context.close();
  });
}

test("no page is wider than a small phone", async () => {
  const { context, page } = await entered({ viewport: { width: 360, height: 740 } });
  for (const [path, text] of PAGES()) {
    await go(page, path);
    await sees(page, text).catch(() => undefined);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(over <= 0, `${path} is ${over} px too wide`);
  }
  await context.close();
});

test("the secret is not sent and not kept, and signing out ends the token", async () => {
  const { context, page } = await open();
  const sent = [];
  page.on("request", (request) => sent.push(JSON.stringify([request.url(), request.headers(), request.postData()])));
  await signIn(page, world.origin, world.key);
  await sees(page, "Needs attention");
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  for (const text of [...sent, kept]) assert.ok(!text.includes(world.key.accessKeySecret));
  const { token } = JSON.parse(await page.evaluate(() => sessionStorage.getItem("stint.session")));
  await page.getByRole("button", { name: "You" }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.locator('input[name="secret"]').waitFor();
  await until("the token's end", async () => !(await fetch(`${world.origin}/v1/whoami`, { headers: { authorization: `Bearer ${token}` } })).ok);
  await page.locator('input[name="id"]').fill(world.key.accessKeyId);
  await page.locator('input[name="secret"]').fill("wrong");
  await page.locator('button[type="submit"]').click();
  await sees(page, "Key or secret is wrong");
  await context.close();
});

test("payloads that mean harm are text, bytes are bytes, and what is huge is cut", async () => {
  const { context, page, wrong } = await entered();
  await go(page, `/tasks/${made.hostile.uid}`);
  const content = page.getByTestId("content");
  await content.first().waitFor();
  assert.ok((await content.first().textContent()).includes(HOSTILE));
  await sees(page, "note=<b>bold</b>");
  await go(page, `/tasks/${made.binary.uid}`);
  await page.locator('[data-kind="bytes"]').first().waitFor();
  await go(page, `/tasks/${made.huge.uid}`);
  await sees(page, "Only the beginning is shown.");
  assert.equal(await page.evaluate(() => globalThis.__hit), undefined);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("find the failed, understand why, mend the code and run them again", async () => {
  const { context, page } = await entered();
  await world.function("mend", 'def handler(event, context):\n    raise KeyError("width")\n');
  await world.ask("PUT", "/2023-03-30/functions/mend/async-invoke-config", { asyncTask: true, maxAsyncRetryAttempts: 0 });
  const broken = await world.submit("mend", { taskId: "first", payload: { width: 1 } });
  await world.ended(broken.uid);
  await go(page, "/tasks");
  await page.getByLabel("Function", { exact: true }).selectOption("mend");
  await page.getByLabel("State", { exact: true }).selectOption("Failed");
  await page.waitForURL(/function=mend.*state=Failed/);
  await page.getByTestId("tasks").getByRole("link", { name: "mend" }).click();
  await page.getByTestId("error").getByText("KeyError").waitFor();
  await page.getByTestId("attempts").waitFor();
  await page.getByRole("log").getByText("Traceback").waitFor();
  await go(page, "/functions/mend/code");
  const editor = page.locator(".cm-host .cm-content");
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText("def handler(event, context):\n    return b'mended'\n");
  await page.getByRole("button", { name: "Deploy" }).click();
  await sees(page, "Deployed");
  await go(page, "/tasks?function=mend&state=Failed");
  await page.getByTestId("tasks").getByRole("link", { name: "mend" }).waitFor();
  await page.getByRole("button", { name: "All found" }).click();
  await page.getByRole("menuitem", { name: "Re-run all found…" }).click();
  await page.getByTestId("dry-run").getByText("1 tasks").waitFor();
  await page.getByRole("button", { name: "Re-run 1 tasks" }).click();
  const again = await until("its success", async () => {
    const task = await world.ask("GET", `/v1/tasks/${broken.uid}`);
    return task.state === "Succeeded" && task;
  });
  assert.equal(again.state, "Succeeded");
  await context.close();
});

test("a function is made from a template, called, and its task re-run with an edited payload", async () => {
  const { context, page } = await entered();
  await go(page, "/functions/new");
  await page.getByLabel("Name", { exact: true }).fill("hello");
  await page.getByRole("button", { name: "Create function" }).click();
  await page.waitForURL(/functions\/hello\/code/);
  await go(page, "/functions/hello/test");
  await page.getByRole("button", { name: "Invoke", exact: true }).click();
  await page.getByTestId("answer").getByText('"hello": "you"').waitFor();
  await sees(page, "working on");
  await page.getByRole("button", { name: "Submit as task" }).click();
  await page.waitForURL(/\/tasks\/tsk_/);
  await page.getByRole("button", { name: "Re-run edited" }).click();
  await page.locator("[role=dialog] .cm-content").click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('{"name": "edited"}');
  const before = page.url();
  await page.getByRole("button", { name: "Submit", exact: true }).click();
  await page.waitForURL((url) => url.href !== before);
  await page.getByTestId("content").getByText('"hello": "edited"').waitFor();
  await context.close();
});

test("a flow is written with the server's help, started and watched to its end", async () => {
  const { context, page } = await entered();
  await go(page, "/flows/new");
  await page.getByLabel("Name", { exact: true }).fill("watched");
  const editor = page.locator(".cm-host .cm-content");
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Nowhere"}}}');
  await page.getByTestId("problems").getByText("Nowhere").waitFor();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText('{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 1, "Next": "B"}, "B": {"Type": "Pass", "Result": {"fine": true}, "End": true}}}');
  await page.getByTestId("graph").getByText("B", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Create flow" }).click();
  await page.waitForURL(/flows\/watched$/);
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Start" }).click();
  await page.waitForURL(/executions\//);
  await page.locator('.step[data-state="active"]').waitFor();
  await page.locator('.step[data-state="done"]').nth(1).waitFor();
  await page.locator(".step").nth(1).click();
  await page.getByTestId("step").getByText('"fine": true').first().waitFor();
  await context.close();
});

test("each role is offered what it may do, and told when it may not", async () => {
  for (const [role, sees_, hidden] of [["viewer", "Tasks", null], ["developer", "Tasks", null], ["invoker", null, "Tasks"]]) {
    const key = await world.makeKey(role);
    const { context, page, wrong } = await open();
    await signIn(page, world.origin, { accessKeyId: key.id, accessKeySecret: key.secret });
    const menu = page.getByRole("navigation", { name: "Menu" });
    await menu.getByRole("link", { name: "Settings" }).waitFor();
    if (sees_) await menu.getByRole("link", { name: sees_ }).waitFor();
    if (hidden) assert.equal(await menu.getByRole("link", { name: hidden, exact: true }).count(), 0);
    if (role !== "invoker") {
      await go(page, `/tasks/${made.running.uid}`);
      const stop = page.getByRole("button", { name: "Stop" });
      await stop.waitFor();
      assert.equal(await stop.isDisabled(), role === "viewer");
      await go(page, "/accounts");
      await sees(page, "Compute units a day");
      assert.equal(await page.getByRole("link", { name: "Keys" }).count(), 0);
    } else {
      await go(page, "/tasks");
      await sees(page, "Your role does not allow this");
    }
    assert.deepEqual(wrong, []);
    await context.close();
  }
});

test("a restart is seen and lived through: the page says so and goes on by itself", async () => {
  const { context, page } = await entered();
  await go(page, "/");
  await sees(page, "Needs attention");
  await world.down("SIGKILL");
  await page.getByTestId("reconnecting").waitFor();
  await world.up();
  await page.getByTestId("reconnecting").waitFor({ state: "detached" });
  const { uid } = await world.submit("echo", { taskId: "after-restart", payloadText: "x" });
  await world.ended(uid);
  await page.getByRole("navigation", { name: "Menu" }).getByRole("link", { name: "Tasks" }).click();
  await page.getByLabel("Task id or uid begins with…").fill("after-restart");
  await page.keyboard.press("Enter");
  await page.getByTestId("tasks").getByRole("link", { name: "echo" }).waitFor();
  await context.close();
});

test("everything is reached by keys: places, lists, the palette", async () => {
  const { context, page } = await entered();
  await sees(page, "Needs attention");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.waitForURL(/\/tasks$/);
  await page.getByTestId("tasks").getByRole("link").first().waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/tasks\/tsk_/);
  await page.keyboard.press("Control+k");
  await page.keyboard.type("resize");
  await page.getByRole("option").first().getByText("resize").waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/functions\/resize/);
  await context.close();
});

test("nothing moves while a page fills, and logs arrive as they are written", async () => {
  const { context, page } = await entered();
  await page.addInitScript(() => {
    globalThis.__shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.__shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  for (const path of ["/", "/tasks", "/functions"]) {
    await go(page, path);
    await page.waitForLoadState("networkidle", { timeout: 2_000 }).catch(() => undefined);
    const shift = await page.evaluate(() => globalThis.__shift);
    assert.ok(shift < 0.1, `${path} moved by ${shift}`);
  }
  await go(page, `/tasks/${made.running.uid}`);
  const lines = () => page.getByRole("log").locator(".log-line").last().textContent();
  await page.getByRole("log").getByText("recorded").first().waitFor();
  const first = await lines();
  await until("another line", async () => (await lines()) !== first);
  await context.close();
});
