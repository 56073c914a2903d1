// What belongs to this screen alone: drafts, what is folded, what was pressed and not confirmed.

import {sessionPath} from './paths.js';
import {changed} from './store.js';

const things = new Map();

/** The screen's own notes about a thing, by its id; they begin as `first`. */
export function notes(id, first = {}) {
  if (!things.has(id)) things.set(id, {...first});
  return things.get(id);
}

/** Change the notes, and paint. */
export function note(id, fields) {
  Object.assign(notes(id), fields);
  changed();
}

let generation = 0;

/** Which looks the blocks of a stream have: those painted in another one are painted again. */
export function looks() {
  return generation;
}

/** Change what is folded in the stream, and paint all of it. */
export function fold(id, fields) {
  generation += 1;
  note(id, fields);
}

const focused = new WeakSet();

/** Give the focus to a field when it appears: what is typed from then on is meant for it. */
export function takeFocus(element) {
  if (!element || focused.has(element)) return;
  focused.add(element);
  queueMicrotask(() => element.focus()); // when it stands in the page, and before the next key
}

export function forget(id) {
  things.delete(id);
}

// Drafts outlive the page: what a person has typed is theirs until it is sent or discarded.

const PREFIX = 'midflight.draft.';

export function draft(id) {
  return localStorage.getItem(PREFIX + id) ?? '';
}

export function keepDraft(id, text) {
  if (text) localStorage.setItem(PREFIX + id, text);
  else localStorage.removeItem(PREFIX + id);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // it was typed, or made up
  }
}

/** Where the person is: `{screen, name, part, request}` from the address. */
export function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [screen = '', name = '', part = ''] = path.split('/').map(decoded);
  return {screen, name, part, request: new URLSearchParams(query).get('request') ?? ''};
}

export function go(path) {
  location.hash = `/${path}`;
}

export function sessionLink(summary, part = '') {
  return `#/${sessionPath(summary)}${part && `/${part}`}`;
}
