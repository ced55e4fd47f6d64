/** The proof of the page: the login's nonce is the hash of a secret kept to the page. */

import { base64Url, sha256Base64Url } from "./encoding.js";

export interface NonceProof {
  /** Kept to the page; goes to the service alone. */
  readonly verifier: string;
  /** Goes to the identity provider with the login. */
  readonly nonce: string;
}

/** A new one, for one login. */
export async function createNonceProof(): Promise<NonceProof> {
  const verifier = base64Url(crypto.getRandomValues(new Uint8Array(32)));
  return { verifier, nonce: await sha256Base64Url(verifier) };
}
