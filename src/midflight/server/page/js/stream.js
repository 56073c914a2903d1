// One stream of events feeds the whole page: it is read by fetch, and comes back where it broke.

import {headers} from './http.js';

const SILENT_MS = 40_000; // the server says "still here" more often
const STALE_MS = 20_000; // a phone drops sockets without saying so: from here on, ask anew
const WAITS_MS = [250, 1000, 2000, 4000, 8000];

/** Yields the frames of a server-sent stream: `{event, data, id}`. */
async function* frames(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let frame = {event: 'message', data: [], id: null};
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    heard();
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (frame.data.length || frame.id !== null) yield {...frame, data: frame.data.join('\n')};
        frame = {event: 'message', data: [], id: null};
      } else if (line.startsWith('data:')) frame.data.push(line.slice(line[5] === ' ' ? 6 : 5));
      else if (line.startsWith('id:')) frame.id = line.slice(3).trim();
      else if (line.startsWith('event:')) frame.event = line.slice(6).trim();
    }
  }
}

export class EventStream {
  /**
   * `path()` says what to read; `take(event)` gets each event, `removed(session)` the id of each
   * session that is gone; `connected(since)` is told null when events come, and since when they do
   * not, `following()` when the server follows what it was asked for; `began()` is awaited at each beginning without a cursor; `withdrawn()` is called where the
   * server does not know this device any more.
   */
  constructor({path, take, removed, connected, following, began, withdrawn}) {
    Object.assign(this, {path, take, removed, connected, following, began, withdrawn});
    this.cursor = '';
    this.failures = 0;
    this.heardAt = 0;
    this.retryAt = 0;
    this.stopped = false;
    this.called = false; // to begin anew at once
    this.abort = null;
    this.wake = null;
    document.addEventListener('visibilitychange', () => this.look());
    addEventListener('online', () => this.again());
    setInterval(() => this.watch(), 5000);
  }

  /** Read for as long as the page lives. */
  async run() {
    while (!this.stopped) {
      try {
        await this.read();
        this.failures = 0;
      } catch {
        if (!this.called) this.failures += 1;
      }
      if (this.stopped) return;
      this.connected(this.lostAt ??= Date.now() / 1000);
      const wait = this.called ? 0 : WAITS_MS[Math.min(this.failures, WAITS_MS.length) - 1] ?? 0;
      this.retryAt = Date.now() + wait;
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, wait);
      });
    }
  }

  async read() {
    this.called = false;
    this.abort = new AbortController();
    this.heardAt = Date.now();
    const response = await fetch(this.path(), {
      headers: headers({accept: 'text/event-stream', ...(this.cursor && {'last-event-id': this.cursor})}),
      cache: 'no-store',
      signal: this.abort.signal,
    });
    if (response.status === 401) {
      this.stopped = true;
      this.withdrawn();
      return;
    }
    if (response.status === 400) this.cursor = ''; // it leads nowhere any more: begin anew
    if (!response.ok) throw new Error(`status ${response.status}`);
    if (!this.cursor) await this.began();
    this.lostAt = null;
    this.failures = 0;
    this.connected(null);
    for await (const frame of frames(response.body, () => (this.heardAt = Date.now()))) {
      if (frame.id) this.cursor = frame.id;
      if (frame.event === 'message' && frame.data) this.take(JSON.parse(frame.data));
      if (frame.event === 'begin') this.following();
      if (frame.event === 'removed') this.removed(JSON.parse(frame.data).session);
      if (frame.event === 'error') throw new Error('the server has failed');
      if (frame.event === 'lagged') return;
    }
  }

  /** Begin to read again at once: what is followed has changed, or a person asks for it. */
  again() {
    this.called = true;
    this.abort?.abort();
    this.wake?.();
  }

  look() {
    if (document.visibilityState === 'visible' && Date.now() - this.heardAt > STALE_MS) this.again();
  }

  watch() {
    if (Date.now() - this.heardAt > SILENT_MS) this.abort?.abort();
  }
}
