import { afterEach, describe, expect, it, vi } from 'vitest';
import { LedgerFault } from './fault';
import { httpLedger } from './http';
import type { Connection } from './ledger';

type Answer = { status?: number; body?: unknown };

/** A ledger whose engine gives these answers in turn, the last one for ever; an `Error` is a refused connection. */
function ledger(...answers: (Answer | Response | Error)[]) {
  const asked: { url: string; init: RequestInit }[] = [];
  const fetched = vi.fn((url: string | URL | Request, init: RequestInit = {}) => {
    asked.push({ url: url instanceof Request ? url.url : String(url), init });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer === undefined || answer instanceof Error) return Promise.reject(new TypeError('fetch failed'));
    if (answer instanceof Response) return Promise.resolve(answer);
    return Promise.resolve(new Response(JSON.stringify(answer.body ?? null), { status: answer.status ?? 200 }));
  });
  const opened = httpLedger({ origin: 'http://127.0.0.1:8656', token: () => 'secret', fetch: fetched, reconnectMs: 1 });
  return { ...opened, asked };
}

const caught = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable('it was answered'),
    (reason: unknown) => reason as LedgerFault,
  );

describe('ask and tell', () => {
  it('post the question with token and protocol, and give back the answer', async () => {
    const { ask, asked } = ledger({ body: { calls: [] } });
    expect(await ask('recent', { limit: 3 })).toEqual({ calls: [] });
    const [{ url, init } = { url: '', init: {} }] = asked;
    expect(url).toBe('http://127.0.0.1:8656/ask/recent');
    expect(init.method).toBe('POST');
    expect(init.body).toBe('{"limit":3}');
    const headers = new Headers(init.headers);
    expect(headers.get('authorization')).toBe('Bearer secret');
    expect(headers.get('x-tollbar-protocol')).toBe('1');
    expect(headers.get('content-type')).toBe('application/json');
  });

  it('send a command as it stands', async () => {
    const { tell, asked } = ledger({ body: null });
    await tell({ command: 'remove_budget', name: 'month' });
    expect(asked[0]?.url).toBe('http://127.0.0.1:8656/tell');
    expect(asked[0]?.init.body).toBe('{"command":"remove_budget","name":"month"}');
  });

  it('give the reason of a refusal with its hint', async () => {
    const { tell } = ledger({ status: 422, body: { code: 'refused', message: 'a limit must be above zero', hint: 'write it like 12.50' } });
    const fault = await caught(tell({ command: 'remove_budget', name: 'x' }));
    expect(fault).toBeInstanceOf(LedgerFault);
    expect([fault.code, fault.message, fault.hint]).toEqual(['refused', 'a limit must be above zero', 'write it like 12.50']);
  });

  it('know a stale token, a wrong door and an empty house apart', async () => {
    expect((await caught(ledger({ status: 401 }).ask('today', {}))).stale).toBe(true);
    const strange = await caught(ledger(new Response('<html>', { status: 502 })).ask('today', {}));
    expect([strange.code, strange.message, strange.stale]).toEqual(['internal', 'the engine answered 502 to /ask/today', false]);
    const nobody = await caught(ledger(new Error()).ask('today', {}));
    expect([nobody.code, nobody.message]).toEqual(['unreachable', 'nobody answers at 127.0.0.1:8656']);
  });
});

describe('watch', () => {
  let stop = () => {};
  afterEach(() => {
    stop();
  });

  const news = (seq: number) => new Response(`: hello\n\nevent: changed\ndata: {"seq": ${seq}}\n\n`);
  /** What the watch says until it has said as many things. */
  function heard(watch: ReturnType<typeof ledger>['watch'], count: number): Promise<(number | Connection)[]> {
    const said: (number | Connection)[] = [];
    return new Promise((resolve) => {
      const say = (thing: number | Connection) => {
        said.push(thing);
        if (said.length === count) resolve([...said]);
      };
      stop = watch(say, say);
    });
  }

  it('tells what changed, and connects again after a loss', async () => {
    const { watch } = ledger(news(7), new Error(), news(9), new Error());
    expect(await heard(watch, 7)).toEqual(['connected', 7, 'lost', 'lost', 'connected', 9, 'lost']);
  });

  it('gives up when the token is no longer known', async () => {
    const { watch, asked } = ledger(news(7), { status: 401 });
    expect(await heard(watch, 4)).toEqual(['connected', 7, 'lost', 'stale']);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(asked).toHaveLength(2);
  });

  it('is silent once stopped', async () => {
    const { watch, asked } = ledger(new Error());
    await heard(watch, 2);
    stop();
    const before = asked.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(asked).toHaveLength(before);
  });
});
