// What a browser loads before it shows anything: the page, what it names, and Home. At most so much, packed.
import { gzipSync } from "node:zlib";
import { readFileSync, readdirSync } from "node:fs";

const BUDGET = 350_000;
const dist = new URL("../dist/", import.meta.url);
const read = (name) => readFileSync(new URL(name, dist));
const seen = new Set();

function follow(name) {
  if (seen.has(name)) return;
  seen.add(name);
  if (!name.endsWith(".js")) return;
  const text = read(name).toString();
  // Static imports only: what is imported with `import(` is fetched when somebody goes there.
  for (const [, file] of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+)["']/g)) follow(`assets/${file}`);
}

const page = read("index.html").toString();
for (const [, name] of page.matchAll(/(?:src|href)="\/([^"]+)"/g)) follow(name);
for (const name of readdirSync(new URL("assets/", dist))) {
  if (/^(home|chart)-.*\.(js|css)$/.test(name)) follow(`assets/${name}`);
}
let total = gzipSync(page).length;
for (const name of seen) total += gzipSync(read(name), { level: 9 }).length;
console.log(`first load: ${(total / 1_000).toFixed(0)} kB of ${BUDGET / 1_000} kB, in ${seen.size + 1} files`);
if (total > BUDGET) process.exit(1);
