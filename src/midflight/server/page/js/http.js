// Requests to the server. The secret that the one-time link led to goes with each as a header.

const SECRET = 'midflight.secret';
const DEVICE = 'midflight.device';

/** An answer that is an error: what happened, what to do, and a code for programs. */
export class Problem extends Error {
  constructor(status, fields = {}) {
    super(fields.message || 'The server has answered with an error.');
    this.status = status;
    this.code = fields.code ?? '';
    this.hint = fields.hint ?? '';
    this.fields = fields;
  }
}

/** The server does not answer: whether it has done what was asked is not known. */
export class NoConnection extends Error {}

export function hasSecret() {
  return localStorage.getItem(SECRET) !== null;
}

/** The name of this device, as the link has given it. */
export function deviceName() {
  return localStorage.getItem(DEVICE) ?? '';
}

/** Keep what a link has led to; the cookie that belongs to it no script can read. */
export function keep(secret, device) {
  localStorage.setItem(SECRET, secret);
  localStorage.setItem(DEVICE, device);
}

export function headers(more = {}) {
  return {'midflight-secret': localStorage.getItem(SECRET) ?? '', 'midflight-door': 'page', ...more};
}

/** Ask the server, and return what it answers. Throws `Problem` or `NoConnection`. */
export async function ask(method, path, body, {within = 90_000} = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headers(body === undefined ? {accept: 'application/json'} : {accept: 'application/json', 'content-type': 'application/json'}),
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(within),
    });
  } catch (error) {
    throw new NoConnection(error.message);
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (response.ok) throw new NoConnection(error.message);
  }
  if (!response.ok) throw new Problem(response.status, answer ?? {});
  return answer;
}

/** The path of a session, or of something of it. */
export function path(session, rest = '') {
  return `sessions/${encodeURIComponent(session)}${rest}`;
}

/** Give a session a command; the events tell what comes of it. */
export function command(session, fields) {
  return ask('POST', path(session, '/commands'), fields);
}

/** An id that nobody else has, so that what is sent twice counts once. */
export function newId() {
  return crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
