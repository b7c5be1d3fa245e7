// ACS3-HMAC-SHA256 for the one request that is signed: the sign-in. The secret never leaves the page. Hashes
// are computed here and not by the browser, whose own are only there on secure origins.
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

export interface SignInput {
  method: string;
  /** Without a query. */
  path: string;
  /** Host and port as the browser sends them. */
  host: string;
  body: string;
  keyId: string;
  secret: string;
  /** Of a temporary key. */
  securityToken?: string;
  now: Date;
  nonce: string;
}

/** Headers that show who asks, but for `host`, which the browser sets. */
export function sign(input: SignInput): Record<string, string> {
  const hash = bytesToHex(sha256(utf8ToBytes(input.body)));
  const headers: Record<string, string> = {
    "x-acs-content-sha256": hash,
    "x-acs-date": input.now.toISOString().replace(/\.\d+Z$/, "Z"),
    "x-acs-signature-nonce": input.nonce,
  };
  if (input.securityToken) headers["x-acs-security-token"] = input.securityToken;
  const all: Record<string, string> = { ...headers, host: input.host };
  const names = Object.keys(all).sort();
  const canonical = [
    input.method,
    input.path,
    "",
    ...names.map((name) => `${name}:${all[name]}`),
    "",
    names.join(";"),
    hash,
  ].join("\n");
  const text = `ACS3-HMAC-SHA256\n${bytesToHex(sha256(utf8ToBytes(canonical)))}`;
  const signature = bytesToHex(hmac(sha256, utf8ToBytes(input.secret), utf8ToBytes(text)));
  const authorization = `ACS3-HMAC-SHA256 Credential=${input.keyId},SignedHeaders=${names.join(";")},Signature=${signature}`;
  return { ...headers, authorization };
}

/** Random, 128 bits. */
export function nonce(): string {
  return bytesToHex(crypto.getRandomValues(new Uint8Array(16)));
}
