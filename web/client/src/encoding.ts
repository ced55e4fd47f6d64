/** SHA-256 in the two spellings that the service takes. */

async function sha256(text: string): Promise<Uint8Array> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest);
}

export async function sha256Hex(text: string): Promise<string> {
  const bytes = Array.from(await sha256(text));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function sha256Base64Url(text: string): Promise<string> {
  return base64Url(await sha256(text));
}

export function base64Url(bytes: Uint8Array): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
