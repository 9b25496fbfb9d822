// The ledger over the engine's control API, for a browser. Same origin, bearer token, protocol number.

import { LedgerFault, isFault } from './fault';
import type { Command, Connection, Ledger, QuestionName, Questions } from './ledger';
import { readEvents } from './sse';

/** Must equal the engine's; it refuses others. */
const PROTOCOL = '1';
const ANSWER_MS_MAX = 20_000;
/** The engine sends a comment at least this often on a healthy watch; silence beyond it means the other end is gone. */
const SILENCE_MS_MAX = 60_000;
const RECONNECT_MS_MIN = 500;
const RECONNECT_MS_MAX = 10_000;
const TOKEN_KEY = 'tollbar-token';

export type HttpOptions = {
  origin: string;
  token: () => string | null;
  fetch: typeof fetch;
  /** The first pause before another attempt; it doubles up to {@link RECONNECT_MS_MAX}. */
  reconnectMs?: number;
};

export function httpLedger(options: HttpOptions): Ledger {
  const host = new URL(options.origin).host;

  async function request(path: string, init: RequestInit): Promise<Response> {
    const token = options.token();
    const headers = new Headers({ 'x-tollbar-protocol': PROTOCOL });
    if (token !== null) headers.set('authorization', `Bearer ${token}`);
    if (init.body !== undefined) headers.set('content-type', 'application/json');
    let response: Response;
    try {
      response = await options.fetch(`${options.origin}${path}`, { ...init, headers, cache: 'no-store', credentials: 'omit' });
    } catch {
      throw new LedgerFault({
        code: 'unreachable',
        message: `nobody answers at ${host}`,
        hint: 'start it with "tollbar serve", then open "tollbar dashboard"',
      });
    }
    if (response.ok) return response;
    const body: unknown = await response.json().catch(() => null);
    const fault = isFault(body) ? body : { code: 'internal' as const, message: `the engine answered ${response.status} to ${path}` };
    throw new LedgerFault(fault, response.status === 401);
  }

  const post = (path: string, body: unknown) =>
    request(path, { method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(ANSWER_MS_MAX) });

  return {
    async ask<N extends QuestionName>(name: N, question: Questions[N]['question']): Promise<Questions[N]['answer']> {
      const response = await post(`/ask/${name}`, question);
      return (await response.json()) as Questions[N]['answer'];
    },

    async tell(command: Command): Promise<void> {
      const response = await post('/tell', command);
      await response.body?.cancel();
    },

    watch(onChanged: (seq: number) => void, onState: (state: Connection) => void): () => void {
      const over = new AbortController();
      void keepWatching(over.signal, onChanged, onState);
      return () => {
        over.abort();
      };
    },
  };

  async function keepWatching(over: AbortSignal, onChanged: (seq: number) => void, onState: (state: Connection) => void): Promise<void> {
    const ended = () => over.aborted;
    const first = options.reconnectMs ?? RECONNECT_MS_MIN;
    for (let pauseMs = first; !ended(); pauseMs = Math.min(pauseMs * 2, RECONNECT_MS_MAX)) {
      try {
        await watchOnce(over, onChanged, () => {
          pauseMs = first;
          onState('connected');
        });
      } catch (reason) {
        if (reason instanceof LedgerFault && reason.stale) {
          // The same token will not become good again; a new link brings a new page or a new fragment.
          onState('stale');
          return;
        }
      }
      if (ended()) return;
      onState('lost');
      await sleep(pauseMs, over);
    }
  }

  async function watchOnce(over: AbortSignal, onChanged: (seq: number) => void, onOpen: () => void): Promise<void> {
    // Not EventSource: it cannot send the token's header.
    const attempt = new AbortController();
    const end = () => {
      attempt.abort();
    };
    over.addEventListener('abort', end);
    let silence = setTimeout(end, SILENCE_MS_MAX);
    try {
      const response = await request('/watch', { signal: attempt.signal });
      if (response.body === null) return;
      onOpen();
      const heard = () => {
        clearTimeout(silence);
        silence = setTimeout(end, SILENCE_MS_MAX);
      };
      for await (const event of readEvents(response.body, heard)) {
        if (event.event !== 'changed') continue;
        const news = JSON.parse(event.data) as { seq?: unknown };
        if (typeof news.seq === 'number') onChanged(news.seq);
      }
    } finally {
      clearTimeout(silence);
      over.removeEventListener('abort', end);
      end();
    }
  }
}

/**
 * The token of the link that opened this page: `#token=<token>`.
 * It moves from the address bar, where it would be copied and kept in the history, to the tab's own storage.
 */
export function tokenOfPage(): string | null {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token !== null) {
    sessionStorage.setItem(TOKEN_KEY, token);
    history.replaceState(history.state, '', location.pathname + location.search);
  }
  return token ?? sessionStorage.getItem(TOKEN_KEY);
}

function sleep(ms: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      over.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    over.addEventListener('abort', done);
  });
}
