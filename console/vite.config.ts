// How the console is built: names that change with their content, and a packed copy beside each file that
// gains by it, so that the server compresses nothing.
import { gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { type Plugin, defineConfig } from "vite";

/** Below this a packed copy saves no packet. */
const PACKED_BYTES_MIN = 1_400;

function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      for (const [name, file] of Object.entries(bundle)) {
        const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
        if (source.length >= PACKED_BYTES_MIN && /\.(js|css|html|svg|json)$/.test(name)) {
          const packedSource = gzipSync(source, { level: 9 });
          this.emitFile({ type: "asset", fileName: `${name}.gz`, source: packedSource });
        }
      }
    },
  };
}

const server = process.env.STINT_ENDPOINT ?? "http://127.0.0.1:7780";
const apis = ["/v1", "/2023-03-30", "/readyz", "/healthz", "/openapi.json", "/metrics"];

export default defineConfig({
  plugins: [react(), tailwindcss(), packed()],
  build: {
    target: "es2023",
    outDir: "dist",
    sourcemap: false,
    modulePreload: { polyfill: false },
    // Pictures inside scripts and styles would need a weaker policy.
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler)\// },
            { name: "codemirror", test: /node_modules\/(@codemirror|@lezer|style-mod|w3c-keyname|crelt)\// },
          ],
        },
      },
    },
  },
  server: { proxy: Object.fromEntries(apis.map((api) => [api, { target: server }])) },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], setupFiles: ["src/test.ts"] },
} as Parameters<typeof defineConfig>[0]);
