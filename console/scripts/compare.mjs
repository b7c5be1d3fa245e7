// Builds the console anew and compares it with what is committed in dist/: packed files by what is in them, since
// two machines may pack the same differently.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));
const kept = join(root, "dist");
const fresh = mkdtempSync(join(tmpdir(), "stint-console-dist-"));

function files(directory) {
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => statSync(path).isFile())
    .map((path) => relative(directory, path))
    .sort();
}

function content(directory, name) {
  const data = readFileSync(join(directory, name));
  return name.endsWith(".gz") ? gunzipSync(data) : data;
}

try {
  execFileSync("npx", ["vite", "build", "--outDir", fresh, "--emptyOutDir", "--logLevel", "error"], { cwd: root, stdio: "inherit" });
  const [is, was] = [files(fresh), files(kept)];
  const differs = [...new Set([...is, ...was])].filter((name) => !is.includes(name) || !was.includes(name) || !content(fresh, name).equals(content(kept, name)));
  if (differs.length > 0) {
    console.error(`console/dist is not what console/ builds now; run \`npm run build\` there. It differs in:\n  ${differs.join("\n  ")}`);
    process.exit(1);
  }
  console.log(`console/dist is what is built: ${is.length} files`);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
