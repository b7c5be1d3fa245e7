// Both languages say the same things, and say something.
import { expect, test } from "vitest";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setLanguage, t, word } from ".";
import { MESSAGES } from "./messages";

const values = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test("every entry has words in both languages, about the same values", () => {
  for (const [key, [english, chinese]] of Object.entries(MESSAGES)) {
    expect(english.trim(), key).not.toBe("");
    expect(chinese.trim(), key).not.toBe("");
    expect(values(chinese), key).toEqual(values(english));
  }
});

test("Chinese is Chinese, but for names", () => {
  const names = ["fn.from.node", "fn.from.python", "fn.from.zip", "viewer.json"];
  for (const [key, [, chinese]] of Object.entries(MESSAGES)) {
    if (!names.includes(key) && !/^[\s{}\w/·:%→-]+$/.test(chinese)) expect(chinese, key).toMatch(/\p{Script=Han}/u);
  }
});

function sources(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return sources(path);
    return /\.tsx?$/.test(name) && !/(\.test|messages|generated)\.tsx?$/.test(name) ? [readFileSync(path, "utf8")] : [];
  });
}

test("no word is kept that nobody says", () => {
  const all = sources("src").join("\n");
  const families = [...all.matchAll(/\bword\("(\w+)"/g)].map(([, name]) => `${name}.`);
  const templates = [...all.matchAll(/`([\w.]+\.)\$\{/g)].map(([, name]) => name as string);
  for (const key of Object.keys(MESSAGES)) {
    const isSaid = all.includes(`"${key}"`) || [...families, ...templates].some((start) => key.startsWith(start));
    expect(isSaid, key).toBe(true);
  }
});

test("words take values, and what the server invents stays as it is", () => {
  setLanguage("en");
  expect(t("why.position", { n: 7 })).toBe("position 7");
  expect(word("state", "Enqueued")).toBe("Waiting");
  expect(word("state", "Sleeping")).toBe("Sleeping");
  setLanguage("zh");
  expect(word("role", "viewer")).toBe("只读");
  setLanguage("en");
});
