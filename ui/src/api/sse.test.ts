import { describe, expect, it } from 'vitest';
import { EVENT_CHARS_MAX, readEvents, type ServerEvent } from './sse';

/** A stream of the text, cut into pieces of so many bytes. */
function stream(text: string, bytes = text.length): ReadableStream<Uint8Array> {
  const whole = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= whole.length) {
        controller.close();
        return;
      }
      controller.enqueue(whole.slice(at, at + bytes));
      at += bytes;
    },
  });
}

async function all(source: ReadableStream<Uint8Array>): Promise<ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of readEvents(source)) events.push(event);
  return events;
}

describe('readEvents', () => {
  const text = ': hello\n\nevent: changed\ndata: {"seq": 1}\n\n:\n\nevent:changed\r\ndata:{"seq":2}\r\n\r\ndata: zwölf\ndata: dreizehn\n\n';
  const events = [
    { event: 'changed', data: '{"seq": 1}' },
    { event: 'changed', data: '{"seq":2}' },
    { event: 'message', data: 'zwölf\ndreizehn' },
  ];

  it('reads the same events however the bytes are cut', async () => {
    for (let bytes = 1; bytes <= text.length; bytes += 1) {
      expect(await all(stream(text, bytes)), `pieces of ${bytes}`).toEqual(events);
    }
  });

  it('drops what the stream left unfinished', async () => {
    expect(await all(stream('event: changed\ndata: {"seq": 1}\n'))).toEqual([]);
  });

  it('takes comments and blocks without data for signs of life only', async () => {
    let heard = 0;
    for await (const event of readEvents(stream(': keep-alive\n\nevent: changed\n\n', 5), () => (heard += 1))) {
      expect.unreachable(JSON.stringify(event));
    }
    expect(heard).toBe(6);
  });

  it('refuses an event without end', async () => {
    await expect(all(stream(`data: ${'x'.repeat(EVENT_CHARS_MAX + 10)}`, 4096))).rejects.toThrow('longer than');
    await expect(all(stream('data: x\n'.repeat(EVENT_CHARS_MAX / 4), 4096))).rejects.toThrow('longer than');
  });

  it('lets go of the stream when the reader stops', async () => {
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        controller.enqueue(new TextEncoder().encode('data: 1\n\n'));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const event of readEvents(endless)) {
      expect(event.data).toBe('1');
      break;
    }
    expect(cancelled).toBe(true);
  });
});
