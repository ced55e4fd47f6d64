/** What Box UI Elements lack: another try with another token where Box says 401. */

import type { SsoBox } from "@sso-box/client";

interface AxiosRequest {
  headers: Record<string, unknown>;
  adapter?: (request: AxiosRequest) => Promise<unknown>;
}

/** The Elements' `requestInterceptor`: goes round the sending of each request. */
export function retryOn401(box: SsoBox, profile: string) {
  return (request: AxiosRequest): AxiosRequest => {
    const send = request.adapter;
    if (typeof send !== "function") return request;
    return { ...request, adapter: (sent) => send(sent).catch(again(sent, send)) };
  };

  function again(sent: AxiosRequest, send: NonNullable<AxiosRequest["adapter"]>) {
    return async (error: { response?: { status?: number } }): Promise<unknown> => {
      const bearer = String(sent.headers.Authorization ?? "");
      if (error.response?.status !== 401) throw error;
      box.rejectToken(bearer.replace(/^Bearer /, ""));
      const { accessToken } = await box.boxToken(profile);
      sent.headers.Authorization = `Bearer ${accessToken}`;
      return send(sent);
    };
  }
}
