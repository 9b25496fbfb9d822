// Stands in for the engine: the built page and canned answers behind the same doors, with the same guards.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';

export const TOKEN = 'e2e-token';
const KINDS = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
// Stricter than the engine needs to be: no inline script, no inline style.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/** `engine.answers` and `engine.faults` may be changed while it runs; `engine.told` keeps the commands, `engine.questions` what was asked. */
export async function startStandIn(dist, answers) {
  const watchers = new Set();
  const engine = { answers, faults: {}, told: [], onTell: () => null, asked: 0, questions: {}, token: TOKEN };

  const send = (response, status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://engine');
    const api = pathname.startsWith('/ask/') || pathname === '/tell' || pathname === '/watch';
    if (api && (request.headers.authorization !== `Bearer ${engine.token}` || request.headers['x-tollbar-protocol'] !== '1')) {
      return send(response, 401, { code: 'unreachable', message: 'not to us', hint: '' });
    }
    if (pathname === '/watch') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': hello\n\n');
      watchers.add(response);
      request.on('close', () => watchers.delete(response));
      return;
    }
    if (api) {
      let body = '';
      for await (const piece of request) body += piece;
      const said = JSON.parse(body);
      if (pathname === '/tell') {
        const refusal = engine.onTell(said);
        if (refusal !== null) return send(response, 422, refusal);
        engine.told.push(said);
        return send(response, 200, null);
      }
      engine.asked += 1;
      const name = pathname.slice('/ask/'.length);
      (engine.questions[name] ??= []).push(said);
      if (engine.hold) await engine.hold;
      if (engine.faults[name]) return send(response, 500, engine.faults[name]);
      return send(response, 200, engine.answers[name](said));
    }
    const file = normalize(pathname === '/' ? '/index.html' : pathname);
    try {
      const bytes = await readFile(join(dist, file));
      response.writeHead(200, { 'content-type': KINDS[extname(file)] ?? 'application/octet-stream', 'content-security-policy': POLICY });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;

  return {
    engine,
    link: `${origin}/#token=${TOKEN}`,
    changed(seq) {
      for (const watcher of watchers) watcher.write(`event: changed\ndata: {"seq": ${seq}}\n\n`);
    },
    /** Cuts every watch, as an engine that ends does. */
    cut() {
      for (const watcher of watchers) watcher.destroy();
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    async again() {
      await new Promise((resolve) => server.listen(Number(new URL(origin).port), '127.0.0.1', resolve));
    },
  };
}
